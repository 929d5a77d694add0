//! `cp`: objects from any store to any other.

use futures::{StreamExt, stream};
use s3dlio::{CopyOptions, Location, Operation};

use super::target;
use crate::arguments::Cp;
use crate::failure::Exit;
use crate::session::Session;

pub(super) async fn run(arguments: &Cp, session: &Session) -> anyhow::Result<Exit> {
    let Cp { sources, target, recursive, keep_existing } = arguments;
    let options = CopyOptions { keep_existing: *keep_existing };
    let several = sources.len() > 1;
    let _progress = session.progress("copied", None);
    let (trees, objects): (Vec<_>, Vec<_>) =
        sources.iter().partition(|source| *recursive && !target::is_local_file(source));
    copy_objects(&objects, target, several, options, session).await?;
    for source in trees {
        let to = target::for_tree(&session.client, source, target, several).await?;
        let before = session.seen();
        let mut results = session.client.copy_tree(source.clone(), to, options);
        while let Some(copied) = results.next().await {
            session.settle(copied.result, copied.bytes, *keep_existing);
        }
        if session.seen() == before && session.is_clean() {
            settle_empty(source, target, several, options, session).await?;
        }
    }
    Ok(session.summary())
}

/// Copies single objects, as many at once as downloads may be.
async fn copy_objects(
    sources: &[&Location],
    target: &Location,
    several: bool,
    options: CopyOptions,
    session: &Session,
) -> anyhow::Result<()> {
    let client = &session.client;
    // All are looked at before any is copied: a wrong one is a wrong command line.
    let mut pairs = Vec::with_capacity(sources.len());
    for source in sources {
        pairs.push((*source, target::for_object(client, source, target, several).await?));
    }
    let at_once = client.config().for_scheme(target.scheme()).max_concurrent_downloads;
    let copies = stream::iter(pairs).map(|(from, to)| async move {
        let result = client.copy(from, &to, options).await;
        let bytes = target::local_size(from).or_else(|| target::local_size(&to));
        (result, bytes.unwrap_or(0))
    });
    let mut copies = copies.buffer_unordered(at_once);
    while let Some((result, bytes)) = copies.next().await {
        session.settle(result, bytes, options.keep_existing);
    }
    Ok(())
}

/// Nothing is below a source of `-r`: it may be an object itself, an empty directory, or a mistake.
async fn settle_empty(
    source: &Location,
    target: &Location,
    several: bool,
    options: CopyOptions,
    session: &Session,
) -> anyhow::Result<()> {
    if !target::is_directory(source) {
        return copy_objects(&[source], target, several, options, session).await;
    }
    if target::local_path(source).is_none_or(|path| !path.is_dir()) {
        session.failed(&target::nothing_below(source, Operation::Copy));
    }
    Ok(())
}
