//! What loaders give: samples, and batches of them.

use bytes::Bytes;
use s3dlio_store::Location;

/// One object that has been read.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its index in the [`Dataset`](crate::Dataset).
    pub index: usize,
    /// Where it is.
    pub location: Location,
    /// Its bytes. They are the consumer's: keeping them holds up no loader.
    pub data: Bytes,
    /// The entity tag of the version that was read; none for an empty object, and where the store has none.
    pub e_tag: Option<String>,
}

/// Samples that belong together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The samples in the order of the epoch: `batch_size` of them, but for the last batch of an epoch without
    /// `drop_last`.
    pub samples: Vec<Sample>,
    /// The batch's number in its epoch, counted from 0.
    pub index: usize,
    /// The epoch's number.
    pub epoch: u64,
}

impl Batch {
    /// The sum of the samples' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.samples.iter().map(|sample| sample.data.len() as u64).sum()
    }
}
