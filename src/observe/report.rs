//! A copy of all counters at one moment: for the log, the final table, and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use lineside_model::Timestamp;
use serde::Serialize;

use super::{Kind, OpenWindow, SensorTime, State};

/// All counters of a pipeline at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One each, in the order of the plan.
    pub objects: Vec<ObjectReport>,
}

/// The counters of one source, operator or sink.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectReport {
    /// What it is.
    pub kind: Kind,
    /// Its name in the pipeline file.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Messages from the wire.
    pub messages: u64,
    /// Bytes from the wire.
    pub bytes: u64,
    /// Rows in.
    pub rows_in: u64,
    /// Rows out.
    pub rows_out: u64,
    /// Rows held in open windows.
    pub open_rows: u64,
    /// How often the connection was lost.
    pub reconnects: u64,
    /// The watermark, if there is one yet and the input has not ended.
    pub watermark: Option<Timestamp>,
    /// The oldest window that is open.
    pub open_window: Option<OpenWindow>,
    /// Of a source whose sensors have a time each: the one that holds the watermark, and those that do not take part.
    pub sensors: Vec<SensorTime>,
    /// Rows and messages that left the dataflow here, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// One line about the first of each reason.
    pub samples: BTreeMap<&'static str, String>,
    /// Counts of the connector's own.
    pub counts: BTreeMap<&'static str, u64>,
    /// Lengths of time.
    pub times: BTreeMap<&'static str, Quantiles>,
}

impl ObjectReport {
    /// All that left the dataflow here.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// A distribution of lengths of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// 999 of 1,000 are at most this.
    pub p999: u64,
    /// The greatest.
    pub max: u64,
}

impl Quantiles {
    /// Of a histogram in microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |micros: u64| match micros {
            0..10_000 => format!("{micros} µs"),
            10_000..10_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
            _ => format!("{:.1} s", micros as f64 / 1e6),
        };
        write!(f, "p50 {}, p99 {}, p99.9 {}, max {}", part(self.p50), part(self.p99), part(self.p999), part(self.max))
    }
}

impl Report {
    /// The report of one object.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&ObjectReport> {
        self.objects.iter().find(|o| o.kind == kind && o.name == name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.objects.iter().map(|o| o.name.len()).max().unwrap_or(0).max(4);
        writeln!(f, "{:<8} {:<width$} {:>12} {:>12} {:>9} {:>9}", "", "name", "in", "out", "dropped", "open")?;
        for o in &self.objects {
            let taken = if o.messages > 0 { o.messages } else { o.rows_in };
            writeln!(
                f,
                "{:<8} {:<width$} {taken:>12} {:>12} {:>9} {:>9}",
                o.kind.word(),
                o.name,
                o.rows_out,
                o.dropped_total(),
                o.open_rows
            )?;
            let mut notes = Vec::new();
            if o.reconnects > 0 {
                notes.push(format!("{} reconnects", o.reconnects));
            }
            notes.extend(o.dropped.iter().map(|(reason, count)| format!("{reason} {count}")));
            notes.extend(o.counts.iter().map(|(name, count)| format!("{name} {count}")));
            if !notes.is_empty() {
                writeln!(f, "{:<8} {:<width$}   {}", "", "", notes.join(", "))?;
            }
            for (name, times) in &o.times {
                writeln!(f, "{:<8} {:<width$}   {name}: {times}", "", "")?;
            }
        }
        Ok(())
    }
}
