//! `direct://`: the same files as [`file`](super::file), moved past the page cache with O_DIRECT.
//!
//! [`ConfigurableFileSystemObjectStore`] is a [`FileSystemObjectStore`] with another way for the bytes; everything else,
//! from names to atomic puts, is the one code of that store. The parts:
//!
//! - `transfer` meets the rules of O_DIRECT for ranges that do not: a read takes the aligned span around its range and
//!   gives out the part that was asked for; a write sends whole aligned blocks past the page cache, and the unaligned
//!   ends of an object or part through it.
//! - `queue` keeps many blocks in flight: through `ring`, one io_uring with a thread of its own, or, where the kernel has
//!   none to give, by a thread per block.
//!
//! Blocks in flight belong to the queue. A read whose future is dropped starts no further block; those in flight end on
//! memory that lives as long.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::file::buffer::ALIGNMENT;
use super::file::{FileSystemObjectStore, OpenFile};
use crate::constants::{
    self, DIRECT_BLOCK_SIZE_MAXIMUM as BLOCK_SIZE_MAXIMUM, DIRECT_QUEUE_DEPTH_MAXIMUM as QUEUE_DEPTH_MAXIMUM,
};
use crate::error::{Error, ErrorKind, Operation};
use crate::listing::{ListPage, ListRequest, Lister};
use crate::uri::Scheme;

mod queue;
mod ring;
#[cfg(test)]
mod tests;
mod transfer;

use transfer::Direct;

/// How a `direct://` store reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectOptions {
    /// Bytes per request to the device: a multiple of [`DIRECT_ALIGNMENT`](crate::constants::DIRECT_ALIGNMENT) up to
    /// [`DIRECT_BLOCK_SIZE_MAXIMUM`](crate::constants::DIRECT_BLOCK_SIZE_MAXIMUM). Default
    /// [`DIRECT_BLOCK_SIZE`](crate::constants::DIRECT_BLOCK_SIZE).
    pub block_size: usize,
    /// Requests that are in flight at the device at once, for all reads and writes of the store: 1 to
    /// [`DIRECT_QUEUE_DEPTH_MAXIMUM`](crate::constants::DIRECT_QUEUE_DEPTH_MAXIMUM). Default
    /// [`DIRECT_QUEUE_DEPTH`](crate::constants::DIRECT_QUEUE_DEPTH). Streams hold at most `queue_depth` blocks that were read ahead, plus one each.
    pub queue_depth: usize,
    /// Whether to go through the page cache, with a warning, where the file system refuses O_DIRECT. Default `false`: the
    /// refusal is an error.
    pub direct_fallback: bool,
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self {
            block_size: constants::DIRECT_BLOCK_SIZE as usize,
            queue_depth: constants::DIRECT_QUEUE_DEPTH,
            direct_fallback: false,
        }
    }
}

impl DirectOptions {
    fn check(&self) -> std::result::Result<(), String> {
        let Self { block_size, queue_depth, .. } = *self;
        if block_size == 0 || !block_size.is_multiple_of(ALIGNMENT) || block_size as u64 > BLOCK_SIZE_MAXIMUM {
            return Err(format!(
                "block_size = {block_size} is not a multiple of {ALIGNMENT} up to {BLOCK_SIZE_MAXIMUM}"
            ));
        }
        if !(1..=QUEUE_DEPTH_MAXIMUM).contains(&queue_depth) {
            return Err(format!("queue_depth = {queue_depth} is not between 1 and {QUEUE_DEPTH_MAXIMUM}"));
        }
        Ok(())
    }
}

/// The objects below one directory, read and written with O_DIRECT. Cheap to clone; clones share one queue.
///
/// Alignment is what the file system says it needs (`STATX_DIOALIGN`), and 4,096 bytes at least. Every method must run
/// within a tokio runtime; dropping the last clone waits for the blocks in flight.
///
/// ```
/// # use object_store::{ObjectStoreExt, path::Path};
/// # use s3dlio_store::backend::direct::{ConfigurableFileSystemObjectStore, DirectOptions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> object_store::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// let options = DirectOptions { direct_fallback: true, ..DirectOptions::default() };
/// let store = ConfigurableFileSystemObjectStore::new(directory.path(), options)?;
/// let key = Path::from("set/sample");
/// store.put(&key, vec![7; 10_000].into()).await?;
/// assert_eq!(store.get_range(&key, 9_999..10_000).await?, [7].as_slice());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConfigurableFileSystemObjectStore {
    files: FileSystemObjectStore,
    options: DirectOptions,
}

impl ConfigurableFileSystemObjectStore {
    /// The store of the files below `root`; see [`FileSystemObjectStore::new`]. Whether the file system takes O_DIRECT
    /// shows with the first file.
    ///
    /// # Errors
    /// If an option is out of its bounds, or `root` exists and is no directory.
    pub fn new(root: impl Into<PathBuf>, options: DirectOptions) -> Result<Self> {
        let root = root.into();
        options.check().map_err(|message| {
            let uri = format!("direct://{}", root.display());
            Error::new(ErrorKind::Config, Operation::Open, uri).with_message(message).into_store()
        })?;
        let data = Arc::new(Direct::new(&options));
        let files = FileSystemObjectStore::with_data_path(Scheme::Direct, root, data, options.queue_depth)?;
        Ok(Self { files, options })
    }

    /// The options that the store was made with.
    pub fn options(&self) -> &DirectOptions {
        &self.options
    }

    /// The directory that the keys are relative to, as an absolute path.
    pub fn root(&self) -> &std::path::Path {
        self.files.root()
    }

    /// Opens an object for reads into memory of the caller's own; see [`FileSystemObjectStore::open_for_read`]. A read
    /// whose memory, offset or length is not aligned goes through a buffer.
    ///
    /// # Errors
    /// As [`ObjectStore::get_opts`].
    pub fn open_for_read(&self, location: &Path) -> Result<OpenFile> {
        self.files.open_for_read(location)
    }

    /// The pages of a listing; see [`FileSystemObjectStore::list_pages`].
    pub fn list_pages(&self, request: ListRequest) -> BoxStream<'static, crate::error::Result<ListPage>> {
        self.files.list_pages(request)
    }
}

impl fmt::Display for ConfigurableFileSystemObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigurableFileSystemObjectStore({})", self.root().display())
    }
}

impl Lister for ConfigurableFileSystemObjectStore {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, crate::error::Result<ListPage>> {
        self.files.list_pages(request)
    }
}

#[async_trait]
impl ObjectStore for ConfigurableFileSystemObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}
