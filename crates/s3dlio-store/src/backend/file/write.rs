//! Writing: a temporary file in the directory of the object, synced, then renamed to the object's name.
//!
//! A [`Staging`] owns the temporary file from the moment it is made until it is renamed or removed, and removes it when
//! it is dropped. Blocking calls work on it through a [`Handle`]: one that was started before the drop finds out at its
//! next block, and cannot rename any more. So whoever drops the future of a put, or an upload, finds no temporary file
//! afterwards, and the object either whole or as it was.
//!
//! A put that must match the present ETag cannot be done by one call of a file system. It compares and renames under two
//! locks: one in this process that plain puts, deletes and renames of the store respect too, and an advisory `flock` on
//! the directory that updates by other processes of ours respect.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, PutMode, PutPayload, PutResult, Result};
use parking_lot::{Mutex, RwLock};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, flock, fstat, futimens,
    linkat, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::attributes;
use super::data::{DataPath, WriteFile, stopped};
use super::failure::{Describe, failure};
use super::key::{Key, temporary_name};
use super::read::Version;
use super::root::{Root, sync_directory};
use crate::error::{Error, ErrorKind, Operation};

/// How long an update waits for another process that updates in the same directory.
const LOCK_PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// How often it looks: the lock is held for the time of one rename.
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// What all writes of one store share.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) root: Arc<Root>,
    pub(crate) data: Arc<dyn DataPath>,
    locks: Arc<[RwLock<()>; 64]>,
}

impl Writer {
    pub(crate) fn new(root: Arc<Root>, data: Arc<dyn DataPath>) -> Self {
        Self { root, data, locks: Arc::new(std::array::from_fn(|_| RwLock::new(()))) }
    }

    /// The lock that an update of `key` holds alone, and whoever else changes what the key names holds with others.
    pub(crate) fn lock(&self, key: &Key) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        key.as_str().hash(&mut hasher);
        &self.locks[hasher.finish() as usize % self.locks.len()]
    }

    pub(crate) async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        mode: PutMode,
        attributes: Attributes,
    ) -> Result<PutResult> {
        let key = Key::parse(&self.root, Operation::Put, location)?;
        let staging = Staging::new();
        let (writer, handle) = (self.clone(), staging.handle());
        super::blocking(move || {
            writer.check_early(&key, &mode)?;
            let staged = handle.stage(&writer, Operation::Put, &key)?;
            let data: Vec<Bytes> = payload.into_iter().collect();
            staged.write(&handle, 0, &data)?;
            attributes::write(&writer.root, key.as_str(), &staged.file.cached, &attributes)?;
            staged.commit(&handle, &mode)
        })
        .await
    }

    /// Fails a conditional put before it writes anything, where it can be seen that it will fail.
    pub(crate) fn check_early(&self, key: &Key, mode: &PutMode) -> Result<()> {
        match mode {
            PutMode::Overwrite => Ok(()),
            PutMode::Create => match self.root.open(key.as_str(), OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(_) => Err(self.exists(Operation::Put, key)),
                Err(_) => Ok(()),
            },
            PutMode::Update(expected) => match (&expected.e_tag, &expected.version) {
                (Some(e_tag), None) => self.check_version(key, e_tag),
                _ => Err(Error::new(ErrorKind::Unsupported, Operation::Put, self.root.uri(key.as_str()))
                    .with_message("a file system can only compare the ETag, and keeps no versions")
                    .into_store()),
            },
        }
    }

    fn check_version(&self, key: &Key, expected: &str) -> Result<()> {
        let found = match self.root.open(key.as_str(), OFlags::PATH) {
            Ok(file) => Some(Version::of(&fstat(&file).describe(&self.root, Operation::Put, key.as_str())?).e_tag()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failure(&self.root, Operation::Put, key.as_str(), error)),
        };
        if found.as_deref() == Some(expected) {
            return Ok(());
        }
        let found = found.as_deref().unwrap_or("no file");
        Err(Error::new(ErrorKind::PreconditionFailed, Operation::Put, self.root.uri(key.as_str()))
            .with_message(format!("expected the ETag {expected}, found {found}"))
            .into_store())
    }

    pub(crate) fn exists(&self, operation: Operation, key: &Key) -> object_store::Error {
        failure(&self.root, operation, key.as_str(), io::ErrorKind::AlreadyExists.into())
    }
}

