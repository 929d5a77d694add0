//! `du`: how many objects and bytes are below prefixes.

use futures::TryStreamExt;
use s3dlio::Location;
use serde::Serialize;

use super::target;
use crate::arguments::Du;
use crate::failure::Exit;
use crate::output::{Output, count, human_size, printable};
use crate::session::Session;

/// What is below one prefix, as one line of `--json`.
#[derive(Debug, Default, Serialize)]
struct Usage {
    uri: String,
    objects: u64,
    bytes: u64,
}

pub(super) async fn run(arguments: &Du, session: &Session) -> anyhow::Result<Exit> {
    let mut output = session.output();
    let _progress = session.progress("counted", None);
    let mut total = Usage { uri: "total".into(), ..Usage::default() };
    for uri in &arguments.uris {
        match measure(uri, arguments, session).await {
            Ok(usage) => {
                total.objects += usage.objects;
                total.bytes += usage.bytes;
                print(&usage, arguments, &mut output)?;
                output.flush().await?;
            }
            Err(error) => session.failed(&error),
        }
    }
    if arguments.uris.len() > 1 && !arguments.json {
        print(&total, arguments, &mut output)?;
    }
    output.finish().await?;
    Ok(session.outcome())
}

async fn measure(uri: &Location, arguments: &Du, session: &Session) -> s3dlio::error::Result<Usage> {
    let mut usage = Usage { uri: uri.to_string(), ..Usage::default() };
    let mut count = |size: u64| {
        usage.objects += 1;
        usage.bytes += size;
        session.done(size);
    };
    if !target::is_local_file(uri) {
        let mut objects = target::objects_below(&session.client, uri, &arguments.filter).await?;
        while let Some((_, entry)) = objects.try_next().await? {
            count(entry.size);
        }
    }
    // It may be an object itself.
    if usage.objects == 0 && !target::is_directory(uri) && arguments.filter.is_empty() {
        usage.bytes = session.client.stat(uri).await?.size;
        usage.objects = 1;
        session.done(usage.bytes);
    }
    Ok(usage)
}

fn print(usage: &Usage, arguments: &Du, output: &mut Output) -> anyhow::Result<()> {
    if arguments.json {
        return output.json(usage);
    }
    let size = match arguments.human_readable {
        true => human_size(usage.bytes),
        false => usage.bytes.to_string(),
    };
    let objects = count(usage.objects, "object");
    output.line(format_args!("{size:>12}  {objects:>16}  {}", printable(&usage.uri)));
    Ok(())
}
