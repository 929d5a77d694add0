//! `mv`: objects from any store to any other, each removed at its source once its target is complete.

use futures::StreamExt;
use s3dlio::{CopyOptions, Location, Operation};

use super::target;
use crate::arguments::Cp;
use crate::failure::Exit;
use crate::filter::Filter;
use crate::session::Session;

pub(super) async fn run(arguments: &Cp, session: &Session) -> anyhow::Result<Exit> {
    let Cp { sources, target, recursive, keep_existing } = arguments;
    let options = CopyOptions { keep_existing: *keep_existing };
    let several = sources.len() > 1;
    let _progress = session.progress("moved", None);
    let (trees, objects): (Vec<_>, Vec<_>) =
        sources.iter().partition(|source| *recursive && !target::is_local_file(source));
    let mut pairs = Vec::with_capacity(objects.len());
    for source in objects {
        pairs.push((source, target::for_object(&session.client, source, target, several).await?));
    }
    for (source, to) in pairs {
        move_object(source, &to, options, session).await;
    }
    for source in trees {
        move_tree(source, target, several, options, session).await?;
    }
    Ok(session.summary())
}

async fn move_object(from: &Location, to: &Location, options: CopyOptions, session: &Session) {
    let result = session.client.rename(from, to, options).await;
    session.settle(result, target::local_size(to).unwrap_or(0), options.keep_existing);
}

async fn move_tree(
    source: &Location,
    target: &Location,
    several: bool,
    options: CopyOptions,
    session: &Session,
) -> anyhow::Result<()> {
    let client = &session.client;
    let to = &target::for_tree(client, source, target, several).await?;
    let base = &target::as_directory(&client.open(source).await?.location);
    let objects = target::objects_below(client, source, &Filter::default()).await?;
    let at_once = client.config().for_scheme(source.scheme()).max_concurrent_downloads;
    let moves = objects.map(|object| async move {
        match object {
            Ok((from, entry)) => {
                let name = entry.key.strip_prefix(base.key()).unwrap_or(&entry.key);
                (client.rename(&from, &to.join(name), options).await, entry.size)
            }
            Err(error) => (Err(error), 0),
        }
    });
    let before = session.seen();
    let mut moves = moves.buffer_unordered(at_once);
    while let Some((result, bytes)) = moves.next().await {
        session.settle(result, bytes, options.keep_existing);
    }
    if session.seen() == before && session.is_clean() {
        match target::is_directory(source) {
            false => {
                move_object(source, &target::for_object(client, source, target, several).await?, options, session).await
            }
            true if target::local_path(source).is_none_or(|path| !path.is_dir()) => {
                session.failed(&target::nothing_below(source, Operation::Rename));
            }
            true => {}
        }
    }
    target::remove_empty_directories(source).await;
    Ok(())
}