/// Owns one temporary file. Dropping it removes the file, unless it has become the object.
#[derive(Debug)]
pub(crate) struct Staging(Handle);

/// The way to a [`Staging`] for the blocking calls that work on it.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: Mutex<Phase>,
    stop: AtomicBool,
}

#[derive(Debug)]
enum Phase {
    Empty,
    Staged { directory: Arc<OwnedFd>, name: String },
    Over,
}

impl Staging {
    pub(crate) fn new() -> Self {
        Self(Handle(Arc::new(Shared { phase: Mutex::new(Phase::Empty), stop: AtomicBool::new(false) })))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0.clone()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.0.discard();
    }
}

impl Handle {
    /// Makes the temporary file for `key`, and the directories that it lies in. Blocking.
    pub(crate) fn stage(&self, writer: &Writer, operation: Operation, key: &Key) -> Result<Staged> {
        let root = &writer.root;
        if self.0.stop.load(Ordering::Relaxed) {
            return Err(failure(root, operation, key.as_str(), stopped()));
        }
        let directory = root.make_directory(key.directory()).describe(root, operation, key.as_str())?;
        let directory = Arc::new(directory);
        let (name, file) = self.create(&directory).describe(root, operation, key.as_str())?;
        let file = writer.data.write_file(&directory, &name, file).describe(root, operation, key.as_str())?;
        Ok(Staged { writer: writer.clone(), operation, key: key.clone(), directory, name, file })
    }

    fn create(&self, directory: &Arc<OwnedFd>) -> io::Result<(String, File)> {
        let mut phase = self.0.phase.lock();
        if !matches!(*phase, Phase::Empty) {
            return Err(stopped());
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        loop {
            let name = temporary_name();
            match openat(directory, &name, flags, mode) {
                Err(Errno::EXIST) => {}
                result => {
                    let file = result?.into();
                    *phase = Phase::Staged { directory: directory.clone(), name: name.clone() };
                    return Ok((name, file));
                }
            }
        }
    }

    /// Removes the temporary file if there is one, and ends the staging.
    pub(crate) fn discard(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
        let ended = std::mem::replace(&mut *self.0.phase.lock(), Phase::Over);
        if let Phase::Staged { directory, name } = ended
            && let Err(error) = unlinkat(&directory, &name, AtFlags::empty())
            && error != Errno::NOENT
        {
            tracing::warn!(name, %error, "cannot remove the temporary file of a write that was given up");
        }
    }

    /// Gives the temporary file its final name by `rename`, which nobody interrupts.
    fn commit(&self, rename: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut phase = self.0.phase.lock();
        if !matches!(*phase, Phase::Staged { .. }) {
            return Err(object_store::Error::Generic { store: "file", source: stopped().into() });
        }
        rename()?;
        *phase = Phase::Over;
        Ok(())
    }
}

/// A temporary file that is open for writing.
#[derive(Debug)]
pub(crate) struct Staged {
    writer: Writer,
    operation: Operation,
    key: Key,
    directory: Arc<OwnedFd>,
    name: String,
    pub(crate) file: WriteFile,
}

impl Staged {
    /// Writes `data` from `offset` on. Blocking.
    pub(crate) fn write(&self, handle: &Handle, offset: u64, data: &[Bytes]) -> Result<()> {
        let written = self.writer.data.write(&self.file, offset, data, &handle.0.stop);
        written.describe(&self.writer.root, self.operation, self.key.as_str())
    }

