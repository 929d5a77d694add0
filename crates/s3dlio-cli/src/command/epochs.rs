//! Epochs run over a loader, one after the other, with what each did.

use s3dlio::{AsyncPoolDataLoader, DataLoader, EpochStatistics, Error, ErrorKind, Sample};

use crate::session::Session;

/// Either loader.
pub(super) enum Loader {
    /// Batches in order.
    Batches(DataLoader),
    /// Samples as they arrive.
    Samples(AsyncPoolDataLoader),
}

/// What one epoch did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) statistics: EpochStatistics,
    /// Requests that went over a network; none where there is none.
    pub(super) requests: Option<u64>,
}

/// The epochs of one loader.
pub(super) struct Epochs<'a> {
    session: &'a Session,
    loader: &'a Loader,
    done: Vec<Done>,
}

impl<'a> Epochs<'a> {
    pub(super) fn new(session: &'a Session, loader: &'a Loader) -> Self {
        Self { session, loader, done: Vec::new() }
    }

    /// What has been done.
    pub(super) fn done(&self) -> &[Done] {
        &self.done
    }

    /// Runs one epoch and gives each sample to `check`. A sample that cannot be read is said and counted; what `check`
    /// refuses ends the epoch.
    ///
    /// # Errors
    /// `Cancelled`, or the first error of `check`.
    pub(super) async fn run(
        &mut self,
        number: u64,
        mut check: impl FnMut(&Sample) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let requests = || self.session.client.statistics().requests;
        let before = requests();
        let session = self.session;
        let mut take = |taken: Result<Vec<Sample>, Error>| -> anyhow::Result<()> {
            match taken {
                // Consumed here, so that the data goes before the next batch is taken.
                Ok(samples) => samples.into_iter().try_for_each(|sample| {
                    check(&sample)?;
                    session.done(sample.data.len() as u64);
                    Ok(())
                }),
                Err(error) if error.kind() == ErrorKind::Cancelled => Err(error.into()),
                Err(error) => {
                    session.failed(&error);
                    Ok(())
                }
            }
        };
        let (statistics, dataset) = match self.loader {
            Loader::Batches(loader) => {
                let mut epoch = loader.epoch(number);
                while let Some(batch) = epoch.next().await {
                    take(batch.map(|batch| batch.samples))?;
                }
                (epoch.statistics().clone(), loader.dataset())
            }
            Loader::Samples(loader) => {
                let mut epoch = loader.epoch(number);
                while let Some(sample) = epoch.next().await {
                    take(sample.map(|sample| vec![sample]))?;
                }
                (epoch.statistics().clone(), loader.dataset())
            }
        };
        let networked = dataset.location(0).scheme().is_network();
        let requests = networked.then(|| requests() - before);
        self.done.push(Done { number, statistics, requests });
        Ok(())
    }
}
