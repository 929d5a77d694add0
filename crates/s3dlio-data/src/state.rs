//! [`Position`]: how far an epoch has come.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Which samples of an epoch the consumer has been given: what it takes to go on exactly there, in another process.
///
/// It counts positions in the order of the epoch, so that it holds for the same data set, `seed`, `shuffle`, `rank`,
/// `world_size` and, with `drop_last`, `batch_size`. It is small: one number, and, for a loader that gives samples as
/// they arrive, the few that came before their turn.
///
/// ```
/// use s3dlio_data::{DataLoader, Dataset, Position};
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// for name in ["a", "b", "c"] {
///     client.put(format!("memory:///set/{name}"), name).await?;
/// }
/// let dataset = Dataset::from_prefix(&client, "memory:///set/").await?;
/// let loader = DataLoader::builder(&client, &dataset).batch_size(2).build()?;
/// let mut epoch = loader.epoch(0);
/// epoch.next().await.unwrap()?;
/// let saved = epoch.position().clone();
///
/// let mut rest = loader.epoch_from(0, &saved)?;
/// assert_eq!(rest.next().await.unwrap()?.samples[0].data, "c");
/// assert!(rest.next().await.is_none());
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Every position below this one has been given.
    consumed: usize,
    /// And so have these, all above it.
    ahead: BTreeSet<usize>,
}

impl Position {
    /// The beginning of an epoch.
    pub fn start() -> Self {
        Self::default()
    }

    /// The position after the first `samples` samples of an epoch.
    pub fn after(samples: usize) -> Self {
        Self { consumed: samples, ahead: BTreeSet::new() }
    }

    /// How many samples have been given; those that could not be read count as well.
    pub fn samples(&self) -> usize {
        self.consumed + self.ahead.len()
    }

    /// The first position that has not been given.
    pub(crate) fn first(&self) -> usize {
        self.consumed
    }

    pub(crate) fn contains(&self, position: usize) -> bool {
        position < self.consumed || self.ahead.contains(&position)
    }

    /// The last position that has been given, if any has.
    pub(crate) fn last(&self) -> Option<usize> {
        self.ahead.last().copied().or(self.consumed.checked_sub(1))
    }

    pub(crate) fn give(&mut self, position: usize) {
        self.ahead.insert(position);
        while self.ahead.remove(&self.consumed) {
            self.consumed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_its_turn_is_remembered_until_the_gap_closes() {
        let mut position = Position::start();
        for given in [2, 0, 4] {
            position.give(given);
        }
        assert_eq!((position.first(), position.samples(), position.last()), (1, 3, Some(4)));
        assert!(position.contains(0) && !position.contains(1) && position.contains(2) && !position.contains(3));
        position.give(1);
        position.give(3);
        assert_eq!(position, Position::after(5));
    }

    #[test]
    fn a_position_survives_being_written_down() {
        let mut position = Position::after(7);
        position.give(9);
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(text, r#"{"consumed":7,"ahead":[9]}"#);
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }
}
