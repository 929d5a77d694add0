//! The data set of `demo`: where it is, how large its objects are, and what is in them.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use s3dlio::constants::{KIB, MIB};
use s3dlio::{CancellationToken, Client, Location};
use tempfile::TempDir;

use super::Expected;
use crate::command::target;
use crate::session::Session;

const SMALLEST: u64 = 4 * KIB;
const LARGEST: u64 = 64 * MIB;
/// Content is made and written in pieces of this size.
const PIECE: u64 = MIB;
/// Objects written at once: enough to hide a network's latency; the parts of large ones are in flight besides.
const AT_ONCE: usize = 8;

/// Where the data set is. A temporary directory goes when this is dropped.
pub(super) struct Place {
    location: Location,
    directory: Option<TempDir>,
}

impl Place {
    /// A temporary directory, or a new prefix below `uri` that holds nothing else.
    pub(super) fn new(uri: Option<&Location>) -> anyhow::Result<Self> {
        let Some(uri) = uri else {
            let directory =
                tempfile::Builder::new().prefix("s3dlio-demo-").tempdir().context("make a temporary directory")?;
            let path = directory.path().to_str().context("the temporary directory's path is not UTF-8")?;
            let location = Location::parse(&format!("{path}/"))?;
            return Ok(Self { location, directory: Some(directory) });
        };
        // Two demos in one place at the same time must not remove each other's objects.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let location = uri.join(&format!("s3dlio-demo-{now}-{}/", std::process::id()));
        Ok(Self { location, directory: None })
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// Leaves it all where it is.
    pub(super) fn keep(self) -> Location {
        if let Some(directory) = self.directory {
            // The path is in the location already.
            let _ = directory.keep();
        }
        self.location
    }

    /// Removes everything, also after an interrupt.
    pub(super) async fn remove(self, session: &Session) -> anyhow::Result<()> {
        // What was given up may still have a file open, or an upload to abort.
        session.client.close().await;
        if let Some(directory) = self.directory {
            let path = directory.path().to_owned();
            let removed = tokio::task::spawn_blocking(move || directory.close()).await?;
            return removed.with_context(|| format!("remove {}", path.display()));
        }
        let client = session.client.with_cancellation(CancellationToken::new());
        let mut deleted = client.delete_tree(self.location.clone());
        let mut first = None;
        while let Some(deleted) = deleted.next().await {
            first = first.or(deleted.result.err());
        }
        target::remove_empty_directories(&self.location).await;
        first.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The sizes of objects that make `total` bytes: evenly spread over the logarithm of the size. A small total has smaller
/// objects, so that there are several.
pub(super) fn sizes(total: u64) -> Vec<u64> {
    let largest = (total / 16).clamp(SMALLEST, LARGEST);
    let octaves = (largest as f64 / SMALLEST as f64).log2();
    let mut sizes: Vec<u64> = Vec::new();
    let mut left = total;
    let mut spread: f64 = 0.0;
    while left > 0 {
        let size = (SMALLEST as f64 * (octaves * spread).exp2()) as u64;
        // What is left at the end is an object too, unless it is too small for one.
        match sizes.last_mut() {
            Some(last) if left < SMALLEST => {
                *last += left;
                left = 0;
            }
            _ => {
                sizes.push(size.min(left));
                left -= size.min(left);
            }
        }
        // Steps of the golden ratio fill the unit interval evenly, however many they are.
        spread = (spread + 0.618_033_988_749_895).fract();
    }
    sizes
}

/// Writes the objects, and says by key what each must hold.
///
/// # Errors
/// The first of any object; those that run are given up then.
pub(super) async fn write(
    sizes: &[u64],
    place: &Location,
    session: &Session,
) -> anyhow::Result<HashMap<String, Expected>> {
    let writes = stream::iter(sizes.iter().copied().enumerate()).map(|(number, size)| async move {
        let location = place.join(&format!("{number:06}.bin"));
        let crc32c = write_object(&session.client, &location, number as u64, size, session).await?;
        session.done(0);
        Ok((location.key().to_owned(), Expected { size, crc32c }))
    });
    writes.buffer_unordered(AT_ONCE).try_collect().await
}

async fn write_object(
    client: &Client,
    location: &Location,
    seed: u64,
    size: u64,
    session: &Session,
) -> anyhow::Result<u32> {
    let mut writer = client.writer(location).await?;
    let (mut state, mut left, mut crc32c) = (seed, size, 0);
    while left > 0 {
        let piece = content(&mut state, left.min(PIECE) as usize);
        crc32c = crc32c::crc32c_append(crc32c, &piece);
        left -= piece.len() as u64;
        session.moved(piece.len() as u64);
        writer.write(piece).await?;
        // Making content is work of the processor: others get their turn.
        tokio::task::yield_now().await;
    }
    writer.finish().await?;
    Ok(crc32c)
}

/// The next bytes of a SplitMix64 sequence (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn content(state: &mut u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length.next_multiple_of(8)];
    for word in bytes.chunks_exact_mut(8) {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spread_and_make_the_total() {
        for total in [1, 4095, 4096, 100_000, 1 << 20, 1 << 30] {
            let sizes = sizes(total);
            assert_eq!(sizes.iter().sum::<u64>(), total);
            assert!(sizes.iter().all(|size| *size >= SMALLEST.min(total) && *size < LARGEST + SMALLEST));
        }
        let sizes = sizes(1 << 30);
        assert!((100..250).contains(&sizes.len()), "{}", sizes.len());
        // Every octave has its share.
        for octave in 12..26 {
            let found = sizes.iter().filter(|size| size.ilog2() == octave).count();
            assert!((sizes.len() / 28..sizes.len() / 7).contains(&found), "{found} of 2^{octave}");
        }
    }

    #[test]
    fn content_depends_on_its_seed_and_does_not_repeat() {
        let (mut one, mut same, mut other) = (1, 1, 2);
        let first = content(&mut one, 1000);
        assert_eq!(first, content(&mut same, 1000));
        assert_ne!(first, content(&mut one, 1000));
        assert_ne!(first, content(&mut other, 1000));
    }
}
