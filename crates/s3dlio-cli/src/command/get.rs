//! `get`: one object, or a prefix, to a path.

use std::path::Path;

use s3dlio::Location;

use super::{cat, cp};
use crate::arguments::{Cp, Get};
use crate::failure::{Exit, Usage};
use crate::session::Session;

pub(super) async fn run(arguments: &Get, session: &Session) -> anyhow::Result<Exit> {
    let Get { uri, path, recursive, keep_existing } = arguments;
    if path == Path::new("-") {
        if *recursive {
            return Err(Usage("-r needs a directory to download into, not standard output".into()).into());
        }
        let mut output = session.output();
        cat::write(session, uri, None, &mut output).await?;
        output.finish().await?;
        return Ok(Exit::Success);
    }
    let copy =
        Cp { sources: vec![uri.clone()], target: local(path)?, recursive: *recursive, keep_existing: *keep_existing };
    cp::run(&copy, session).await
}

/// A path of this machine as a location.
///
/// # Errors
/// [`Usage`] for a URI, and for a path that is not UTF-8.
pub(super) fn local(path: &Path) -> anyhow::Result<Location> {
    match path.to_str() {
        Some(text) if text.contains("://") => Err(Usage(format!("{text} is not a path (use cp)")).into()),
        Some(text) => Ok(Location::parse(text)?),
        None => Err(Usage(format!("{} is not UTF-8", path.display())).into()),
    }
}
