//! Reading: one blocking call for what fits a block, a stream of blocks for the rest.
//!
//! A get opens the file, looks at it, and, where the range is one block or less, reads it, all in one blocking call: a
//! small file costs one hand-over to another thread. A larger range becomes a stream whose blocks are read ahead: one
//! always, so that every stream moves, and more as long as the store's permits for reading ahead last, so that many
//! streams do not multiply. At the end of each the file must still be as it was opened.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectMeta, Result};
use rustix::fs::{FileType, Stat, fstat};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::attributes;
use super::data::{DataPath, ReadFile};
use super::failure::{Describe, changed, failure, not_a_file};
use super::key::Key;
use super::root::Root;
use crate::error::{Error, ErrorKind, Operation};

/// What identifies one version of a file: it is another one when any of these differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    inode: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
    /// Bytes.
    pub(crate) size: u64,
}

impl Version {
    pub(crate) fn of(stat: &Stat) -> Self {
        let modified = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        Self { inode: stat.st_ino, modified, size: stat.st_size as u64 }
    }

    /// The entity tag: inode, time of modification in nanoseconds, and size, in hexadecimal.
    pub(crate) fn e_tag(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.inode, self.modified, self.size)
    }

    pub(crate) fn last_modified(&self) -> DateTime<Utc> {
        let seconds = self.modified.div_euclid(1_000_000_000) as i64;
        let nanoseconds = self.modified.rem_euclid(1_000_000_000) as u32;
        // A time that chrono cannot hold, beyond the year 262,000, is as good as none.
        DateTime::from_timestamp(seconds, nanoseconds).unwrap_or_default()
    }

    pub(crate) fn meta(&self, location: &Path) -> ObjectMeta {
        ObjectMeta {
            location: location.clone(),
            last_modified: self.last_modified(),
            size: self.size,
            e_tag: Some(self.e_tag()),
            version: None,
        }
    }
}

/// One object, open for reading at any offset. Reads block: call them from `tokio::task::spawn_blocking`.
///
/// It stays open, and readable as it was, when the object is deleted or replaced meanwhile; the file is closed on drop.
#[derive(Debug)]
pub struct OpenFile {
    root: Arc<Root>,
    data: Arc<dyn DataPath>,
    key: Key,
    file: Arc<ReadFile>,
    version: Version,
}

impl OpenFile {
    pub(crate) fn open(root: &Arc<Root>, data: &Arc<dyn DataPath>, location: &Path) -> Result<Self> {
        let key = Key::parse(root, Operation::Get, location)?;
        let file = data.open(root, key.as_str()).describe(root, Operation::Get, key.as_str())?;
        let stat = fstat(&file.file).describe(root, Operation::Get, key.as_str())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            // As in an object store, where a prefix is no object.
            FileType::Directory => {
                return Err(Error::new(ErrorKind::NotFound, Operation::Get, root.uri(key.as_str()))
                    .with_message("it is a directory")
                    .into_store());
            }
            _ => return Err(not_a_file(root, Operation::Get, key.as_str()).into_store()),
        }
        Ok(Self { root: root.clone(), data: data.clone(), key, file: Arc::new(file), version: Version::of(&stat) })
    }

    /// Size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.version.size
    }

    /// The entity tag of the version that is open, as [`ObjectMeta::e_tag`] gives it.
    pub fn e_tag(&self) -> String {
        self.version.e_tag()
    }

    /// When the version that is open was last written.
    pub fn last_modified(&self) -> DateTime<Utc> {
        self.version.last_modified()
    }

    /// Fills `buffer` with the bytes from `offset` on. Blocking.
    ///
    /// # Errors
    /// `Changed` if the file ends before; otherwise what the kernel says.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.explain(self.data.read_into(&self.file, offset, buffer))
    }

    /// Checks that the file is still the version that was opened. Blocking.
    ///
    /// # Errors
    /// `Changed` if it was written to since, so that what was read may be of two versions.
    pub fn check_unchanged(&self) -> Result<()> {
        let stat = fstat(&self.file.file).describe(&self.root, Operation::Get, self.key.as_str())?;
        if Version::of(&stat) == self.version { Ok(()) } else { Err(changed(&self.root, self.key.as_str())) }
    }

    /// The bytes of `range`, read and checked in this call. Blocking.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let bytes = if range.is_empty() { Bytes::new() } else { self.explain(self.data.read(&self.file, range))? };
        self.check_unchanged()?;
        Ok(bytes)
    }

    pub(crate) fn meta(&self, location: &Path) -> ObjectMeta {
        self.version.meta(location)
    }

    pub(crate) fn file(&self) -> &std::fs::File {
        &self.file.file
    }

    fn explain<T>(&self, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(&self.root, self.key.as_str()),
            _ => failure(&self.root, Operation::Get, self.key.as_str(), error),
        })
    }

    /// The part of the file that `options` ask for.
    pub(crate) fn range(&self, options: &GetOptions) -> Result<Range<u64>> {
        let size = self.version.size;
        let Some(range) = &options.range else { return Ok(0..size) };
        range.as_range(size).map_err(|error| {
            Error::new(ErrorKind::RangeNotSatisfiable, Operation::Get, self.root.uri(self.key.as_str()))
                .with_message(format!("the file has {size} bytes: {error}"))
                .into_store()
        })
    }
}

