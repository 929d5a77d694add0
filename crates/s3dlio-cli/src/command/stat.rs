//! `stat`: what is known of objects.

use std::collections::BTreeMap;

use s3dlio::ObjectInfo;
use serde::Serialize;

use crate::arguments::Stat;
use crate::failure::Exit;
use crate::output::{Output, human_size, printable, time};
use crate::session::Session;

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    uri: String,
    size: u64,
    last_modified: String,
    e_tag: &'a Option<String>,
    version: &'a Option<String>,
    content_type: &'a Option<String>,
    metadata: &'a BTreeMap<String, String>,
}

pub(super) async fn run(arguments: &Stat, session: &Session) -> anyhow::Result<Exit> {
    session.does("showed", "object");
    let mut output = session.output();
    for uri in &arguments.uris {
        match session.client.stat(uri).await {
            Ok(info) if arguments.json => output.json(&line(&info))?,
            Ok(info) => print(&info, &mut output),
            Err(error) => {
                session.failed(&error);
                continue;
            }
        }
        session.done(0);
        output.flush().await?;
    }
    output.finish().await?;
    Ok(session.outcome())
}

fn line(info: &ObjectInfo) -> Line<'_> {
    let ObjectInfo { location, size, last_modified, e_tag, version, content_type, metadata } = info;
    let (uri, last_modified) = (location.to_string(), time(*last_modified));
    Line { uri, size: *size, last_modified, e_tag, version, content_type, metadata }
}

fn print(info: &ObjectInfo, output: &mut Output) {
    output.line(printable(&info.location.to_string()));
    let size = match info.size {
        small @ ..1024 => small.to_string(),
        size => format!("{size} ({})", human_size(size)),
    };
    output.line(format_args!("  size          {size}"));
    output.line(format_args!("  modified      {}", time(info.last_modified)));
    for (name, value) in [("etag", &info.e_tag), ("version", &info.version), ("content type", &info.content_type)] {
        if let Some(value) = value {
            output.line(format_args!("  {name:<12}  {}", printable(value)));
        }
    }
    for (name, value) in &info.metadata {
        output.line(format_args!("  metadata      {}={}", printable(name), printable(value)));
    }
}
