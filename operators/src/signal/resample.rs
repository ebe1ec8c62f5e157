//! Resample: readings at regular times, however irregularly they come.
//!
//! With `period = "10s"` and `max_gap = "30s"`:
//!
//! | ts | value | | point | hold | linear | null |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 0 s | 20.0 | | 0 s | 20.0 | 20.0 | 20.0 |
//! | | | | 10 s | 20.0 | 21.0 | null |
//! | 15 s | 21.5 | | 20 s | 21.5 | 22.0 | 21.5 |
//! | 25 s | 22.5 | | | | | |
//!
//! How points are filled, and what quality they have, is told at [`grid`](super::grid). Rows are readings again. Held and
//! null points come out as soon as the watermark has passed them; points on a line wait for the reading after them. So after
//! the last reading of a sensor, points go on for `max_gap`; at the end of the input they end with its last reading.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`, those of bad quality or without a value
//! as `bad_quality`. To average what lies between two points instead, use a window.

use arrow::datatypes::SchemaRef;
use lineside_model::{Problems, Reason, Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::derived::Derived;
use super::grid::{Fill, Grid, Track};
use crate::reading::{Reading, ReadingColumns};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesStep};

/// Options of `type = "resample"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResampleOptions {
    /// The time between two points.
    period: Span,
    /// How far points are shifted from multiples of the period. Default "0s".
    offset: Option<Span>,
    /// How points between readings are filled: hold, linear or null. Default "hold".
    #[serde(default)]
    fill: Fill,
    /// How long a sensor may be silent and still have points. At least the period.
    max_gap: Span,
}

/// Resampling with checked options.
#[derive(Debug)]
pub struct Resample {
    grid: Grid,
}

impl SeriesStep for Resample {
    const KIND: &'static str = "resample";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Watermark;
    const ORDER: Order = Order::Time;
    type State = Track;
    type Output = Rows<Derived>;

    fn start(&self) -> Track {
        Track::default()
    }

    fn step(&self, track: &mut Track, reading: &Reading<'_>, _out: &mut Self::Output) -> Result<(), Reason> {
        self.grid.take(track, reading.ts, reading.value, reading.quality);
        reading.value.map(|_| ()).ok_or(Reason::BadQuality)
    }

    fn due(&self, track: &Track) -> Option<Timestamp> {
        self.grid.due(track)
    }

    fn elapsed(&self, track: &mut Track, sensor: &str, _now: Timestamp, out: &mut Self::Output) {
        self.grid.elapsed(track, |at, row| out.push(at, sensor, row));
    }
}

impl SeriesKind for Resample {
    type Options = ResampleOptions;
    const ABOUT: &'static str = "puts readings on a regular grid in time and fills gaps: held, interpolated or null";
    const EXAMPLE: &'static str = r#"[operator.every_second]
type = "resample"
input = "plc"
period = "1s"
fill = "linear"
max_gap = "10s"
"#;

    fn check(
        options: ResampleOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let ResampleOptions { period, offset, fill, max_gap } = options;
        Ok(Self { grid: Grid::new(period, offset, fill, max_gap)? })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<Derived>::schema()
    }

    fn lag(&self) -> Span {
        self.grid.lag()
    }

    fn explain(&self) -> Vec<String> {
        self.grid.explain()
    }
}