/// Reads the objects of one store.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) root: Arc<Root>,
    pub(crate) data: Arc<dyn DataPath>,
    /// Blocks that streams may read beyond the one that each always may.
    ahead: Arc<Semaphore>,
}

impl Reader {
    pub(crate) fn new(root: Arc<Root>, data: Arc<dyn DataPath>, blocks_ahead: usize) -> Self {
        Self { root, data, ahead: Arc::new(Semaphore::new(blocks_ahead)) }
    }

    pub(crate) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(version) = &options.version {
            return Err(Error::new(ErrorKind::Unsupported, Operation::Get, self.root.uri(location.as_ref()))
                .with_message(format!("version {version:?} was asked for, and a file system keeps no versions"))
                .into_store());
        }
        let (root, data, location) = (self.root.clone(), self.data.clone(), location.clone());
        let (meta, range, attributes, content) = super::blocking(move || {
            let open = OpenFile::open(&root, &data, &location)?;
            let meta = open.meta(&location);
            options.check_preconditions(&meta)?;
            let range = open.range(&options)?;
            let attributes = attributes::read(open.file()).describe(&root, Operation::Get, location.as_ref())?;
            let content = if options.head || range.is_empty() {
                Content::None
            } else if range.end - range.start <= data.block_size() as u64 {
                Content::Whole(open.read(range.clone())?)
            } else {
                Content::Blocks(open)
            };
            Ok((meta, range, attributes, content))
        })
        .await?;
        let stream = match content {
            Content::None => stream::empty().boxed(),
            Content::Whole(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Content::Blocks(open) => self.stream(open, range.clone()),
        };
        let payload = GetResultPayload::Stream(stream);
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    /// The bytes of each of `ranges`. What fits a block in all is read in one blocking call; `None` if it does not.
    pub(crate) async fn get_small_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>> {
        let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum::<u64>();
        if total > self.data.block_size() as u64 {
            return Ok(None);
        }
        let (root, data, location) = (self.root.clone(), self.data.clone(), location.clone());
        let ranges = ranges.to_vec();
        super::blocking(move || {
            let open = OpenFile::open(&root, &data, &location)?;
            let read = |range: Range<u64>| open.read(open.range(&GetOptions::new().with_range(Some(range)))?);
            ranges.into_iter().map(read).collect::<Result<Vec<_>>>().map(Some)
        })
        .await
    }

    fn stream(&self, open: OpenFile, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let blocks = Blocks {
            open: Arc::new(open),
            ahead: self.ahead.clone(),
            next: range.start,
            end: range.end,
            started: VecDeque::new(),
        };
        stream::unfold(blocks, Blocks::take).boxed()
    }
}

/// What a get found there is to deliver.
enum Content {
    None,
    Whole(Bytes),
    Blocks(OpenFile),
}

/// The blocks of one stream: those that are being read, in order, and where the next one begins.
struct Blocks {
    open: Arc<OpenFile>,
    ahead: Arc<Semaphore>,
    next: u64,
    end: u64,
    started: VecDeque<Started>,
}

/// A block that is being read. One that was started beyond the first holds a permit until it is delivered.
struct Started {
    read: BoxFuture<'static, io::Result<Bytes>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Blocks {
    /// The next block, with more started behind it. Nothing is started any more once the stream is dropped or failed.
    async fn take(mut self) -> Option<(Result<Bytes>, Self)> {
        self.start_ahead();
        let front = self.started.pop_front()?;
        let mut result = self.open.explain(front.read.await);
        if result.is_ok() && self.started.is_empty() && self.next == self.end {
            let open = self.open.clone();
            result = super::blocking(move || open.check_unchanged()).await.and(result);
        }
        if result.is_err() {
            self.started.clear();
            self.next = self.end;
        }
        Some((result, self))
    }

    fn start_ahead(&mut self) {
        let data = &self.open.data;
        let block_size = data.block_size() as u64;
        while self.next < self.end && self.started.len() < data.window() {
            let permit = match self.started.is_empty() {
                true => None,
                false => match self.ahead.clone().try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => break,
                },
            };
            // Blocks end on multiples of their size, so that all but the first and the last are aligned.
            let end = self.end.min((self.next / block_size + 1) * block_size);
            let read = data.clone().start(&self.open.file, self.next..end);
            self.started.push_back(Started { read, _permit: permit });
            self.next = end;
        }
    }
}
