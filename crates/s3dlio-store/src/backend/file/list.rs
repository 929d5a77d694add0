//! Listing: a walk of the directories in the byte order of whole keys, page by page.
//!
//! The entries of one directory are read at once and sorted with directories as `name/`, which makes a depth-first walk
//! yield whole keys in byte order: `a-b`, `a/b`, `a0`. Memory is bounded by the names in the directories on the current
//! path. Each page is made by one blocking call, the next while the one before is used; dropping the stream stops the
//! walk at its next entry.
//!
//! Symbolic links are followed as long as they stay below the root: a link to a file is an object, a link to a directory
//! is walked unless that directory is already on the current path, so that cycles end. Links that lead out of the root
//! or nowhere are not listed, and one warning per listing says so; unfinished writes, FIFOs, sockets and devices are not
//! objects. Directories appear as prefixes of a listing with a delimiter whether there is anything in them or not.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use tokio_util::task::AbortOnDropHandle;

use super::failure::failure;
use super::key::{is_temporary, names_nothing};
use super::read::Version;
use super::root::Root;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListPage, ListRequest, ObjectEntry};

/// Entries per page where the caller does not say: what S3 gives.
const PAGE_SIZE: usize = 1000;

/// The pages of a listing. A name that cannot be listed is one error item, after which the stream goes on; an error of
/// the whole listing ends it.
pub(crate) fn pages(root: Arc<Root>, request: ListRequest) -> BoxStream<'static, Result<ListPage>> {
    let stop = Arc::new(AtomicBool::new(false));
    let walk = Walk::new(root, request, stop.clone());
    let listing = Listing { next: Next::Idle(Box::new(walk)), _stop: StopOnDrop(stop) };
    stream::unfold(listing, Listing::advance).boxed()
}

type Made = (Box<Walk>, Option<Result<ListPage>>);

struct Listing {
    next: Next,
    _stop: StopOnDrop,
}

enum Next {
    Idle(Box<Walk>),
    Running(AbortOnDropHandle<Made>),
    Over,
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Listing {
    async fn advance(mut self) -> Option<(Result<ListPage>, Self)> {
        let running = match std::mem::replace(&mut self.next, Next::Over) {
            Next::Idle(walk) => make_page(walk),
            Next::Running(running) => running,
            Next::Over => return None,
        };
        match running.await {
            Ok((walk, Some(page))) => {
                self.next = Next::Running(make_page(walk));
                Some((page, self))
            }
            Ok((_, None)) => None,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is shutting down.
            Err(_) => Some((Err(Error::cancelled(Operation::List, "file:///")), self)),
        }
    }
}

fn make_page(mut walk: Box<Walk>) -> AbortOnDropHandle<Made> {
    AbortOnDropHandle::new(tokio::task::spawn_blocking(move || {
        let page = walk.page();
        (walk, page)
    }))
}

/// Where a walk is.
struct Walk {
    root: Arc<Root>,
    request: ListRequest,
    page_size: usize,
    begun: bool,
    stop: Arc<AtomicBool>,
    /// The directories on the current path that the listing began above: links back to them are cycles too.
    above: Vec<Identity>,
    frames: Vec<Frame>,
    /// An error whose turn comes after the page that was cut short for it.
    pending: Option<Error>,
    /// Links that lead out of the root or nowhere, and the first of them.
    skipped: (u64, Option<String>),
}

/// A directory is the same one if device and inode are.
type Identity = (u64, u64);

/// One directory on the current path.
struct Frame {
    directory: OwnedFd,
    identity: Identity,
    /// What all keys in it start with: empty, or ending in `/`.
    prefix: String,
    entries: Entries,
    next: usize,
}

/// The names of a directory in one allocation, directories with a `/` at their end, and their order.
#[derive(Default)]
struct Entries {
    names: Vec<u8>,
    order: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    length: u32,
    is_link: bool,
}

impl Entries {
    fn push(&mut self, name: &[u8], is_directory: bool, is_link: bool) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        if is_directory {
            self.names.push(b'/');
        }
        self.order.push(Entry { start, length: (self.names.len() - start) as u32, is_link });
    }

    fn name(&self, entry: Entry) -> &[u8] {
        &self.names[entry.start..entry.start + entry.length as usize]
    }

