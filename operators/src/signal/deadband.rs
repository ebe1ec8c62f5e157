//! Deadband: hands a reading on only when it moved enough, so that noise costs no network and no storage.
//!
//! With `band = 0.5` and `max_silence = "10s"`:
//!
//! | ts | value | |
//! | --- | --- | --- |
//! | 0 s | 20.0 | passes: the first |
//! | 1 s | 20.4 | is held back |
//! | 2 s | 20.6 | passes: 0.6 from the last one that passed |
//! | 3 s | bad | passes, and so does the next good one |
//! | 14 s | 20.7 | passes: nothing was sent for 10 s |
//!
//! A reading without a usable value always passes, so that whoever reads on sees the fault; a change of quality passes too.
//! Readings are compared in the order in which they come; nothing waits for stragglers. `max_silence` goes by event time
//! and needs a reading to send: a sensor that fell silent is found by `stale`. Rows held back are counted as `filtered`.

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, Quality, Reason, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{at_least_zero, known, more_than_no_time};
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::{Follows, Kept, Order, SeriesKind, SeriesStep};

/// Options of `type = "deadband"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadbandOptions {
    /// How far the value must move from the last one that passed, in its own unit. At least one of `band` and `percent`.
    band: Option<f64>,
    /// The same in percent of the last value that passed; with `band`, the wider of the two counts.
    percent: Option<f64>,
    /// A value passes at the latest when this much event time went by since the last one. Default: no such limit.
    max_silence: Option<Span>,
}

/// A deadband with checked options.
#[derive(Debug)]
pub struct Deadband {
    band: f64,
    percent: f64,
    max_silence: Option<Span>,
}

/// The last reading of a sensor that passed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Passed {
    ts: Timestamp,
    value: Option<f64>,
    quality: Quality,
}

impl Deadband {
    /// A band in the unit of the value.
    ///
    /// # Errors
    /// If its width is negative.
    pub fn new(band: f64) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        at_least_zero("band", Some(band), &mut problems);
        problems.or(Self { band, percent: 0.0, max_silence: None })
    }

    fn passes(&self, last: &Passed, reading: &Reading<'_>) -> bool {
        let (Some(was), Some(is)) = (last.value, reading.value) else { return true };
        let width = self.band.max(self.percent / 100.0 * was.abs());
        reading.quality != last.quality
            || (is - was).abs() > width
            || self.max_silence.is_some_and(|longest| reading.ts.since(last.ts) >= longest)
    }
}

impl SeriesStep for Deadband {
    const KIND: &'static str = "deadband";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Arrival;
    type State = Option<Passed>;
    type Output = Kept;

    fn start(&self) -> Self::State {
        None
    }

    fn step(&self, last: &mut Self::State, reading: &Reading<'_>, out: &mut Kept) -> Result<(), Reason> {
        if last.as_ref().is_some_and(|last| !self.passes(last, reading)) {
            return Err(Reason::Filtered);
        }
        *last = Some(Passed { ts: reading.ts, value: reading.value, quality: reading.quality });
        out.keep(reading);
        Ok(())
    }
}

/// `deadband(x, band)`: the last value that passed, so that noise does not show; null where the value is.
impl SeriesFunction for Deadband {
    const KIND: &'static str = "deadband";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Option<Passed>;
    type Value = f64;

    fn start(&self) -> Option<Passed> {
        None
    }

    fn step(&self, last: &mut Option<Passed>, time: Timestamp, value: Option<f64>) -> Option<f64> {
        let value = known(value);
        let quality = if value.is_some() { Quality::Good } else { Quality::Bad };
        let reading = Reading { row: 0, sensor: "", ts: time, value, quality, received_at: None };
        if last.as_ref().is_none_or(|last| self.passes(last, &reading)) {
            *last = Some(Passed { ts: time, value, quality });
        }
        last.as_ref().and_then(|last| last.value)
    }

    fn keeps(&self) -> String {
        "the last value that passed".to_owned()
    }
}

impl SeriesKind for Deadband {
    type Options = DeadbandOptions;
    const ABOUT: &'static str = "hands a reading on only when it moved by more than a band";
    const EXAMPLE: &'static str = r#"[operator.quiet]
type = "deadband"
input = "plc"
band = 0.5
max_silence = "10s"
"#;

    fn check(
        options: DeadbandOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let DeadbandOptions { band, percent, max_silence } = options;
        let mut problems = Problems::default();
        if band.is_none() && percent.is_none() {
            problems.push(Problem::whole("option \"band\" is missing").hint("give band, percent, or both"));
        }
        for (name, width) in [("band", band), ("percent", percent)] {
            at_least_zero(name, width, &mut problems);
        }
        more_than_no_time("max_silence", max_silence, &mut problems);
        problems.or(Self { band: band.unwrap_or(0.0), percent: percent.unwrap_or(0.0), max_silence })
    }

    fn output(input: &SchemaRef) -> SchemaRef {
        SchemaRef::clone(input)
    }

    fn time(columns: &ReadingColumns) -> &str {
        columns.time()
    }
}
