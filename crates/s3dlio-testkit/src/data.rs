//! Reproducible bytes.

use bytes::Bytes;

/// `len` bytes that depend only on `seed` and do not repeat, so that misplaced, missing and repeated bytes show.
///
/// The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub fn bytes(seed: u64, len: usize) -> Bytes {
    let mut state = seed;
    let mut out = Vec::with_capacity(len.next_multiple_of(8));
    while out.len() < len {
        out.extend_from_slice(&next(&mut state).to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

/// The next number of a SplitMix64 sequence.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Panics unless `actual` equals `expected`, and says where they part instead of printing both.
#[track_caller]
pub fn assert_same(actual: &[u8], expected: &[u8], what: &str) {
    if actual == expected {
        return;
    }
    let at = actual.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| actual.len().min(expected.len()));
    panic!("{what}: {} bytes where {} were expected, the first difference at {at}", actual.len(), expected.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_depend_on_the_seed_alone() {
        assert_eq!(bytes(1, 1000), bytes(1, 1000));
        assert_eq!(bytes(1, 1000)[..13], bytes(1, 13)[..]);
        assert_ne!(bytes(1, 16), bytes(2, 16));
        assert!(bytes(1, 0).is_empty());
    }

    #[test]
    #[should_panic(expected = "the first difference at 2")]
    fn assert_same_says_where() {
        assert_same(b"abc", b"abd", "test");
    }
}
