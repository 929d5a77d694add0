//! `load`: epochs over a data set, measured.

use s3dlio::{AsyncPoolDataLoader, Client, DataLoader, Dataset};

use super::epochs::{Epochs, Loader};
use super::report;
use crate::arguments::Load;
use crate::failure::Exit;
use crate::session::Session;

pub(super) async fn run(arguments: &Load, session: &Session) -> anyhow::Result<Exit> {
    let client = &session.client;
    let dataset = dataset(arguments, client, session).await?;
    let loader = match arguments.pool {
        true => Loader::Samples(AsyncPoolDataLoader::builder(client, &dataset).build()?),
        false => Loader::Batches(DataLoader::builder(client, &dataset).build()?),
    };
    let mut output = session.output();
    let total = dataset.total_size().map(|size| size.saturating_mul(arguments.epochs));
    let progress = session.progress("read", total);
    let mut epochs = Epochs::new(session, &loader);
    for number in 0..arguments.epochs {
        epochs.run(number, |_| Ok(())).await?;
        if arguments.json {
            output.json(&report::line(&epochs.done()[epochs.done().len() - 1]))?;
            output.flush().await?;
        }
    }
    drop(progress);
    if !arguments.json {
        report::print(epochs.done(), &mut output);
    }
    output.finish().await?;
    Ok(session.outcome())
}

async fn dataset(arguments: &Load, client: &Client, session: &Session) -> anyhow::Result<Dataset> {
    let listed = async {
        match arguments.manifest {
            true => Dataset::from_manifest(client, &arguments.uri).await,
            false => Dataset::from_prefix(client, &arguments.uri).await,
        }
    };
    let cancelled = || s3dlio::Error::cancelled(s3dlio::Operation::Load, arguments.uri.to_string());
    Ok(session.cancellation().run_until_cancelled(listed).await.ok_or_else(cancelled)??)
}
