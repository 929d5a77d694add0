//! `file://`: objects as the files below a root directory, through the page cache.
//!
//! A key is the path of its file below the root, byte for byte. Only regular files are objects: a directory is not found,
//! and a FIFO, a socket or a device is refused without being waited for. The parts:
//!
//! - `root` resolves every path below the root and nowhere else; `key` says which keys can be files.
//! - `data` moves bytes, and is the only part that [`direct`](super::direct) replaces; `buffer` holds its memory.
//! - `read` opens, checks and streams; `write` and `upload` make files appear whole or not at all; `names` deletes,
//!   copies and renames; `list` walks; `attributes` keeps content type and metadata.
//! - `failure` turns what the kernel says into errors that say what to do.
//!
//! Where a file system differs from an object store: an object `a` and an object `a/b` cannot both exist; directories are
//! made by puts and stay when their last object is deleted; a put over a symbolic link replaces the link, and a delete
//! removes it, not its target; there are no versions and no tags.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Operation};
use crate::listing::{ListPage, ListRequest, Lister, ObjectEntry};
use crate::uri::Scheme;

mod attributes;
pub(super) mod buffer;
pub(super) mod data;
mod failure;
mod key;
mod list;
mod names;
mod read;
pub(super) mod root;
#[cfg(test)]
pub(super) mod tests;
mod upload;
mod write;

use data::{Cached, DataPath};
pub use key::TEMPORARY_PREFIX;
pub use read::OpenFile;
use read::Reader;
use root::Root;
use upload::Upload;
use write::Writer;

/// Blocks of 1 MiB that all streams of one store read ahead together.
const BLOCKS_AHEAD: usize = 32;

/// How many deletes run in one blocking call, and how many such calls at once.
const DELETES_PER_CALL: usize = 64;
const DELETE_CALLS: usize = 4;

/// The objects below one directory. Cheap to clone; clones share their buffers and locks.
///
/// Every method must run within a tokio runtime. Dropping the future of a method, a stream or an upload stops it: no
/// new block is read or written, and no temporary file is left.
///
/// ```
/// # use object_store::{ObjectStoreExt, path::Path};
/// # use s3dlio_store::backend::file::FileSystemObjectStore;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> object_store::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// let store = FileSystemObjectStore::new(directory.path())?;
/// let key = Path::from("set/sample");
/// store.put(&key, "content".into()).await?;
/// assert_eq!(store.get(&key).await?.bytes().await?, "content");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FileSystemObjectStore {
    reader: Reader,
    writer: Writer,
}

impl FileSystemObjectStore {
    /// The store of the files below `root`, which is made absolute. A root that does not exist yet is made by the first
    /// put.
    ///
    /// # Errors
    /// If `root` exists and is no directory, or cannot be looked at.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Self::with_data_path(Scheme::File, root.into(), Arc::new(Cached::new()), BLOCKS_AHEAD)
    }

    /// A store whose bytes move through `data`, and whose streams read `blocks_ahead` blocks ahead in all.
    pub(super) fn with_data_path(
        scheme: Scheme,
        path: PathBuf,
        data: Arc<dyn DataPath>,
        blocks_ahead: usize,
    ) -> Result<Self> {
        let root = Root::new(scheme, &path).map_err(|error| {
            let uri = format!("{}://{}", scheme.as_str(), path.display());
            Error::from_io(error, Operation::Open, uri).with_message("cannot be the root of a store").into_store()
        })?;
        Ok(Self::over(Arc::new(root), data, blocks_ahead))
    }

    fn over(root: Arc<Root>, data: Arc<dyn DataPath>, blocks_ahead: usize) -> Self {
        let reader = Reader::new(root.clone(), data.clone(), blocks_ahead);
        Self { reader, writer: Writer::new(root, data) }
    }

    /// The directory that the keys are relative to, as an absolute path.
    pub fn root(&self) -> &std::path::Path {
        self.writer.root.path()
    }

    /// Opens an object for reads into memory of the caller's own. Blocking: call it, and the reads, from
    /// `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// As [`ObjectStore::get_opts`].
    pub fn open_for_read(&self, location: &Path) -> Result<OpenFile> {
        OpenFile::open(&self.reader.root, &self.reader.data, location)
    }

    /// The pages of a listing by string prefix, in the byte order of the keys; see [`Lister::pages`]. Prefixes end in
    /// `/`, and appear for empty directories too. A name that is not UTF-8 and a directory that may not be read are
    /// one error item each, after which the stream goes on.
    pub fn list_pages(&self, request: ListRequest) -> BoxStream<'static, crate::error::Result<ListPage>> {
        list::pages(self.writer.root.clone(), request)
    }

    /// What the trait's listings are made of: keys below the directory `prefix`.
    fn list_below(&self, prefix: Option<&Path>, start_after: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let request = ListRequest {
            prefix: directory_prefix(prefix),
            start_after: start_after.map(|key| key.as_ref().to_owned()),
            ..ListRequest::default()
        };
        let pages = self.list_pages(request).map_err(Error::into_store);
        pages.map_ok(|page| stream::iter(page.objects).map(object_meta)).try_flatten().boxed()
    }
}

