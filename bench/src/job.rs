//! What a measuring process is told to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::{self, Sample};
use crate::{direct, floor, ours, split};

/// The core of the measuring process; the server has the other.
const CLIENT_CORE: usize = 0;

/// The bucket that nginx serves.
pub(crate) const BUCKET: &str = "bench";

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Small objects by bare sockets.
    FloorSmall(Small),
    /// Large objects by bare sockets, in ranges.
    FloorLarge(Large),
    /// Small objects by the client.
    OursSmall { small: Small, runtime: Runtime, hint: bool },
    /// Large objects, each whole into memory, by the client.
    OursLarge { large: Large, runtime: Runtime },
    /// Objects in bounded memory.
    Memory { endpoint: SocketAddr, budget: u64, read: MemoryRead },
    /// Objects one after the other, whole or in ranges.
    Split { endpoint: Option<SocketAddr>, uris: Vec<String>, split: bool },
    /// One file past the page cache, as a stream.
    Direct { file: PathBuf, block_size: u64, queue_depth: usize },
}

/// Many small objects, read in turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Small {
    pub(crate) endpoint: SocketAddr,
    /// Distinct objects, `small/000000` on.
    pub(crate) objects: u64,
    pub(crate) size: u64,
    /// Requests of the measured part.
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
}

/// A few large objects, each read once per pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Large {
    pub(crate) endpoint: SocketAddr,
    /// Distinct objects, `large/000000` on.
    pub(crate) objects: u64,
    pub(crate) size: u64,
    pub(crate) passes: u64,
    /// Objects at once.
    pub(crate) at_once: u64,
}

/// Which runtime drives the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Runtime {
    /// Everything on the calling thread.
    CurrentThread,
    /// tokio's default scheduler with one worker.
    OneWorker,
}

/// How objects are read when memory is watched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum MemoryRead {
    /// One object as a stream.
    Stream { key: String },
    /// Objects in order, as the loader does: leases are taken in order, reads end in any order and wait for their turn.
    Loader { keys: Vec<String>, size: u64, at_once: usize },
}

pub(crate) fn small_key(index: u64) -> String {
    format!("small/{index:06}")
}

pub(crate) fn large_key(index: u64) -> String {
    format!("large/{index:06}")
}

/// Runs in the measuring process.
pub(crate) fn run(job: Job) -> Result<Sample> {
    if !matches!(job, Job::Direct { .. }) {
        process::pin_to(CLIENT_CORE)?;
    }
    match job {
        Job::FloorSmall(small) => floor::small(&small),
        Job::FloorLarge(large) => floor::large(&large),
        Job::OursSmall { small, runtime, hint } => ours::small(&small, runtime, hint),
        Job::OursLarge { large, runtime } => ours::large(&large, runtime),
        Job::Memory { endpoint, budget, read } => ours::memory(endpoint, budget, read),
        Job::Split { endpoint, uris, split: splits } => split::run(endpoint, &uris, splits),
        Job::Direct { file, block_size, queue_depth } => direct::ours(&file, block_size, queue_depth),
    }
}
