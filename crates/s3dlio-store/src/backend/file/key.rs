//! Keys as the names of files: which keys a file system can hold, and which it cannot.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::path::Path;

use super::root::Root;
use crate::error::{Error, ErrorKind, Operation};

/// How the names of unfinished writes begin: `.s3dlio-tmp.` and 16 hexadecimal digits. Such files are no objects: no
/// listing shows them, and no key may name them. One that a killed process left behind can be removed at any time.
pub const TEMPORARY_PREFIX: &str = ".s3dlio-tmp.";

/// A key that names exactly one place below the root: no empty, `.` or `..` segment, no NUL, no temporary name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    raw: String,
    /// Where the last segment begins.
    name: usize,
}

impl Key {
    pub(crate) fn parse(root: &Root, operation: Operation, location: &Path) -> object_store::Result<Self> {
        let raw: &str = location.as_ref();
        let refused = match raw.split('/').find_map(refusal) {
            _ if raw.is_empty() => Some("names the root itself"),
            found => found,
        };
        match refused {
            None => Ok(Self { raw: raw.to_owned(), name: raw.rfind('/').map_or(0, |slash| slash + 1) }),
            Some(reason) => Err(Error::new(ErrorKind::Unsupported, operation, root.uri(raw))
                .with_message(format!("the key {raw:?} {reason}: a file system cannot name it"))
                .with_hint("use a key whose segments are plain file names")
                .into_store()),
        }
    }

    /// The whole key.
    pub(crate) fn as_str(&self) -> &str {
        &self.raw
    }

    /// The directory that the file is in, empty for the root.
    pub(crate) fn directory(&self) -> &str {
        &self.raw[..self.name.saturating_sub(1)]
    }

    /// The file's own name.
    pub(crate) fn name(&self) -> &str {
        &self.raw[self.name..]
    }
}

/// Why no file can have the name `segment`, if none can.
pub(super) fn refusal(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("has an empty segment"),
        "." => Some("has a \".\" segment"),
        ".." => Some("has a \"..\" segment"),
        _ if segment.contains('\0') => Some("has a NUL in it"),
        _ if segment.starts_with(TEMPORARY_PREFIX) => Some("has the name of an unfinished write"),
        _ => None,
    }
}

/// Whether no file below the root can be named by a key that starts with `prefix`.
pub(crate) fn names_nothing(prefix: &str) -> bool {
    let directories = prefix.rsplit_once('/').map(|(directories, _)| directories.split('/'));
    prefix.contains('\0') || directories.into_iter().flatten().any(|segment| refusal(segment).is_some())
}

/// Whether `name` is the name of an unfinished write.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY_PREFIX.as_bytes())
}

/// A temporary name that is not in use by this process, and hardly by another.
pub(crate) fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    format!("{TEMPORARY_PREFIX}{:016x}", RandomState::new().hash_one(unique))
}
