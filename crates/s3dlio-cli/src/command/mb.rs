//! `mb`: makes buckets, containers or directories.

use crate::arguments::Buckets;
use crate::failure::Exit;
use crate::session::Session;

pub(super) async fn run(arguments: &Buckets, session: &Session) -> anyhow::Result<Exit> {
    session.does("made", "bucket");
    for uri in &arguments.uris {
        session.settle(session.client.create_bucket(uri).await, 0, false);
    }
    Ok(session.outcome())
}
