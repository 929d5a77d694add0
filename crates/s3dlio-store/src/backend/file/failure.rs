//! I/O errors as errors of the store: what failed, on which file, and what to do about it.

use std::io;

use object_store::Result;
use rustix::io::Errno;

use super::root::Root;
use crate::error::{Error, ErrorKind, Operation};

/// Says what `error` means for `operation` on the file that `key` names. The I/O error stays in the chain.
pub(crate) fn failure(root: &Root, operation: Operation, key: &str, error: io::Error) -> object_store::Error {
    let uri = root.uri(key);
    let made = |kind: ErrorKind, message: &str, hint: &str| {
        let mut made = Error::new(kind, operation, &uri);
        if !message.is_empty() {
            made = made.with_message(message);
        }
        if !hint.is_empty() {
            made = made.with_hint(hint);
        }
        made
    };
    let writes = matches!(operation, Operation::Put | Operation::Write | Operation::Copy | Operation::Rename);
    let described = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOTDIR) if !writes => made(ErrorKind::NotFound, "a parent of it is a file", ""),
        Some(Errno::NOTDIR) => {
            made(ErrorKind::InvalidInput, "a parent of it is a file", "a file system cannot hold both x and x/y")
        }
        Some(Errno::ISDIR | Errno::NOTEMPTY) => {
            made(ErrorKind::InvalidInput, "a directory has this name", "a file system cannot hold both x and x/y")
        }
        Some(Errno::XDEV) => made(
            ErrorKind::PermissionDenied,
            "a symbolic link leads out of the root",
            "name the file by the path that the link leads to",
        ),
        Some(Errno::LOOP) => made(ErrorKind::InvalidInput, "its symbolic links form a cycle", "mend the link"),
        Some(Errno::NXIO) => not_a_file(root, operation, key),
        Some(Errno::NAMETOOLONG) => made(
            ErrorKind::InvalidInput,
            "the key is longer than the file system can name",
            "a segment has at most 255 bytes on most file systems, and a path 4,095",
        ),
        Some(Errno::ROFS) => made(ErrorKind::PermissionDenied, "the file system is mounted read-only", ""),
        Some(Errno::ACCESS | Errno::PERM) => {
            made(ErrorKind::PermissionDenied, "", "check the owner and mode of the file and its directory")
        }
        Some(Errno::NOSPC) => made(ErrorKind::OutOfSpace, "", "free space on the file system of the root"),
        Some(Errno::DQUOT) => made(ErrorKind::OutOfSpace, "the disk quota is used up", ""),
        Some(Errno::FBIG) => made(ErrorKind::OutOfSpace, "the file would be larger than the limit", "see ulimit -f"),
        Some(Errno::MFILE | Errno::NFILE) => made(ErrorKind::Other, "", "raise the limit of open files, see ulimit -n"),
        _ => return Error::from_io(error, operation, uri).into_store(),
    };
    described.with_source(error).into_store()
}

/// The refusal of what is no regular file: a FIFO, a socket or a device.
pub(crate) fn not_a_file(root: &Root, operation: Operation, key: &str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, root.uri(key))
        .with_message("it is a FIFO, a socket or a device, and only regular files are objects")
}

/// What a read ends with whose file did not stay as it was opened.
pub(crate) fn changed(root: &Root, key: &str) -> object_store::Error {
    Error::new(ErrorKind::Changed, Operation::Get, root.uri(key))
        .with_message("the file was written to while it was read")
        .with_hint("read it again; writers that replace a file instead of writing into it avoid this")
        .into_store()
}

/// Adds operation and file to an I/O error.
pub(crate) trait Describe<T> {
    /// See [`failure`].
    fn describe(self, root: &Root, operation: Operation, key: &str) -> Result<T>;
}

impl<T> Describe<T> for io::Result<T> {
    fn describe(self, root: &Root, operation: Operation, key: &str) -> Result<T> {
        self.map_err(|error| failure(root, operation, key, error))
    }
}

impl<T> Describe<T> for rustix::io::Result<T> {
    fn describe(self, root: &Root, operation: Operation, key: &str) -> Result<T> {
        self.map_err(|error| failure(root, operation, key, error.into()))
    }
}
