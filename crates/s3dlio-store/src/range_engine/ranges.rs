//! Arithmetic of ranges: cutting one into many, and many into few.

use std::ops::Range;

use bytes::Bytes;

use crate::constants::RANGE_COALESCE_GAP;

/// `range` in pieces of `size`.
pub(super) fn chunks(range: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end)
        .step_by(usize::try_from(size).unwrap_or(usize::MAX))
        .map(move |start| start..end.min(start + size))
}

/// The fewest ranges that cover `ranges`, none empty, with gaps worth fetching along closed.
pub(super) fn coalesce(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(RANGE_COALESCE_GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The bytes of `range` out of the merged range that covers it, cut where the object ends; `None` if it begins there.
pub(super) fn slice_of(merged: &[Range<u64>], data: &[Bytes], range: &Range<u64>) -> Option<Bytes> {
    if range.is_empty() {
        return Some(Bytes::new());
    }
    let index = merged.partition_point(|whole| whole.start <= range.start).checked_sub(1)?;
    let (whole, data) = (&merged[index], &data[index]);
    let start = usize::try_from(range.start - whole.start).ok().filter(|start| *start < data.len())?;
    let end = usize::try_from(range.end - whole.start).unwrap_or(usize::MAX).min(data.len());
    Some(data.slice(start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_ranges_are_fetched_together_and_cut_apart() {
        let merged = coalesce(&[10..20, 0..5, 15..30, 4..4, 10_000_000..10_000_001]);
        assert_eq!(merged, [0..30, 10_000_000..10_000_001]);
        let data = [Bytes::from_iter(0..30u8), Bytes::from_static(&[99])];
        assert_eq!(slice_of(&merged, &data, &(10..12)).unwrap(), Bytes::from_static(&[10, 11]));
        assert_eq!(slice_of(&merged, &data, &(10_000_000..10_000_001)).unwrap(), Bytes::from_static(&[99]));
        assert_eq!(slice_of(&merged, &data, &(3..3)).unwrap(), Bytes::new());
        assert_eq!(slice_of(&merged, &data, &(25..100)).unwrap().len(), 5);
        assert_eq!(slice_of(&merged, &data, &(30..31)), None);
    }

    #[test]
    fn chunks_cover_a_range_once() {
        assert_eq!(chunks(5..26, 10).collect::<Vec<_>>(), [5..15, 15..25, 25..26]);
        assert_eq!(chunks(5..5, 10).count(), 0);
    }
}
