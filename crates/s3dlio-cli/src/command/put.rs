//! `put`: one file, or standard input, as an object.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use s3dlio::{Error, Location, Operation, PutMode, PutOptions};

use super::{get, target};
use crate::arguments::Put;
use crate::failure::{Exit, Usage};
use crate::input;
use crate::session::Session;

type Chunks = BoxStream<'static, Result<Bytes, Error>>;

pub(super) async fn run(arguments: &Put, session: &Session) -> anyhow::Result<Exit> {
    let (source, to) = match arguments.path == Path::new("-") {
        true => (None, session.client.open(&arguments.uri).await?.location),
        false => {
            let source = get::local(&arguments.path)?;
            let to = target::for_object(&session.client, &source, &arguments.uri, false).await?;
            (Some(source), to)
        }
    };
    if target::is_directory(&to) {
        return Err(Usage(format!("{to} names no object: standard input has no name of its own")).into());
    }
    let options = PutOptions {
        mode: if arguments.if_absent { PutMode::Create } else { PutMode::Overwrite },
        content_type: arguments.content_type.clone(),
        metadata: arguments.metadata.iter().cloned().collect(),
    };
    let _progress = session.progress("wrote", source.as_ref().and_then(target::local_size));
    let mut chunks = open(source, session).await?;
    let mut writer = session.client.writer_with(&to, options).await?;
    loop {
        let next = session.cancellation().run_until_cancelled(chunks.try_next()).await;
        let Some(chunk) = next.ok_or_else(|| Error::cancelled(Operation::Put, to.to_string()))?? else { break };
        session.moved(chunk.len() as u64);
        writer.write(chunk).await?;
    }
    writer.finish().await?;
    session.done(0);
    Ok(session.summary())
}

/// The bytes of a file, or of standard input.
async fn open(source: Option<Location>, session: &Session) -> anyhow::Result<Chunks> {
    let Some(source) = source else {
        return Ok(received("standard input".into(), input::chunks(io::stdin())));
    };
    let path = target::local_path(&source).unwrap_or_default();
    let special = std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    if !special {
        return Ok(session.client.get_stream(&source).await?.boxed());
    }
    // A FIFO or a device, which the file backend leaves alone: it has no size, and may wait for its writer.
    let (uri, delayed) = (source.to_string(), Delayed { path, file: None });
    Ok(received(uri, input::chunks(delayed)))
}

/// A file that is opened when it is first read from, in the thread that reads it.
struct Delayed {
    path: std::path::PathBuf,
    file: Option<std::fs::File>,
}

impl io::Read for Delayed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(buffer),
            None => self.file.insert(std::fs::File::open(&self.path)?).read(buffer),
        }
    }
}

fn received(uri: String, chunks: tokio::sync::mpsc::Receiver<io::Result<Bytes>>) -> Chunks {
    let next = |(uri, mut chunks): (String, tokio::sync::mpsc::Receiver<io::Result<Bytes>>)| async move {
        let chunk = chunks.recv().await?.map_err(|error| Error::from_io(error, Operation::Get, uri.clone()));
        Some((chunk, (uri, chunks)))
    };
    stream::unfold((uri, chunks), next).boxed()
}
