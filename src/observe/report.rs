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
    /// Lengths of time: the [stages](super::Stage), and what the connector measures itself.
    pub times: BTreeMap<&'static str, Quantiles>,
}

impl ObjectReport {
    /// All that left the dataflow here.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// A distribution of lengths of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1,000 are at most this.
    pub p999: f64,
    /// The greatest.
    pub max: f64,
}

impl Quantiles {
    /// Of a histogram in nanoseconds; a tenth of a microsecond is all that its reader can use.
    pub fn of(nanos: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        Self {
            count: nanos.len(),
            p50: micros(nanos.value_at_quantile(0.5)),
            p99: micros(nanos.value_at_quantile(0.99)),
            p999: micros(nanos.value_at_quantile(0.999)),
            max: micros(nanos.max()),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |micros: f64| match micros {
            short if short < 99.95 => format!("{short:.1} µs"),
            short if short < 9_999.5 => format!("{short:.0} µs"),
            long if long < 1e7 => format!("{:.1} ms", long / 1e3),
            long => format!("{:.1} s", long / 1e6),
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
