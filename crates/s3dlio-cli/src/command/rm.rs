//! `rm`: objects, or all below prefixes.

use std::io::IsTerminal;

use futures::{StreamExt, future, stream};
use s3dlio::client::DeleteResult;
use s3dlio::{Location, Operation};

use super::target;
use crate::arguments::Rm;
use crate::failure::{Exit, Usage};
use crate::input;
use crate::session::Session;

pub(super) async fn run(arguments: &Rm, session: &Session) -> anyhow::Result<Exit> {
    let Rm { uris, recursive, yes, filter } = arguments;
    if !recursive {
        if !filter.is_empty() {
            return Err(Usage("--glob and --regex choose among what is below a prefix: use -r".into()).into());
        }
        if let Some(directory) = uris.iter().find(|uri| target::is_directory(uri)) {
            return Err(Usage(format!("{directory} is not one object (use -r for everything below it)")).into());
        }
    } else if !yes && !confirmed(arguments, session).await? {
        session.screen.line("s3dlio: nothing was removed");
        return Ok(Exit::Failure);
    }
    let _progress = session.progress("removed", None);
    let (trees, objects): (Vec<_>, Vec<_>) =
        uris.iter().cloned().partition(|uri| *recursive && !target::is_local_file(uri));
    settle(session.client.delete_many(stream::iter(objects)), session).await;
    for tree in trees {
        remove_tree(&tree, arguments, session).await?;
    }
    Ok(session.summary())
}

async fn remove_tree(tree: &Location, arguments: &Rm, session: &Session) -> anyhow::Result<()> {
    let (client, before) = (&session.client, session.seen());
    if arguments.filter.is_empty() {
        settle(client.delete_tree(tree.clone()), session).await;
    } else {
        let objects = target::objects_below(client, tree, &arguments.filter).await?;
        // An error of the listing is said here; what could be listed is removed.
        let tally = session.clone();
        let listed = objects.filter_map(move |object| {
            future::ready(match object {
                Ok((location, _)) => Some(location),
                Err(error) => {
                    tally.failed(&error);
                    None
                }
            })
        });
        settle(client.delete_many(listed), session).await;
    }
    if session.seen() == before && session.is_clean() {
        if !target::is_directory(tree) && arguments.filter.is_empty() {
            // It may be an object itself. Not all stores tell whether what they remove was there.
            client.stat(tree).await?;
            settle(client.delete_many(stream::iter([tree.clone()])), session).await;
        } else if target::local_path(tree).is_none_or(|path| !path.is_dir()) {
            session.failed(&target::nothing_below(tree, Operation::Delete));
        }
    }
    if arguments.filter.is_empty() {
        target::remove_empty_directories(tree).await;
    }
    Ok(())
}

async fn settle(mut results: impl futures::Stream<Item = DeleteResult> + Unpin, session: &Session) {
    while let Some(DeleteResult { result, .. }) = results.next().await {
        session.settle(result, 0, false);
    }
}

/// Asks, where somebody can answer.
async fn confirmed(arguments: &Rm, session: &Session) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage("rm -r needs --yes where nobody can be asked".into()).into());
    }
    let what = if arguments.filter.is_empty() { "everything" } else { "what matches" };
    let names: Vec<String> = arguments.uris.iter().map(|uri| target::as_directory(uri).to_string()).collect();
    let question = format!("s3dlio: remove {what} below {}?", names.join(", "));
    Ok(session.cancellation().run_until_cancelled(input::confirm(question)).await.unwrap_or(false))
}
