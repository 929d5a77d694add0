//! What epochs did, as a table or as JSON.

use std::time::Duration;

use s3dlio::EpochStatistics;
use serde::Serialize;

use super::epochs::Done;
use crate::output::{Output, human_size};

/// One line of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    epoch: u64,
    samples: u64,
    bytes: u64,
    failed: u64,
    seconds: f64,
    samples_per_second: f64,
    bytes_per_second: f64,
    seconds_to_first_batch: Option<f64>,
    seconds_stalled: f64,
    latency_p50_seconds: Option<f64>,
    latency_p99_seconds: Option<f64>,
    requests: Option<u64>,
    peak_memory_bytes: Option<u64>,
}

/// One epoch for `--json`.
pub(super) fn line(done: &Done) -> Line {
    let statistics = &done.statistics;
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    Line {
        epoch: done.number,
        samples: statistics.samples,
        bytes: statistics.bytes,
        failed: statistics.failed,
        seconds: statistics.elapsed.as_secs_f64(),
        samples_per_second: statistics.samples_per_second(),
        bytes_per_second: statistics.bytes_per_second(),
        seconds_to_first_batch: seconds(statistics.time_to_first),
        seconds_stalled: statistics.stalled.as_secs_f64(),
        latency_p50_seconds: seconds(statistics.latency(0.5)),
        latency_p99_seconds: seconds(statistics.latency(0.99)),
        requests: done.requests,
        peak_memory_bytes: peak_memory(),
    }
}

/// One column of the table: its name, and what it is about.
type Column = (String, EpochStatistics, Option<u64>);

/// Prints a column per epoch, and one for all.
pub(super) fn print(done: &[Done], output: &mut Output) {
    const WIDTH: usize = 14;
    let mut columns: Vec<Column> =
        done.iter().map(|done| (format!("epoch {}", done.number), done.statistics.clone(), done.requests)).collect();
    if let [(_, first, _), rest @ ..] = columns.as_slice()
        && !rest.is_empty()
    {
        let mut all = first.clone();
        rest.iter().for_each(|(_, statistics, _)| all.merge(statistics));
        columns.push(("all".into(), all, done.iter().map(|done| done.requests).sum()));
    }
    let mut row = |name: &str, value: &dyn Fn(&Column) -> String| {
        let values: String = columns.iter().map(|column| format!("{:>WIDTH$}", value(column))).collect();
        output.line(format_args!("{name:<20}{values}"));
    };
    row("", &|(name, ..)| name.clone());
    row("samples", &|(_, statistics, _)| statistics.samples.to_string());
    row("data", &|(_, statistics, _)| human_size(statistics.bytes));
    row("samples/s", &|(_, statistics, _)| format!("{:.1}", statistics.samples_per_second()));
    row("MB/s", &|(_, statistics, _)| format!("{:.1}", statistics.bytes_per_second() / 1e6));
    row("time to first batch", &|(_, statistics, _)| duration(statistics.time_to_first));
    row("waited for data", &|(_, statistics, _)| duration(Some(statistics.stalled)));
    row("latency p50", &|(_, statistics, _)| duration(statistics.latency(0.5)));
    row("latency p99", &|(_, statistics, _)| duration(statistics.latency(0.99)));
    row("requests sent", &|(.., requests)| requests.map_or("none (local)".into(), |requests| requests.to_string()));
    if let Some(peak) = peak_memory() {
        output.line(format_args!("{:<20}{:>WIDTH$}", "peak memory", human_size(peak)));
    }
}

/// A duration for people, to three digits or so.
pub(super) fn duration(duration: Option<Duration>) -> String {
    match duration.map(|duration| duration.as_secs_f64()) {
        None => "-".into(),
        Some(seconds) if seconds < 1e-3 => format!("{:.0} us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.2} s"),
    }
}

/// The most memory that this process has had resident, where the system tells.
fn peak_memory() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_read_from_what_the_kernel_says() {
        assert_eq!(peak_of("Name:\ts3dlio\nVmHWM:\t  12344 kB\nVmRSS:\t 1 kB\n"), Some(12344 * 1024));
        assert_eq!(peak_of("Name:\tx\n"), None);
        assert!(peak_memory().is_some_and(|peak| peak > 1 << 20));
    }

    #[test]
    fn durations_for_people() {
        let shown = [0, 999, 1500, 999_949, 1_234_567].map(|us| duration(Some(Duration::from_micros(us))));
        assert_eq!(shown, ["0 us", "999 us", "1.5 ms", "999.9 ms", "1.23 s"]);
    }
}
