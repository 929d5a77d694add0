//! The table: medians of both sides, and what they should be.

use serde::Serialize;

use crate::process::Sample;

/// What a row asks of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    /// CPU microseconds per object.
    CpuMicrosecondsPerObject,
    /// CPU seconds per GiB.
    CpuSecondsPerGib,
    /// Peak resident memory in MiB.
    PeakMib,
    /// GiB per second by the clock.
    GibPerSecond,
}

const GIB: f64 = (1u64 << 30) as f64;
const MIB: f64 = (1u64 << 20) as f64;

impl Unit {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::CpuMicrosecondsPerObject => sample.cpu_seconds * 1e6 / sample.operations as f64,
            Self::CpuSecondsPerGib => sample.cpu_seconds / (sample.bytes as f64 / GIB),
            Self::PeakMib => sample.peak_bytes as f64 / MIB,
            Self::GibPerSecond => sample.bytes as f64 / GIB / sample.wall_seconds,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CpuMicrosecondsPerObject => "CPU us/object",
            Self::CpuSecondsPerGib => "CPU s/GiB",
            Self::PeakMib => "peak MiB",
            Self::GibPerSecond => "GiB/s",
        }
    }
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Bar {
    /// At most so many times the reference.
    TimesAtMost(f64),
    /// At least so many times the reference.
    TimesAtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing: for information.
    None,
}

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// What ours is compared to, and its samples.
    pub(crate) reference: Option<(&'static str, Vec<Sample>)>,
    pub(crate) ours: Vec<Sample>,
    pub(crate) bar: Bar,
}

/// A row's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) reference: Option<f64>,
    pub(crate) ours: f64,
    /// The median of the ratios of neighbouring rounds.
    pub(crate) ratio: Option<f64>,
    pub(crate) reached: Option<bool>,
    /// By the clock, for information.
    pub(crate) ours_wall_seconds: f64,
}

impl Row {
    pub(crate) fn figures(&self) -> Figures {
        let values = |samples: &[Sample]| samples.iter().map(|sample| self.unit.of(sample)).collect::<Vec<_>>();
        let ours = values(&self.ours);
        let reference = self.reference.as_ref().map(|(_, samples)| values(samples));
        let ratio = reference
            .as_ref()
            .map(|reference| median(ours.iter().zip(reference).map(|(ours, reference)| ours / reference).collect()));
        let ours = median(ours);
        let reached = match (self.bar, ratio) {
            (Bar::TimesAtMost(bar), Some(ratio)) => Some(ratio <= bar),
            (Bar::TimesAtLeast(bar), Some(ratio)) => Some(ratio >= bar),
            (Bar::AtMost(bar), _) => Some(ours <= bar),
            _ => None,
        };
        let ours_wall_seconds = median(self.ours.iter().map(|sample| sample.wall_seconds).collect());
        Figures { reference: reference.map(median), ours, ratio, reached, ours_wall_seconds }
    }
}

/// The rows as a table of Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| measured | unit | reference | s3dlio | ratio | to reach | reached | wall s |\n\
         | --- | --- | ---: | ---: | ---: | --- | --- | ---: |\n",
    );
    for row in rows {
        let figures = row.figures();
        let reference = match (&row.reference, figures.reference) {
            (Some((name, _)), Some(value)) => format!("{name} {}", number(value)),
            _ => "".to_owned(),
        };
        let bar = match row.bar {
            Bar::TimesAtMost(bar) => format!("<= {bar:.1}x"),
            Bar::TimesAtLeast(bar) => format!(">= {bar:.1}x"),
            Bar::AtMost(bar) => format!("<= {}", number(bar)),
            Bar::None => String::new(),
        };
        let ratio = figures.ratio.map(|ratio| format!("{ratio:.2}x")).unwrap_or_default();
        let reached = match figures.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        out.push_str(&format!(
            "| {} | {} | {reference} | {} | {ratio} | {bar} | {reached} | {:.2} |\n",
            row.name,
            row.unit.name(),
            number(figures.ours),
            figures.ours_wall_seconds,
        ));
    }
    out
}

/// Three digits.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_seconds: f64) -> Sample {
        Sample { cpu_seconds, wall_seconds: 1.0, operations: 1_000_000, bytes: 1 << 30, peak_bytes: 1 << 20 }
    }

    #[test]
    fn a_ratio_is_that_of_neighbours() {
        // A machine that slows down by half in the middle changes no ratio.
        let row = Row {
            name: "r".to_owned(),
            unit: Unit::CpuMicrosecondsPerObject,
            reference: Some(("floor", [10.0, 20.0, 20.0].map(sample).to_vec())),
            ours: [15.0, 30.0, 32.0].map(sample).to_vec(),
            bar: Bar::TimesAtMost(1.5),
        };
        let figures = row.figures();
        assert_eq!((figures.reference, figures.ours, figures.ratio), (Some(20.0), 30.0, Some(1.5)));
        assert_eq!(figures.reached, Some(true));
    }
}
