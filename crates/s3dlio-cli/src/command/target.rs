//! Where things go, and what lies below a prefix.

use std::path::{Path, PathBuf};

use futures::StreamExt;
use futures::stream::BoxStream;
use s3dlio::error::Result;
use s3dlio::{Client, Error, ErrorKind, Location, ObjectEntry, Operation};

use crate::failure::Usage;
use crate::filter::Filter;

/// The path of a location of this machine's file system.
pub(super) fn local_path(location: &Location) -> Option<PathBuf> {
    location.scheme().is_file_system().then(|| Path::new("/").join(location.key()))
}

/// The size of a file, where the location is one.
pub(super) fn local_size(location: &Location) -> Option<u64> {
    Some(std::fs::metadata(local_path(location)?).ok()?.len())
}

/// Whether things can only be put below this: the root of a bucket, a key that ends in `/`, a directory.
pub(super) fn is_directory(location: &Location) -> bool {
    location.key().is_empty() || location.key().ends_with('/') || local_path(location).is_some_and(|path| path.is_dir())
}

/// The location as a prefix: `s3://bucket/a` as `s3://bucket/a/`.
pub(super) fn as_directory(location: &Location) -> Location {
    match location.key() {
        key if key.is_empty() || key.ends_with('/') => location.clone(),
        key => location.with_key(format!("{key}/")),
    }
}

/// Where a source goes that is one object: to `target`, or below it under its own name.
///
/// # Errors
/// [`Usage`] for a source that names a prefix or a directory; what the configuration of the target's backend says.
pub(super) async fn for_object(
    client: &Client,
    source: &Location,
    target: &Location,
    several: bool,
) -> anyhow::Result<Location> {
    if is_directory(source) {
        return Err(Usage(format!("{source} is not one object (use -r for everything below it)")).into());
    }
    // Resolved, because only the backend can tell an Azure account from a container.
    let target = client.open(target).await?.location;
    Ok(match several || is_directory(&target) {
        true => target.join(source.file_name()),
        false => target,
    })
}

/// Where what lies below a source goes: to below `target`, or, of several sources, to below its own name there.
///
/// # Errors
/// [`Usage`] where the target lies in the source, so that what is copied would be found and copied again.
pub(super) async fn for_tree(
    client: &Client,
    source: &Location,
    target: &Location,
    several: bool,
) -> anyhow::Result<Location> {
    let target = client.open(target).await?.location;
    let name = source.key().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let target = if several { target.join(name) } else { target };
    let from = as_directory(&client.open(source).await?.location).to_string();
    if as_directory(&target).to_string().starts_with(&from) {
        return Err(Usage(format!("{target} lies in {source}: what is copied would be copied again")).into());
    }
    Ok(target)
}

/// Whether a source of `-r` is a single file, which stands for itself.
pub(super) fn is_local_file(location: &Location) -> bool {
    local_path(location).is_some_and(|path| path.is_file())
}

/// The objects below a directory whose names below it are accepted.
///
/// # Errors
/// As [`Client::list_objects`].
pub(super) async fn objects_below(
    client: &Client,
    directory: &Location,
    filter: &Filter,
) -> Result<BoxStream<'static, Result<(Location, ObjectEntry)>>> {
    let base = as_directory(&client.open(directory).await?.location);
    let filter = filter.clone();
    let objects = client.list_objects(&base)?;
    Ok(objects
        .filter(move |object| {
            let accepted = object
                .as_ref()
                .map_or(true, |(_, entry)| filter.accepts(entry.key.strip_prefix(base.key()).unwrap_or(&entry.key)));
            std::future::ready(accepted)
        })
        .boxed())
}

/// The error for a prefix below which nothing is.
pub(super) fn nothing_below(location: &Location, operation: Operation) -> Error {
    Error::new(ErrorKind::NotFound, operation, as_directory(location).to_string()).with_message("nothing is below it")
}

/// Removes a directory, and those below it, as far as they are empty. What cannot be removed stays: it is not empty, or
/// the error of what is in it has been said.
pub(super) async fn remove_empty_directories(directory: &Location) {
    if let Some(path) = local_path(directory) {
        let removed = tokio::task::spawn_blocking(move || remove_if_empty(&path)).await;
        tracing::debug!(%directory, ?removed, "empty directories");
    }
}

fn remove_if_empty(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A symbolic link to a directory is not a directory here.
        if entry.file_type()?.is_dir() {
            remove_if_empty(&entry.path())?;
        }
    }
    std::fs::remove_dir(path)
}
