//! `rb`: removes empty buckets, containers or directories.

use crate::arguments::Buckets;
use crate::failure::Exit;
use crate::session::Session;

pub(super) async fn run(arguments: &Buckets, session: &Session) -> anyhow::Result<Exit> {
    session.does("removed", "bucket");
    for uri in &arguments.uris {
        session.settle(session.client.delete_bucket(uri).await, 0, false);
    }
    Ok(session.outcome())
}
