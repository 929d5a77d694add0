//! How the bytes of open files move: the part in which `file://` and `direct://` differ.
//!
//! Naming, safety, atomicity, metadata and listings are one code for both; a [`DataPath`] opens the file it is given
//! and moves bytes between it and memory. [`Cached`] does it through the page cache.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::fs::OFlags;

use super::buffer::Pool;
use super::root::Root;

/// A file open for reading.
#[derive(Debug)]
pub(crate) struct ReadFile {
    pub(crate) file: File,
    /// With O_DIRECT: what offsets and lengths must be multiples of.
    pub(crate) alignment: Option<u64>,
}

/// A file open for writing.
#[derive(Debug)]
pub(crate) struct WriteFile {
    pub(crate) cached: File,
    /// The same file with O_DIRECT, and what offsets and lengths must be multiples of.
    pub(crate) direct: Option<(Arc<File>, u64)>,
}

/// Moves bytes between files and memory.
pub(crate) trait DataPath: Debug + Send + Sync + 'static {
    /// Opens `relative` for reading; it may turn out to be anything but a regular file. Never waits for a writer of a
    /// FIFO. Blocking.
    fn open(&self, root: &Root, relative: &str) -> io::Result<ReadFile>;

    /// The pieces of a stream in bytes; a range of one piece is read in the same blocking call that opens the file.
    fn block_size(&self) -> usize;

    /// How many blocks one stream reads ahead at most, itself included, while nobody else does.
    fn window(&self) -> usize;

    /// Reads `range`, which lies within the file as it was opened, by one thread. Blocking.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter.
    fn read(&self, file: &ReadFile, range: Range<u64>) -> io::Result<Bytes>;

    /// Starts to read `range`, at most one block, and returns at once; the future waits for the outcome. What has been
    /// started before the future is dropped runs to its end, on buffers that live as long.
    fn start(self: Arc<Self>, file: &Arc<ReadFile>, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>>;

    /// Fills `buffer` from `offset`. Blocking.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before.
    fn read_into(&self, file: &ReadFile, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Makes a new file, open as `cached` and named `name` in `directory`, ready to be written to. Blocking.
    fn write_file(&self, directory: &OwnedFd, name: &str, cached: File) -> io::Result<WriteFile>;

    /// Writes `data` from `offset` on, one after the other; stops between blocks when `stop` is set. Blocking.
    ///
    /// # Errors
    /// `Interrupted` if it was stopped.
    fn write(&self, file: &WriteFile, offset: u64, data: &[Bytes], stop: &AtomicBool) -> io::Result<()>;
}

/// Reads of regular files never wait for anybody, with or without this flag; an open of a FIFO waits without it.
pub(crate) const READ_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// What a write that was told to stop ends with.
pub(crate) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the write was cancelled")
}

/// Streams are cut into pieces of 1 MiB: the copy to its destination then still finds a piece in the processor's cache,
/// and the 10 us that a blocking task costs are below 5 % of the time to read it.
const BLOCK_SIZE: usize = 1 << 20;

/// One piece is read while the one before it is used.
const WINDOW: usize = 2;

/// Idle buffers: enough for 32 streams that read a piece each.
const KEEP: usize = 32 * BLOCK_SIZE;

/// Below this a fresh allocation comes from the heap without a mapping of its own, and wastes nothing when kept.
const SMALL: u64 = 64 << 10;

/// Writes look for a cancellation every so many bytes.
const WRITE_SIZE: usize = 4 << 20;

/// Reads and writes through the page cache.
#[derive(Debug)]
pub(crate) struct Cached {
    pool: Arc<Pool>,
}

impl Cached {
    pub(crate) fn new() -> Self {
        Self { pool: Pool::new(KEEP) }
    }

    #[cfg(test)]
    pub(crate) fn idle_bytes(&self) -> usize {
        self.pool.idle_bytes()
    }
}

impl DataPath for Cached {
    fn open(&self, root: &Root, relative: &str) -> io::Result<ReadFile> {
        Ok(ReadFile { file: root.open(relative, READ_FLAGS)?.into(), alignment: None })
    }

    fn block_size(&self) -> usize {
        BLOCK_SIZE
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn read(&self, file: &ReadFile, range: Range<u64>) -> io::Result<Bytes> {
        let length = (range.end - range.start) as usize;
        if range.end - range.start <= SMALL {
            let mut small = vec![0; length];
            file.file.read_exact_at(&mut small, range.start)?;
            return Ok(small.into());
        }
        let mut block = self.pool.take(length);
        file.file.read_exact_at(&mut block.as_mut_slice()[..length], range.start)?;
        Ok(block.freeze(0..length))
    }

    fn start(self: Arc<Self>, file: &Arc<ReadFile>, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>> {
        let file = file.clone();
        let read = super::blocking(move || Ok(self.read(&file, range)));
        read.map(|read| read?).boxed()
    }

    fn read_into(&self, file: &ReadFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        file.file.read_exact_at(buffer, offset)
    }

    fn write_file(&self, _directory: &OwnedFd, _name: &str, cached: File) -> io::Result<WriteFile> {
        Ok(WriteFile { cached, direct: None })
    }

    fn write(&self, file: &WriteFile, mut offset: u64, data: &[Bytes], stop: &AtomicBool) -> io::Result<()> {
        for piece in data.iter().flat_map(|chunk| chunk.chunks(WRITE_SIZE)) {
            if stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            file.cached.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}
