//! Blocks in flight: who sends them to the device and waits.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ring::Ring;
use crate::backend::file::buffer::Block;

/// A file that stays open while a block of it is in flight.
pub(super) trait Descriptor: AsFd + Debug + Send + Sync {}

impl<T: AsFd + Debug + Send + Sync> Descriptor for T {}

/// Whether bytes go to memory or to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// One request: to fill, or to write, a part of a block from one place of a file on.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) file: Arc<dyn Descriptor>,
    pub(super) direction: Direction,
    /// Where in the file.
    pub(super) offset: u64,
    pub(super) block: Block,
    /// Where in the block, and how many bytes.
    pub(super) start: usize,
    pub(super) length: usize,
}

impl Request {
    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_fd().as_raw_fd()
    }

    /// The part of the block that moves.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.block.as_mut_slice()[self.start..self.start + self.length]
    }

    /// Moves the bytes in this thread. Blocking.
    fn run(&mut self) -> io::Result<usize> {
        let (file, offset) = (self.file.clone(), self.offset);
        let moved = match self.direction {
            Direction::Read => rustix::io::pread(file.as_fd(), self.memory(), offset),
            Direction::Write => rustix::io::pwrite(file.as_fd(), self.memory(), offset),
        };
        Ok(moved?)
    }
}

/// A request that has ended, and how many bytes it moved.
pub(super) type Outcome = (Request, io::Result<usize>);

/// Waits for the outcome; an error if the queue was closed before the request was sent.
pub(super) type Pending = oneshot::Receiver<Outcome>;

/// Sends requests to the device.
#[derive(Debug)]
pub(super) enum Queue {
    Ring(Ring),
    /// A thread of tokio's blocking pool for each.
    Threads,
}

impl Queue {
    /// A queue of `depth` requests through io_uring if the kernel allows it. Says in the log which it is.
    pub(super) fn new(depth: usize) -> Self {
        match Ring::new(depth) {
            Ok(ring) => {
                tracing::info!(depth, "O_DIRECT requests go through io_uring");
                Self::Ring(ring)
            }
            Err(error) => {
                tracing::info!(depth, %error, "O_DIRECT requests go through a pool of threads, io_uring is not available");
                Self::Threads
            }
        }
    }

    /// Sends `request`, which is aligned. Returns at once; the request runs to its end whatever becomes of the receiver.
    pub(super) fn submit(&self, mut request: Request) -> Pending {
        let (done, pending) = oneshot::channel();
        match self {
            Self::Ring(ring) => ring.submit(request, done),
            Self::Threads => {
                tokio::task::spawn_blocking(move || {
                    let result = request.run();
                    // Whoever waited may be gone; the block goes back to its pool.
                    let _ = done.send((request, result));
                });
            }
        }
        pending
    }
}
