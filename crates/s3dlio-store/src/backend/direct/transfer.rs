//! Ranges of any kind as the aligned transfers that O_DIRECT takes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, StatxFlags, fallocate, fstat, openat, statx};
use rustix::io::Errno;

use super::DirectOptions;
use super::queue::{Direction, Outcome, Pending, Queue, Request};
use crate::backend::file::buffer::{ALIGNMENT, Block, Pool};
use crate::backend::file::data::{Cached, DataPath, READ_FLAGS, ReadFile, WriteFile, stopped};
use crate::backend::file::root::Root;

/// Moves bytes with O_DIRECT.
#[derive(Debug)]
pub(super) struct Direct {
    options: DirectOptions,
    pool: Arc<Pool>,
    /// Made when the first request is sent.
    queue: OnceLock<Queue>,
    /// For files that refuse O_DIRECT, if that is allowed.
    cached: Arc<Cached>,
    warned: AtomicBool,
}

impl Direct {
    pub(super) fn new(options: &DirectOptions) -> Self {
        Self {
            options: options.clone(),
            // As many blocks as the streams of a full queue hold: those read ahead, and one of each stream.
            pool: Pool::new(options.block_size.next_power_of_two() * options.queue_depth * 2),
            queue: OnceLock::new(),
            cached: Arc::new(Cached::new()),
            warned: AtomicBool::new(false),
        }
    }

    /// Sends requests through `queue`.
    #[cfg(test)]
    pub(super) fn with_queue(self, queue: Queue) -> Self {
        Self { queue: queue.into(), ..self }
    }

    /// The buffers, after the queue has ended.
    #[cfg(test)]
    pub(super) fn into_pool(self) -> Arc<Pool> {
        drop(self.queue);
        self.pool
    }

    fn queue(&self) -> &Queue {
        self.queue.get_or_init(|| Queue::new(self.options.queue_depth))
    }

    /// What to do about a file that refuses O_DIRECT: nothing but a warning, if that is allowed.
    fn refused(&self) -> io::Result<()> {
        if !self.options.direct_fallback {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the file system refuses O_DIRECT; use file://, or set direct_fallback = true to go through the page cache",
            ));
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("the file system refuses O_DIRECT: direct:// goes through the page cache");
        }
        Ok(())
    }

    /// Moves all of `request`, which is aligned, in as many turns as the kernel takes, and blocks between them.
    fn finish_write(&self, mut pending: Pending) -> io::Result<()> {
        loop {
            let (request, moved) = pending.blocking_recv().map_err(|_| closed())?;
            match advance(request, moved?)? {
                Some(rest) => pending = self.queue().submit(rest),
                None => return Ok(()),
            }
        }
    }
}

/// What is left of a request that moved fewer bytes than it was to, if anything.
fn advance(mut request: Request, moved: usize) -> io::Result<Option<Request>> {
    if moved == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    request.offset += moved as u64;
    request.start += moved;
    request.length -= moved;
    Ok(Some(request).filter(|request| request.length > 0))
}

fn closed() -> io::Error {
    io::Error::other("the queue of O_DIRECT requests has ended")
}

/// What offsets, lengths and addresses of `file` must be multiples of, or `None` if it takes no O_DIRECT.
fn alignment(file: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let stat = match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE | StatxFlags::DIOALIGN) {
        // Kernels without statx say nothing, and need no more than 4,096.
        Err(Errno::NOSYS | Errno::PERM) => return Ok(Some(ALIGNMENT as u64)),
        result => result?,
    };
    if stat.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Ok(Some(ALIGNMENT as u64));
    }
    let usable = stat.stx_dio_offset_align > 0 && stat.stx_dio_mem_align as usize <= ALIGNMENT;
    Ok(usable.then(|| u64::from(stat.stx_dio_offset_align).max(ALIGNMENT as u64)))
}

/// The aligned range around `range`.
fn span(range: &Range<u64>, alignment: u64) -> Range<u64> {
    range.start - range.start % alignment..range.end.next_multiple_of(alignment)
}

impl AsFd for ReadFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A read of an aligned span, of which `wanted` is what was asked for.
struct Reading {
    span: Range<u64>,
    wanted: Range<u64>,
    alignment: u64,
}

impl Reading {
    fn new(wanted: Range<u64>, alignment: u64) -> Self {
        Self { span: span(&wanted, alignment), wanted, alignment }
    }

    fn length(&self) -> usize {
        (self.span.end - self.span.start) as usize
    }

    /// How many bytes from the start of the span on are needed.
    fn needed(&self) -> usize {
        (self.wanted.end - self.span.start) as usize
    }

    /// Whether `filled` bytes are enough, after a read that gave `read` of them.
    fn is_done(&self, filled: usize, read: usize) -> io::Result<bool> {
        match filled >= self.needed() {
            true => Ok(true),
            // Only the end of the file ends a read between two alignments.
            false if read == 0 || !(read as u64).is_multiple_of(self.alignment) => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            false => Ok(false),
        }
    }

    fn give(&self, block: Block) -> Bytes {
        block.freeze((self.wanted.start - self.span.start) as usize..self.needed())
    }
}

