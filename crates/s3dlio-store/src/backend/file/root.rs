//! The directory that a store lives in, and the only way to a file below it.
//!
//! Every path is resolved by the kernel relative to a descriptor of the root, with `openat2(RESOLVE_BENEATH)`: `..`
//! and symbolic links cannot leave the root, whoever swaps them in while a path is being resolved. A link that is
//! absolute, which `RESOLVE_BENEATH` refuses even where its target lies inside the root, and a kernel without `openat2`
//! take the second way: the path is canonicalised, its target must lie below the canonical root, and what came out is
//! then opened component by component without following any link, so that a swap in between fails instead of escaping.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

use crate::uri::Scheme;

/// How often a resolution is repeated that a concurrent rename disturbed (`EAGAIN`), before that is the answer.
const RESOLUTION_ATTEMPTS: usize = 64;

/// Enough to make, rename and remove files in a directory, without the permission to list it.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// A root directory and the descriptor that paths are resolved from.
#[derive(Debug)]
pub(crate) struct Root {
    scheme: Scheme,
    path: PathBuf,
    /// Opened at the first use; opened again when the directory was removed and made anew.
    descriptor: Mutex<Option<Arc<OwnedFd>>>,
    has_openat2: AtomicBool,
}

impl Root {
    /// The root at `path`, made absolute. The directory need not exist yet: the first put makes it.
    pub(crate) fn new(scheme: Scheme, path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        match fs::metadata(&path) {
            Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { scheme, path, descriptor: Mutex::new(None), has_openat2: AtomicBool::new(true) })
    }

    /// A root that behaves as on a kernel without `openat2`.
    #[cfg(test)]
    pub(crate) fn without_openat2(self) -> Self {
        self.has_openat2.store(false, Ordering::Relaxed);
        self
    }

    /// The absolute path of the root.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What errors call `key`: the URI of the file.
    pub(crate) fn uri(&self, key: &str) -> String {
        format!("{}://{}", self.scheme.as_str(), self.path.join(key).display())
    }

    /// Opens `relative` (the root itself if empty). Blocking.
    ///
    /// # Errors
    /// `EXDEV` if a symbolic link leads out of the root; otherwise what the kernel says.
    pub(crate) fn open(&self, relative: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let mut flags = flags | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NOCTTY;
        }
        match self.open_once(relative, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.forget_removed() => {
                self.open_once(relative, flags)
            }
            result => result,
        }
    }

    /// Opens the directory `relative`, to make, rename and remove files in it, and to sync it. Blocking.
    pub(crate) fn open_directory(&self, relative: &str) -> io::Result<OwnedFd> {
        self.open(relative, DIRECTORY)
    }

    /// Opens the directory `relative`, making what is missing of it and of the root. Blocking.
    pub(crate) fn make_directory(&self, relative: &str) -> io::Result<OwnedFd> {
        match self.open_directory(relative) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        fs::create_dir_all(&self.path)?;
        let mut current = self.open_directory("")?;
        let ends = relative.match_indices('/').map(|(index, _)| index).chain(Some(relative.len()));
        let mut start = 0;
        for end in ends.filter(|end| *end > 0) {
            let below = &relative[..end];
            current = match self.open_directory(below) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match mkdirat(&current, &relative[start..end], Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                        // Another put may make the same directory at the same time.
                        Ok(()) | Err(Errno::EXIST) => sync_directory(&current)?,
                        Err(error) => return Err(error.into()),
                    }
                    self.open_directory(below)?
                }
                result => result?,
            };
            start = end + 1;
        }
        Ok(current)
    }

    fn open_once(&self, relative: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let root = self.descriptor()?;
        if relative.is_empty() {
            return Ok(openat(&root, ".", flags, Mode::empty())?);
        }
        if self.has_openat2.load(Ordering::Relaxed) {
            match open_beneath(&root, relative, flags) {
                Err(Errno::XDEV) => {}
                Err(error) => return Err(error.into()),
                Ok(file) => return Ok(file),
            }
        }
        let resolved = self.resolve(relative)?;
        open_without_links(&root, &resolved, flags)
    }

    fn descriptor(&self) -> io::Result<Arc<OwnedFd>> {
        let mut descriptor = self.descriptor.lock();
        if let Some(open) = &*descriptor {
            return Ok(open.clone());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match openat2(CWD, &self.path, flags, Mode::empty(), ResolveFlags::empty()) {
            // No such call, or a sandbox that does not let it through.
            Err(Errno::NOSYS | Errno::PERM) => {
                self.has_openat2.store(false, Ordering::Relaxed);
                openat(CWD, &self.path, flags, Mode::empty())?
            }
            result => result?,
        };
        Ok(descriptor.insert(Arc::new(opened)).clone())
    }

    /// Lets go of the descriptor if its directory was removed, so that a directory made anew is found.
    fn forget_removed(&self) -> bool {
        let mut descriptor = self.descriptor.lock();
        let removed = descriptor.as_ref().is_some_and(|open| fstat(open).is_ok_and(|stat| stat.st_nlink == 0));
        if removed {
            *descriptor = None;
        }
        removed
    }

    /// Where `relative` leads, as a path below the root that has no links in it.
    fn resolve(&self, relative: &str) -> io::Result<PathBuf> {
        let target = fs::canonicalize(self.path.join(relative))?;
        let root = fs::canonicalize(&self.path)?;
        match target.strip_prefix(&root) {
            Ok(below) => Ok(below.to_owned()),
            Err(_) => Err(Errno::XDEV.into()),
        }
    }
}

fn open_beneath(root: &OwnedFd, relative: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match openat2(root, relative, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if attempts < RESOLUTION_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

fn open_without_links(root: &OwnedFd, below: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parent = openat(root, ".", step, Mode::empty())?;
    let Some(name) = below.file_name() else {
        return Ok(openat(&parent, ".", flags, Mode::empty())?);
    };
    for component in below.parent().into_iter().flat_map(Path::components) {
        parent = openat(&parent, component.as_os_str(), step, Mode::empty())?;
    }
    Ok(openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty())?)
}

/// Makes the entries of a directory durable. Blocking.
pub(crate) fn sync_directory(directory: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(directory, ".", flags, Mode::empty()).and_then(rustix::fs::fsync) {
        // File systems that cannot sync a directory say so with the first two; their entries are durable or never will
        // be. A directory that may not be listed cannot be synced either.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::ACCESS) => Ok(()),
        result => Ok(result?),
    }
}
