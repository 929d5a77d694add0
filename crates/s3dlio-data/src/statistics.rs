//! What an epoch has done so far.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies are told apart to this many digits: 0.1 %, finer than any two runs agree.
const DIGITS: u8 = 3;

/// The longest latency that is told apart from longer ones, an hour, in microseconds: far beyond every deadline.
const LONGEST: u64 = 3_600_000_000;

/// What an epoch has given its consumer so far, and how long that took.
#[derive(Clone)]
#[non_exhaustive]
pub struct EpochStatistics {
    /// Samples given.
    pub samples: u64,
    /// Bytes of these samples.
    pub bytes: u64,
    /// Samples that could not be read.
    pub failed: u64,
    /// From the first time that the consumer asked until it got the first batch, or sample, or an error in
    /// its place; none before that.
    pub time_to_first: Option<Duration>,
    /// How long the consumer has waited in all, from asking until getting; the time to the first is part of it.
    pub stalled: Duration,
    /// From the first time that the consumer asked until it last got something.
    pub elapsed: Duration,
    latencies: Histogram<u64>,
}

impl EpochStatistics {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("the bounds are valid and constant");
        Self {
            samples: 0,
            bytes: 0,
            failed: 0,
            time_to_first: None,
            stalled: Duration::ZERO,
            elapsed: Duration::ZERO,
            latencies,
        }
    }

    /// The time within which a share of the objects was read, `latency(0.99)` for the 99th percentile; none before the
    /// first object. It runs from the object's turn to its last byte: waits for a place in the budgets and retries are
    /// part of it. Exact to 0.1 %.
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        (!self.latencies.is_empty()).then(|| Duration::from_micros(self.latencies.value_at_quantile(quantile)))
    }

    /// Samples given per second; zero before the first.
    pub fn samples_per_second(&self) -> f64 {
        per_second(self.samples, self.elapsed)
    }

    /// Bytes given per second; zero before the first.
    pub fn bytes_per_second(&self) -> f64 {
        per_second(self.bytes, self.elapsed)
    }

    /// Adds what another epoch did, so that several can be reported as one. The time to the first stays this one's.
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.time_to_first = self.time_to_first.or(other.time_to_first);
        self.stalled += other.stalled;
        self.elapsed += other.elapsed;
        self.latencies.add(&other.latencies).expect("both histograms have the same bounds");
    }

    pub(crate) fn sample(&mut self, bytes: u64, latency: Duration) {
        self.samples += 1;
        self.bytes += bytes;
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }
}

impl fmt::Debug for EpochStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochStatistics")
            .field("samples", &self.samples)
            .field("bytes", &self.bytes)
            .field("failed", &self.failed)
            .field("time_to_first", &self.time_to_first)
            .field("stalled", &self.stalled)
            .field("elapsed", &self.elapsed)
            .field("median_latency", &self.latency(0.5))
            .finish_non_exhaustive()
    }
}

fn per_second(amount: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { amount as f64 / elapsed.as_secs_f64() }
}

/// The clock of one consumer.
#[derive(Debug, Default)]
pub(crate) struct ConsumerClock {
    /// When the consumer first asked.
    started: Option<Instant>,
    /// Since when it has been waiting, if it is.
    waiting: Option<Instant>,
}

impl ConsumerClock {
    /// The consumer asks, or asks again.
    pub(crate) fn asked(&mut self) {
        let waiting = *self.waiting.get_or_insert_with(Instant::now);
        self.started.get_or_insert(waiting);
    }

    /// The consumer got a batch, a sample or an error.
    pub(crate) fn got(&mut self, statistics: &mut EpochStatistics) {
        let (Some(started), Some(waiting)) = (self.started, self.waiting.take()) else { return };
        let now = Instant::now();
        statistics.stalled += now - waiting;
        statistics.elapsed = now - started;
        statistics.time_to_first.get_or_insert(statistics.elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_exact_to_a_thousandth_and_add_up() {
        let mut first = EpochStatistics::new();
        assert_eq!(first.latency(0.5), None);
        for milliseconds in 1..=100 {
            first.sample(10, Duration::from_millis(milliseconds));
        }
        let near = |found: Option<Duration>, wanted: f64| (found.unwrap().as_secs_f64() / wanted - 1.0).abs() < 0.001;
        assert!(near(first.latency(0.5), 0.050) && near(first.latency(0.99), 0.099), "{first:?}");
        let mut second = EpochStatistics::new();
        second.sample(5, Duration::from_secs(7200));
        first.merge(&second);
        assert_eq!((first.samples, first.bytes), (101, 1005));
        assert!(near(first.latency(1.0), 3600.0), "longer ones count as an hour: {first:?}");
    }

    #[test]
    fn the_clock_counts_waits_alone() {
        let (mut clock, mut statistics) = (ConsumerClock::default(), EpochStatistics::new());
        clock.got(&mut statistics);
        assert_eq!(statistics.time_to_first, None);
        clock.asked();
        clock.asked();
        clock.got(&mut statistics);
        assert_eq!(statistics.time_to_first, Some(statistics.stalled));
        let before = statistics.stalled;
        clock.got(&mut statistics);
        assert_eq!(statistics.stalled, before);
    }
}
