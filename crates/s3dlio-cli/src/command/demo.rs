//! `demo`: the main job on an example. A data set is made, streamed through the loader in shuffled epochs, every sample
//! is checked, and what was measured is printed; then the data set is removed again.

mod made;

use std::collections::HashMap;

use anyhow::bail;
use s3dlio::{Config, DataLoader, Dataset, Location, Sample, Scheme, Source};

use super::epochs::{Epochs, Loader};
use super::report;
use crate::arguments::Demo;
use crate::failure::{Exit, one_line};
use crate::output::{count, human_size};
use crate::session::Session;

/// Samples in a batch, unless the configuration says otherwise: the default data set has about 150 samples, which the
/// library's default would make five batches of.
const BATCH_SIZE: usize = 8;

/// What an object must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    size: u64,
    crc32c: u32,
}

pub(super) async fn run(arguments: &Demo, session: &Session) -> anyhow::Result<Exit> {
    let place = made::Place::new(arguments.uri.as_ref())?;
    let result = stream(arguments, place.location(), session).await;
    // Whatever ended it, nothing is left; and the first error is the one to tell.
    if arguments.keep {
        session.screen.line(&format!("the data set is kept in {}", place.keep()));
    } else if let Err(error) = place.remove(session).await {
        if result.is_ok() {
            return Err(error);
        }
        session.screen.line(&format!("s3dlio: {}", one_line(&error)));
    }
    result
}

async fn stream(arguments: &Demo, place: &Location, session: &Session) -> anyhow::Result<Exit> {
    let Demo { size, epochs: number, .. } = arguments;
    let mut output = session.output();
    let sizes = made::sizes(*size);
    let (smallest, largest) = (sizes.iter().min().copied(), sizes.iter().max().copied());
    output.line(format_args!(
        "data set   {}, {}, from {} to {} each, in {place}",
        count(sizes.len() as u64, "object"),
        human_size(*size),
        human_size(smallest.unwrap_or(0)),
        human_size(largest.unwrap_or(0)),
    ));
    output.flush().await?;

    let progress = session.progress("made", Some(*size));
    let expected = made::write(&sizes, place, session).await?;
    drop(progress);

    let client = &session.client;
    let listed = session.cancellation().run_until_cancelled(Dataset::from_prefix(client, place)).await;
    let dataset = listed.ok_or_else(|| s3dlio::Error::cancelled(s3dlio::Operation::Load, place.to_string()))??;
    let batch_size = batch_size(client.config(), place.scheme());
    let loader = DataLoader::builder(client, &dataset).shuffle(true).batch_size(batch_size).build()?;
    output.line(format_args!(
        "loader     {} in shuffled batches of {}, every checksum verified",
        count(*number, "epoch"),
        loader.config().batch_size
    ));
    output.flush().await?;

    let loader = Loader::Batches(loader);
    let mut epochs = Epochs::new(session, &loader);
    session.restart();
    let progress = session.progress("read", Some(size * number));
    for epoch in 0..*number {
        let mut left = expected.clone();
        epochs.run(epoch, |sample| verify(sample, &mut left)).await?;
        if let (Some(missing), true) = (left.keys().next(), session.is_clean()) {
            bail!("load {place}: epoch {epoch} has not given {} (and {} more)", missing, left.len() - 1);
        }
    }
    drop(progress);
    output.line("");
    report::print(epochs.done(), &mut output);
    if session.is_clean() {
        output.line(format_args!("{:<20}{:>14}", "checksums", "all right"));
    }
    output.finish().await?;
    Ok(session.outcome())
}

/// Checks a sample, which must come once.
fn verify(sample: &Sample, left: &mut HashMap<String, Expected>) -> anyhow::Result<()> {
    let found = Expected { size: sample.data.len() as u64, crc32c: crc32c::crc32c(&sample.data) };
    match left.remove(sample.location.key()) {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => bail!("load {}: wrong data: {expected:x?} was written, {found:x?} was read", sample.location),
        None => bail!("load {}: the sample came twice, or was never written", sample.location),
    }
}

fn batch_size(config: &Config, scheme: Scheme) -> usize {
    let setting = config.explain(scheme).into_iter().find(|setting| setting.key == "batch_size");
    match setting.is_none_or(|setting| setting.source == Source::Default) {
        true => BATCH_SIZE,
        false => config.for_scheme(scheme).batch_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_a_missing_and_a_repeated_sample_are_found() {
        let sample = |data: &'static [u8]| Sample {
            index: 0,
            location: Location::parse("memory:///a").unwrap(),
            data: data.into(),
            e_tag: None,
        };
        let expected = Expected { size: 4, crc32c: crc32c::crc32c(b"data") };
        let mut left = HashMap::from([("a".to_owned(), expected)]);
        assert!(verify(&sample(b"dbta"), &mut left.clone()).unwrap_err().to_string().contains("wrong data"));
        verify(&sample(b"data"), &mut left).unwrap();
        assert!(left.is_empty());
        assert!(verify(&sample(b"data"), &mut left).unwrap_err().to_string().contains("twice"));
    }
}