    /// Copies the content of `from`. Blocking.
    pub(crate) fn copy_from(&self, handle: &Handle, from: &File) -> Result<()> {
        // The kernel copies between two files by reflink or copy_file_range where the file system can.
        const PIECE: u64 = 64 << 20;
        let copy = || -> io::Result<()> {
            loop {
                if handle.0.stop.load(Ordering::Relaxed) {
                    return Err(stopped());
                }
                if io::copy(&mut io::Read::take(from, PIECE), &mut &self.file.cached)? < PIECE {
                    return Ok(());
                }
            }
        };
        copy().describe(&self.writer.root, self.operation, self.key.as_str())
    }

    /// Makes the file durable and gives it the object's name as `mode` says. Blocking.
    ///
    /// # Errors
    /// `AlreadyExists` and `Precondition` by `mode`; `Interrupted` if the staging was dropped. The temporary file is left
    /// to the staging then.
    pub(crate) fn commit(&self, handle: &Handle, mode: &PutMode) -> Result<PutResult> {
        let root = &self.writer.root;
        let version = self.finish().describe(root, self.operation, self.key.as_str())?;
        match mode {
            PutMode::Overwrite => {
                let _with_others = self.writer.lock(&self.key).read();
                handle.commit(|| self.rename())?;
            }
            PutMode::Create => {
                let _with_others = self.writer.lock(&self.key).read();
                handle.commit(|| self.rename_unless_exists())?;
            }
            PutMode::Update(expected) => {
                let _alone = self.writer.lock(&self.key).write();
                let _lock = self.lock_directory()?;
                self.writer.check_version(&self.key, expected.e_tag.as_deref().unwrap_or_default())?;
                handle.commit(|| self.rename())?;
            }
        }
        sync_directory(&self.directory).describe(root, self.operation, self.key.as_str())?;
        Ok(PutResult { e_tag: Some(version.e_tag()), version: None, extensions: Default::default() })
    }

    /// Syncs the file, and sets its time of modification to the nanosecond: the kernel's own clock ticks every few
    /// milliseconds, and two versions within a tick that reuse an inode would have one ETag.
    fn finish(&self) -> io::Result<Version> {
        let file = &self.file.cached;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        futimens(
            file,
            &Timestamps {
                last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
                last_modification: Timespec { tv_sec: now.as_secs() as i64, tv_nsec: i64::from(now.subsec_nanos()) },
            },
        )?;
        file.sync_all()?;
        Ok(Version::of(&fstat(file)?))
    }

    fn rename(&self) -> Result<()> {
        let renamed = renameat(&self.directory, &self.name, &self.directory, self.key.name());
        renamed.describe(&self.writer.root, self.operation, self.key.as_str())
    }

    fn rename_unless_exists(&self) -> Result<()> {
        let renamed = rename_unless_exists((&self.directory, &self.name), (&self.directory, self.key.name()));
        renamed.describe(&self.writer.root, self.operation, self.key.as_str())
    }

    /// Locks the directory against updates by other processes, until the descriptor is dropped.
    fn lock_directory(&self) -> Result<OwnedFd> {
        let root = &self.writer.root;
        let failed = |kind: ErrorKind, message: &str, error: Errno| {
            Error::new(kind, self.operation, root.uri(self.key.as_str()))
                .with_message(message)
                .with_source(io::Error::from(error))
                .into_store()
        };
        let lock = root.open(self.key.directory(), OFlags::RDONLY | OFlags::DIRECTORY);
        let lock = lock.describe(root, self.operation, self.key.as_str())?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(lock),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_INTERVAL),
                Err(Errno::INTR) => {}
                Err(error @ Errno::WOULDBLOCK) => {
                    return Err(failed(ErrorKind::Timeout, "another process keeps the lock of the directory", error));
                }
                Err(error) => {
                    return Err(failed(
                        ErrorKind::Unsupported,
                        "the file system has no locks, which an update needs",
                        error,
                    ));
                }
            }
        }
    }
}

/// Renames within the root unless the target exists, in one step where the file system can, else by a second link.
pub(crate) fn rename_unless_exists(from: (&OwnedFd, &str), to: (&OwnedFd, &str)) -> rustix::io::Result<()> {
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?;
            unlinkat(from.0, from.1, AtFlags::empty())
        }
        result => result,
    }
}