    fn sort(&mut self) {
        let names = &self.names;
        let name = |entry: &Entry| &names[entry.start..entry.start + entry.length as usize];
        self.order.sort_unstable_by(|one, other| name(one).cmp(name(other)));
    }
}

/// What became of an entry.
enum Visited {
    Object(ObjectEntry),
    Prefix(String),
    Nothing,
}

impl Walk {
    fn new(root: Arc<Root>, request: ListRequest, stop: Arc<AtomicBool>) -> Self {
        let page_size = request.page_size.unwrap_or(PAGE_SIZE).max(1);
        Self {
            root,
            request,
            page_size,
            begun: false,
            stop,
            above: Vec::new(),
            frames: Vec::new(),
            pending: None,
            skipped: (0, None),
        }
    }

    /// The next page, or the next error; `None` at the end, and when it was stopped. Blocking.
    fn page(&mut self) -> Option<Result<ListPage>> {
        if let Some(error) = self.pending.take() {
            return Some(Err(error));
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Err(error) = self.begin()
        {
            return Some(Err(error));
        }
        let mut page = ListPage::default();
        while page.objects.len() + page.prefixes.len() < self.page_size && !self.stop.load(Ordering::Relaxed) {
            match self.visit_next() {
                None => break,
                Some(Ok(Visited::Object(object))) => page.objects.push(object),
                Some(Ok(Visited::Prefix(prefix))) => page.prefixes.push(prefix),
                Some(Ok(Visited::Nothing)) => {}
                Some(Err(error)) if page == ListPage::default() => return Some(Err(error)),
                Some(Err(error)) => {
                    self.pending = Some(error);
                    break;
                }
            }
        }
        if page != ListPage::default() {
            return Some(Ok(page));
        }
        if let (links, Some(first)) = std::mem::take(&mut self.skipped) {
            tracing::warn!(links, first, "symbolic links that lead out of the root or nowhere are not listed");
        }
        None
    }

    /// Opens the directory that the prefix names. Nothing there is an empty listing; no root is an error.
    fn begin(&mut self) -> Result<()> {
        let prefix = self.request.prefix.clone();
        if names_nothing(&prefix) {
            return Ok(());
        }
        self.root.open("", OFlags::PATH).map_err(|error| self.failed("", error))?;
        let end = prefix.rfind('/').map_or(0, |slash| slash + 1);
        let directory = &prefix[..end];
        for (slash, _) in directory.match_indices('/').filter(|(slash, _)| slash + 1 < end) {
            if let Ok(open) = self.root.open(&directory[..slash], OFlags::PATH) {
                self.above.extend(fstat(&open).ok().map(|stat| identity(&stat)));
            }
        }
        if end > 0 {
            self.above
                .extend(self.root.open("", OFlags::PATH).ok().and_then(|open| Some(identity(&fstat(open).ok()?))));
        }
        match self.root.open(directory.trim_end_matches('/'), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(open) => self.enter(open, directory.to_owned()),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                _ => Err(self.failed(directory, error)),
            },
        }
    }

    /// Goes into a directory, unless it is on the current path already.
    fn enter(&mut self, directory: OwnedFd, prefix: String) -> Result<()> {
        let failed = |error: Errno| self.failed(&prefix, error.into());
        let identity = identity(&fstat(&directory).map_err(failed)?);
        if self.above.contains(&identity) || self.frames.iter().any(|frame| frame.identity == identity) {
            return Ok(());
        }
        let after = match &self.request.start_after {
            // Either the key lies in this directory, or all that the directory holds is smaller.
            Some(after) if after.as_str() > prefix.as_str() => match after.strip_prefix(&prefix) {
                Some(rest) => Some(rest.as_bytes().to_vec()),
                None => return Ok(()),
            },
            _ => None,
        };
        let entries = self.read(&directory, &prefix)?;
        let next = match &after {
            Some(after) => entries.order.partition_point(|entry| {
                let name = entries.name(*entry);
                // A directory that the key lies in is still to be walked; a prefix that equals it is not greater.
                let holds_it = name.ends_with(b"/")
                    && after.starts_with(name)
                    && !(self.request.delimiter && after.len() == name.len());
                name <= after.as_slice() && !holds_it
            }),
            None => 0,
        };
        self.frames.push(Frame { directory, identity, prefix, entries, next });
        Ok(())
    }