impl DataPath for Direct {
    fn open(&self, root: &Root, relative: &str) -> io::Result<ReadFile> {
        match root.open(relative, READ_FLAGS | OFlags::DIRECT) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            result => {
                let file = File::from(result?);
                if let Some(alignment) = alignment(file.as_fd())? {
                    return Ok(ReadFile { file, alignment: Some(alignment) });
                }
            }
        }
        let file = self.cached.open(root, relative)?;
        // Directories and devices refuse O_DIRECT too; that they are no objects is said elsewhere.
        if FileType::from_raw_mode(fstat(&file.file)?.st_mode) == FileType::RegularFile {
            self.refused()?;
        }
        Ok(file)
    }

    fn block_size(&self) -> usize {
        self.options.block_size
    }

    fn window(&self) -> usize {
        self.options.queue_depth
    }

    fn read(&self, file: &ReadFile, range: Range<u64>) -> io::Result<Bytes> {
        let Some(alignment) = file.alignment else { return self.cached.read(file, range) };
        let reading = Reading::new(range, alignment);
        let mut block = self.pool.take(reading.length());
        let mut filled = 0;
        loop {
            let memory = &mut block.as_mut_slice()[filled..reading.length()];
            let read = match file.file.read_at(memory, reading.span.start + filled as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            filled += read;
            if reading.is_done(filled, read)? {
                return Ok(reading.give(block));
            }
        }
    }

    fn start(self: Arc<Self>, file: &Arc<ReadFile>, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>> {
        let Some(alignment) = file.alignment else { return self.cached.clone().start(file, range) };
        let reading = Reading::new(range, alignment);
        let request = Request {
            file: file.clone(),
            direction: Direction::Read,
            offset: reading.span.start,
            block: self.pool.take(reading.length()),
            start: 0,
            length: reading.length(),
        };
        let mut pending = self.queue().submit(request);
        async move {
            loop {
                let (request, read): Outcome = pending.await.map_err(|_| closed())?;
                let read = read?;
                if reading.is_done(request.start + read, read)? {
                    return Ok(reading.give(request.block));
                }
                pending = match advance(request, read)? {
                    Some(rest) => self.queue().submit(rest),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
        .boxed()
    }

    fn read_into(&self, file: &ReadFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Some(alignment) = file.alignment else { return self.cached.read_into(file, offset, buffer) };
        let aligned = |number: u64| number.is_multiple_of(alignment);
        let address = buffer.as_ptr() as usize;
        if aligned(offset) && aligned(buffer.len() as u64) && address.is_multiple_of(ALIGNMENT) {
            return file.file.read_exact_at(buffer, offset);
        }
        for (piece, buffer) in (0..).zip(buffer.chunks_mut(self.options.block_size)) {
            let from = offset + piece * self.options.block_size as u64;
            buffer.copy_from_slice(&self.read(file, from..from + buffer.len() as u64)?);
        }
        Ok(())
    }

    fn write_file(&self, directory: &OwnedFd, name: &str, cached: File) -> io::Result<WriteFile> {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let direct = match openat(directory, name, flags, Mode::empty()) {
            Err(Errno::INVAL) => None,
            result => {
                let file = File::from(result?);
                alignment(file.as_fd())?.map(|alignment| (Arc::new(file), alignment))
            }
        };
        if direct.is_none() {
            self.refused()?;
        }
        Ok(WriteFile { cached, direct })
    }

    fn write(&self, file: &WriteFile, offset: u64, data: &[Bytes], stop: &AtomicBool) -> io::Result<()> {
        let end = offset + data.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let whole = match &file.direct {
            Some((_, alignment)) => offset.next_multiple_of(*alignment)..end - end % alignment,
            None => return self.cached.write(file, offset, data, stop),
        };
        let Some((direct, alignment)) = file.direct.as_ref().filter(|_| whole.start < whole.end) else {
            return self.cached.write(file, offset, data, stop);
        };
        // Writes within the size of a file run side by side; writes that extend it wait for each other.
        match fallocate(&file.cached, FallocateFlags::empty(), whole.start, whole.end - whole.start) {
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {}
            result => result?,
        }
        let mut data = Pieces { data, taken: 0 };
        self.write_end(file, &mut data, offset..whole.start)?;
        let block_size = (self.options.block_size as u64).next_multiple_of(*alignment);
        let mut flying = VecDeque::new();
        let mut next = whole.start;
        while next < whole.end {
            if stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            if flying.len() == self.options.queue_depth
                && let Some(oldest) = flying.pop_front()
            {
                self.finish_write(oldest)?;
            }
            let length = block_size.min(whole.end - next) as usize;
            let mut block = self.pool.take(length);
            data.fill(&mut block.as_mut_slice()[..length]);
            let request =
                Request { file: direct.clone(), direction: Direction::Write, offset: next, block, start: 0, length };
            flying.push_back(self.queue().submit(request));
            next += length as u64;
        }
        self.write_end(file, &mut data, whole.end..end)?;
        flying.into_iter().try_for_each(|pending| self.finish_write(pending))
    }
}

impl Direct {
    /// Writes the less than `alignment` bytes before the first or behind the last whole block. They share no page with
    /// what O_DIRECT writes.
    fn write_end(&self, file: &WriteFile, data: &mut Pieces<'_>, range: Range<u64>) -> io::Result<()> {
        let mut end = vec![0; (range.end - range.start) as usize];
        data.fill(&mut end);
        file.cached.write_all_at(&end, range.start)
    }
}

/// The bytes of several pieces, one after the other.
struct Pieces<'a> {
    data: &'a [Bytes],
    /// How much of the first piece is taken.
    taken: usize,
}

impl Pieces<'_> {
    /// Takes as many bytes as `target` holds, which must be there.
    fn fill(&mut self, mut target: &mut [u8]) {
        while let (false, Some(piece)) = (target.is_empty(), self.data.first()) {
            let rest = &piece[self.taken..];
            let length = rest.len().min(target.len());
            let (now, later) = target.split_at_mut(length);
            now.copy_from_slice(&rest[..length]);
            target = later;
            self.taken += length;
            if self.taken == piece.len() {
                (self.data, self.taken) = (&self.data[1..], 0);
            }
        }
    }
}