/// The trait's prefixes are whole segments: `a/b` stands for the keys below the directory `a/b`.
fn directory_prefix(prefix: Option<&Path>) -> String {
    match prefix {
        Some(prefix) if !prefix.is_root() => format!("{prefix}/"),
        _ => String::new(),
    }
}

fn object_meta(entry: ObjectEntry) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: Path::parse(&entry.key)?,
        last_modified: entry.last_modified,
        size: entry.size,
        e_tag: entry.e_tag,
        version: None,
    })
}

/// Runs `work` on a thread that may block. Dropped before it has begun, it never begins.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match AbortOnDropHandle::new(tokio::task::spawn_blocking(work)).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down.
        Err(source) => Err(object_store::Error::JoinError { source }),
    }
}

impl fmt::Display for FileSystemObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSystemObjectStore({})", self.root().display())
    }
}

impl Lister for FileSystemObjectStore {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, crate::error::Result<ListPage>> {
        self.list_pages(request)
    }
}

#[async_trait]
impl ObjectStore for FileSystemObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.writer.put(location, payload, options.mode, options.attributes).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload::begin(&self.writer, location, options.attributes).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reader.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.reader.get_small_ranges(location, ranges).await? {
            Some(all) => Ok(all),
            None => object_store::coalesce_ranges(ranges, |range| self.get_range(location, range), 0).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let writer = self.writer.clone();
        locations
            .ready_chunks(DELETES_PER_CALL)
            .map(move |locations| {
                let writer = writer.clone();
                blocking(move || {
                    let delete = |location: Path| writer.delete(&location).map(|()| location);
                    Ok(locations.into_iter().map(|location| location.and_then(delete)).collect::<Vec<_>>())
                })
            })
            .buffered(DELETE_CALLS)
            .map_ok(stream::iter)
            .try_flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_below(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_below(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let request = ListRequest { prefix: directory_prefix(prefix), delimiter: true, ..ListRequest::default() };
        let mut pages = self.list_pages(request);
        let mut result =
            ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
        while let Some(page) = pages.next().await {
            let page = page.map_err(Error::into_store)?;
            for prefix in page.prefixes {
                result.common_prefixes.push(Path::parse(prefix)?);
            }
            for object in page.objects {
                result.objects.push(object_meta(object)?);
            }
        }
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.writer.copy(from, to, options.mode).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (writer, source, target, mode) = (self.writer.clone(), from.clone(), to.clone(), options.target_mode);
        if blocking(move || writer.rename(&source, &target, mode)).await? {
            return Ok(());
        }
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.writer.copy(from, to, mode).await?;
        self.delete(from).await
    }
}
