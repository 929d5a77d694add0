//! What is served: files in memory, removed at the end.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::job::{BUCKET, large_key, small_key};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub(crate) const SMALL_OBJECTS: u64 = 20_000;
pub(crate) const SMALL_SIZE: u64 = 4 * KIB;
pub(crate) const LARGE_OBJECTS: u64 = 16;
pub(crate) const LARGE_SIZE: u64 = 64 * MIB;
pub(crate) const HUGE_KEY: &str = "huge/000000";
pub(crate) const HUGE_SIZE: u64 = 1024 * MIB;

/// The directory that holds the bucket.
pub(crate) struct DataSet(TempDir);

impl DataSet {
    /// Writes all objects: 2.1 GiB below /dev/shm.
    pub(crate) fn create() -> Result<Self> {
        let directory = TempDir::with_prefix_in("s3dlio-bench-", "/dev/shm").context("/dev/shm is needed")?;
        let bucket = directory.path().join(BUCKET);
        for folder in ["small", "large", "huge"] {
            fs::create_dir_all(bucket.join(folder))?;
        }
        let mut random = fastrand::Rng::with_seed(1);
        let mut block = vec![0; MIB as usize];
        random.fill(&mut block);
        for index in 0..SMALL_OBJECTS {
            let start = random.usize(..block.len() - SMALL_SIZE as usize);
            fs::write(bucket.join(small_key(index)), &block[start..start + SMALL_SIZE as usize])?;
        }
        for index in 0..LARGE_OBJECTS {
            write_file(&bucket.join(large_key(index)), LARGE_SIZE, &block)?;
        }
        write_file(&bucket.join(HUGE_KEY), HUGE_SIZE, &block)?;
        Ok(Self(directory))
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }
}

/// Writes `size` bytes, a multiple of the block's.
pub(crate) fn write_file(path: &Path, size: u64, block: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..size / block.len() as u64 {
        file.write_all(block)?;
    }
    file.sync_all()?;
    Ok(())
}
