//! Content type and user metadata, kept with the file as extended attributes.
//!
//! `user.s3dlio.content-type` and its like hold the standard headers, `user.s3dlio.meta.KEY` the user's own entries, each
//! as the UTF-8 text that was given, so that `getfattr -d` shows them. What a file system cannot keep is an error, never
//! dropped.

use std::fs::File;
use std::io;

use object_store::{Attribute, Attributes};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

use super::failure::Describe;
use super::root::Root;
use crate::error::{Error, ErrorKind, Operation};

const PREFIX: &str = "user.s3dlio.";
const METADATA: &str = "meta.";

/// Most files have no attributes, or few: their names are listed into this much without asking for the size first.
const NAMES_AT_ONCE: usize = 1024;

/// Puts `attributes` on `file`. Blocking.
///
/// # Errors
/// `Unsupported` where the file system has no extended attributes or no room for these, or the attribute is unknown.
pub(crate) fn write(root: &Root, key: &str, file: &File, attributes: &Attributes) -> object_store::Result<()> {
    let unsupported = |message: String| {
        Error::new(ErrorKind::Unsupported, Operation::Put, root.uri(key))
            .with_message(message)
            .with_hint("put the object without content type and metadata, or on another file system")
    };
    for (attribute, value) in attributes {
        let Some(name) = name_of(attribute) else {
            return Err(unsupported(format!("a file cannot keep the attribute {attribute:?}")).into_store());
        };
        let set = fsetxattr(file, format!("{PREFIX}{name}").as_str(), value.as_bytes(), XattrFlags::empty());
        match set {
            Err(error @ (Errno::NOTSUP | Errno::NOSYS)) => {
                return Err(unsupported(format!(
                    "the file system keeps no extended attributes, so {name} would be lost"
                ))
                .with_source(io::Error::from(error))
                .into_store());
            }
            // ext4 says ENOSPC when the attributes of one file are larger than one block, with any amount of space left.
            Err(error @ (Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::INVAL)) => {
                return Err(unsupported(format!("the file system has no room for the attribute {name}"))
                    .with_source(io::Error::from(error))
                    .into_store());
            }
            result => result.describe(root, Operation::Put, key)?,
        }
    }
    Ok(())
}

/// What [`write()`] put on `file`; nothing where the file system has no extended attributes. Blocking.
pub(crate) fn read(file: &File) -> io::Result<Attributes> {
    let mut attributes = Attributes::new();
    for name in names(file)?.split(|byte| *byte == 0) {
        let Some(attribute) = std::str::from_utf8(name).ok().and_then(|name| attribute_of(name.strip_prefix(PREFIX)?))
        else {
            continue;
        };
        let value = read_growing(|buffer| fgetxattr(file, name, buffer))?;
        // Text that is not UTF-8 was not written by us; an attribute of object_store cannot carry it.
        if let Ok(value) = String::from_utf8(value) {
            attributes.insert(attribute, value.into());
        }
    }
    Ok(attributes)
}

fn names(file: &File) -> io::Result<Vec<u8>> {
    match read_growing(|buffer| flistxattr(file, buffer)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Vec::new()),
        result => result,
    }
}

/// Reads an answer whose size is not known, with a buffer that doubles until it fits.
fn read_growing(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; NAMES_AT_ONCE];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => buffer.resize(buffer.len() * 2, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

fn name_of(attribute: &Attribute) -> Option<String> {
    Some(match attribute {
        Attribute::ContentDisposition => "content-disposition".to_owned(),
        Attribute::ContentEncoding => "content-encoding".to_owned(),
        Attribute::ContentLanguage => "content-language".to_owned(),
        Attribute::ContentType => "content-type".to_owned(),
        Attribute::CacheControl => "cache-control".to_owned(),
        Attribute::StorageClass => "storage-class".to_owned(),
        Attribute::Metadata(key) => format!("{METADATA}{key}"),
        _ => return None,
    })
}

fn attribute_of(name: &str) -> Option<Attribute> {
    Some(match name {
        "content-disposition" => Attribute::ContentDisposition,
        "content-encoding" => Attribute::ContentEncoding,
        "content-language" => Attribute::ContentLanguage,
        "content-type" => Attribute::ContentType,
        "cache-control" => Attribute::CacheControl,
        "storage-class" => Attribute::StorageClass,
        other => Attribute::Metadata(other.strip_prefix(METADATA)?.to_owned().into()),
    })
}
