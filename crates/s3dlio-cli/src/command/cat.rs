//! `cat`: objects to standard output, in constant memory.

use futures::StreamExt;
use s3dlio::{Client, Location};

use crate::arguments::{ByteRange, Cat};
use crate::failure::Exit;
use crate::output::Output;
use crate::session::Session;

pub(super) async fn run(arguments: &Cat, session: &Session) -> anyhow::Result<Exit> {
    let mut output = session.output();
    for uri in &arguments.uris {
        write(session, uri, arguments.range, &mut output).await?;
    }
    output.finish().await?;
    Ok(Exit::Success)
}

/// Writes one object. What follows a failed object would look like a part of it, so the first failure ends it all.
pub(super) async fn write(
    session: &Session,
    uri: &Location,
    range: Option<ByteRange>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let mut stream = match bounds(&session.client, uri, range).await? {
        None => session.client.get_stream(uri).await?,
        Some(empty) if empty.is_empty() => return Ok(()),
        Some(range) => session.client.get_range_stream(uri, range).await?,
    };
    let _progress = session.progress("wrote", Some(stream.range.end - stream.range.start));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        session.moved(chunk.len() as u64);
        output.write(chunk).await?;
    }
    session.done(0);
    Ok(())
}

async fn bounds(
    client: &Client,
    uri: &Location,
    range: Option<ByteRange>,
) -> anyhow::Result<Option<std::ops::Range<u64>>> {
    Ok(match range {
        None => None,
        Some(ByteRange::Between(first, last)) => Some(first..last.saturating_add(1)),
        Some(ByteRange::From(first)) => Some(first..u64::MAX),
        Some(ByteRange::Last(count)) => {
            // Not all protocols can ask for a suffix, and its bytes could not be streamed.
            let size = client.stat(uri).await?.size;
            Some(size.saturating_sub(count)..size)
        }
    })
}