    fn read(&mut self, directory: &OwnedFd, prefix: &str) -> Result<Entries> {
        // The last segment of the prefix: what names in the first directory must start with.
        let wanted = self.request.prefix.strip_prefix(prefix).unwrap_or_default().to_owned();
        let failed = |error: Errno| failed(&self.root, prefix, error.into());
        let mut entries = Entries::default();
        for entry in Dir::read_from(directory).map_err(failed)? {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || is_temporary(name) || !name.starts_with(wanted.as_bytes()) {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                known => known,
            };
            match kind {
                FileType::RegularFile => entries.push(name, false, false),
                FileType::Directory => entries.push(name, true, false),
                FileType::Symlink => match self.target(prefix, name) {
                    Some(FileType::RegularFile) => entries.push(name, false, true),
                    Some(FileType::Directory) => entries.push(name, true, true),
                    Some(_) => {}
                    None => {
                        let key = format!("{prefix}{}", String::from_utf8_lossy(name));
                        self.skipped.0 += 1;
                        self.skipped.1.get_or_insert(key);
                    }
                },
                _ => {}
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// What kind of file a link leads to, if it leads to one below the root. A name that is not UTF-8 is a file, for its
    /// error to be raised in its turn.
    fn target(&self, prefix: &str, name: &[u8]) -> Option<FileType> {
        let Ok(name) = std::str::from_utf8(name) else { return Some(FileType::RegularFile) };
        let target = self.root.open(&format!("{prefix}{name}"), OFlags::PATH).ok()?;
        Some(FileType::from_raw_mode(fstat(target).ok()?.st_mode))
    }

    fn visit_next(&mut self) -> Option<Result<Visited>> {
        let frame = loop {
            let frame = self.frames.last_mut()?;
            if frame.next < frame.entries.order.len() {
                break frame;
            }
            self.frames.pop();
        };
        let entry = frame.entries.order[frame.next];
        frame.next += 1;
        let name = frame.entries.name(entry);
        let is_directory = name.ends_with(b"/");
        let Ok(name) = std::str::from_utf8(name) else {
            return Some(Err(self.not_utf8(entry)));
        };
        let key = format!("{}{name}", frame.prefix);
        if !is_directory {
            let stat = match entry.is_link {
                true => self.root.open(&key, OFlags::PATH).and_then(|target| Ok(fstat(target)?)),
                false => Ok(statat(&frame.directory, name, AtFlags::SYMLINK_NOFOLLOW)).and_then(|stat| Ok(stat?)),
            };
            return Some(self.object(key, stat));
        }
        if self.request.delimiter {
            return Some(Ok(Visited::Prefix(key)));
        }
        let plain = name.trim_end_matches('/');
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match entry.is_link {
            true => self.root.open(key.trim_end_matches('/'), OFlags::RDONLY | OFlags::DIRECTORY),
            false => openat(&frame.directory, plain, flags, rustix::fs::Mode::empty()).map_err(io::Error::from),
        };
        Some(match opened {
            Ok(directory) => self.enter(directory, key).map(|()| Visited::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Visited::Nothing),
            Err(error) => Err(self.failed(&key, error)),
        })
    }

    fn object(&self, key: String, stat: io::Result<Stat>) -> Result<Visited> {
        match stat {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                let version = Version::of(&stat);
                Ok(Visited::Object(ObjectEntry {
                    key,
                    size: version.size,
                    last_modified: version.last_modified(),
                    e_tag: Some(version.e_tag()),
                }))
            }
            // It became something else after its directory was read.
            Ok(_) => Ok(Visited::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Visited::Nothing),
            Err(error) => Err(self.failed(&key, error)),
        }
    }

    fn failed(&self, key: &str, error: io::Error) -> Error {
        failed(&self.root, key, error)
    }

    fn not_utf8(&self, entry: Entry) -> Error {
        let (prefix, name) =
            self.frames.last().map_or(("", &[][..]), |frame| (&*frame.prefix, frame.entries.name(entry)));
        Error::new(ErrorKind::Unsupported, Operation::List, self.root.uri(prefix))
            .with_message(format!(
                "the name {:?} in this directory is not UTF-8, and no key can name it",
                std::ffi::OsStr::from_bytes(name)
            ))
            .with_hint("rename it, for example with convmv")
    }
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn failed(root: &Root, key: &str, error: io::Error) -> Error {
    Error::from_store(failure(root, Operation::List, key, error), Operation::List, root.uri(key))
}
