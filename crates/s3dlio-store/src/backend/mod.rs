//! The backends: one file each, all of one shape.
//!
//! A backend's `open` turns a [`Location`] and the configuration into a [`Store`]: the object_store trait object that
//! moves bytes, a [`Lister`] that speaks keys as strings, and, where the protocol has them, [`Buckets`]. No backend
//! knows another backend, a layer or the engine.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::{Path, PathPart};

use crate::buckets::Buckets;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::Lister;
use crate::uri::{Location, Scheme};

pub mod azure;
pub mod direct;
pub mod file;
pub mod gcs;
pub mod generic_listing;
pub mod http;
pub mod memory;
pub mod request;
pub mod s3;
pub mod s3_listing;
mod token;

/// One opened bucket, container, host or file system root.
#[derive(Clone)]
pub struct Store {
    /// Which backend it is.
    pub scheme: Scheme,
    /// What errors and statistics call it, e.g. `s3://bucket`.
    pub name: String,
    /// Moves bytes.
    pub objects: Arc<dyn ObjectStore>,
    /// Lists keys as strings.
    pub lister: Arc<dyn Lister>,
    /// Uploads in parts by number, where the protocol can; else uploads go through
    /// [`ObjectStore::put_multipart_opts`].
    pub multipart: Option<Arc<dyn MultipartStore>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The account that a location's bucket belongs to, where the backend has buckets.
pub type Account = Arc<dyn Buckets>;

/// The path that names `key` on the wire, byte for byte.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a key that object_store's `Path` cannot carry unchanged: one with a leading `/`, a `.`
/// or `..` segment, or an ASCII control character. The error names the key; nothing is mangled.
pub fn path_of_key(location: &Location, operation: Operation) -> Result<Path> {
    let key = location.key();
    let unsupported = |reason: &str| {
        Error::new(ErrorKind::Unsupported, operation, location.to_string())
            .with_message(format!("the key {key:?} {reason}, which the protocol layer cannot name"))
            .with_hint("copy the object to another key with the store's own tools")
    };
    if key.is_empty() {
        return Ok(Path::ROOT);
    }
    if key.starts_with('/') {
        return Err(unsupported("starts with \"/\""));
    }
    let mut path = Path::ROOT;
    for segment in key.split('/') {
        let part = PathPart::parse(segment).map_err(|_| match segment {
            "." | ".." => unsupported(&format!("has a {segment:?} segment")),
            _ => unsupported("has a control character"),
        })?;
        path = path.join(part);
    }
    debug_assert_eq!(path.as_ref(), key);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Result<Path> {
        path_of_key(&Location::parse("s3://b").unwrap().with_key(key), Operation::Get)
    }

    #[test]
    fn a_key_becomes_the_same_path_or_an_error() {
        for key in ["a", "dir/", "a//b", "a///", "%20", "a b+c~", "ü/日本", "#?&="] {
            assert_eq!(path(key).unwrap().as_ref(), key);
        }
        for key in ["/a", "a/./b", "..", "a/..", "a\nb", "//"] {
            let error = path(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{key:?}");
            assert!(error.to_string().contains(&format!("{key:?}")), "{error}");
        }
    }
}
