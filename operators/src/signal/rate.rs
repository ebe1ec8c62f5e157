//! Rate: how fast a value changes, per second or any other length of time.
//!
//! With `per = "1m"`:
//!
//! | ts | value | rate |
//! | --- | --- | --- |
//! | 0 s | 20.0 | |
//! | 30 s | 21.0 | 2.0 |
//! | 60 s | 20.5 | −1.0 |
//!
//! By default it goes from the reading before to this one; with `over = "10s"` from the oldest reading within the last ten
//! seconds, which is calmer. Where there is none to compare with, no row comes out. Of several readings of one time the last
//! one counts from there on.
//!
//! With `counter = true` the value is one that only rises, such as an energy meter: where it drops it began anew at 0. With
//! `wraps_at = 65536.0` it starts at 0 again when it reaches that number: a drop from the upper half of its range to the
//! lower half is taken for that, any other one for a new beginning.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`. One of bad quality or without a value is
//! passed over and counted as `bad_quality`. The quality of a rate is the worse one of its two readings.

use std::collections::VecDeque;

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, Quality, Reason, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{known, more_than_no_time};
use super::derived::Derived;
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesStep};

const SECOND: Span = Span::from_secs(1);

/// Options of `type = "rate"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateOptions {
    /// The length of time that the change is told for: "1s" for units a second, "1m" for units a minute. Default "1s".
    per: Option<Span>,
    /// Compare with the oldest reading that is at most so much older. Default: with the reading before.
    over: Option<Span>,
    /// The value only rises; where it drops, it began anew at 0. Default false.
    #[serde(default)]
    counter: bool,
    /// The number at which a counter starts at 0 again, such as 65536.0 for one of 16 bits. Default: none.
    wraps_at: Option<f64>,
}

/// A rate of change with checked options.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    per: Span,
    over: Option<Span>,
    counter: bool,
    wraps_at: Option<f64>,
}

/// The readings of one sensor that are still compared with, oldest first, each with another time.
pub type Recent = VecDeque<Point>;

/// A reading with a value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Point {
    ts: Timestamp,
    value: f64,
    /// Of a counter: how far it had come when it last began at 0.
    base: f64,
    quality: Quality,
}

impl Rate {
    /// A rate from the reading before to this one.
    ///
    /// # Errors
    /// If `per` is no time.
    pub fn new(per: Span) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        more_than_no_time("per", Some(per), &mut problems);
        problems.or(Self { per, over: None, counter: false, wraps_at: None })
    }

    /// Takes a reading and gives the rate up to it.
    fn next(&self, recent: &mut Recent, ts: Timestamp, value: f64, quality: Quality) -> Option<Derived> {
        if recent.back().is_some_and(|last| last.ts == ts) {
            recent.pop_back();
        }
        let base = recent.back().map_or(0.0, |last| last.base + self.begun_anew(last.value, value));
        match self.over {
            Some(over) => {
                while recent.front().is_some_and(|oldest| ts.since(oldest.ts) > over) {
                    recent.pop_front();
                }
            }
            None => drop(recent.drain(..recent.len().saturating_sub(1))),
        }
        let rate = recent.front().map(|from| {
            let change = (base - from.base) + (value - from.value);
            let rate = change / ts.since(from.ts).as_secs_f64() * self.per.as_secs_f64();
            let quality = if rate.is_finite() { quality.max(from.quality) } else { Quality::Bad };
            Derived { value: Some(rate).filter(|rate| rate.is_finite()), quality }
        });
        recent.push_back(Point { ts, value, base, quality });
        rate
    }

    /// What a counter had come to when it began at 0 between two readings; 0 if it did not.
    fn begun_anew(&self, was: f64, is: f64) -> f64 {
        match self.wraps_at {
            _ if !self.counter || is >= was => 0.0,
            Some(range) if was >= range / 2.0 && is < range / 2.0 => range,
            Some(_) | None => was,
        }
    }
}

impl SeriesStep for Rate {
    const KIND: &'static str = "rate";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Time;
    type State = Recent;
    type Output = Rows<Derived>;

    fn start(&self) -> Recent {
        Recent::new()
    }

    fn step(&self, recent: &mut Recent, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        if let Some(rate) = self.next(recent, reading.ts, value, reading.quality) {
            out.push(reading.ts, reading.sensor, rate);
        }
        Ok(())
    }
}

/// `rate(x)`: the rate from the row before to this one; null where the value is, and without a row before.
impl SeriesFunction for Rate {
    const KIND: &'static str = "rate";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Recent;
    type Value = f64;

    fn start(&self) -> Recent {
        Recent::new()
    }

    fn step(&self, recent: &mut Recent, time: Timestamp, value: Option<f64>) -> Option<f64> {
        self.next(recent, time, known(value)?, Quality::Good)?.value
    }

    fn keeps(&self) -> String {
        "the last value".to_owned()
    }
}

impl SeriesKind for Rate {
    type Options = RateOptions;
    const ABOUT: &'static str = "how fast a value changes, also of counters that wrap or start anew";
    const EXAMPLE: &'static str = r#"[operator.heating_rate]
type = "rate"
input = "plc"
per = "1m"
over = "30s"
"#;

    fn check(
        options: RateOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let RateOptions { per, over, counter, wraps_at } = options;
        let mut problems = Problems::default();
        more_than_no_time("per", per, &mut problems);
        more_than_no_time("over", over, &mut problems);
        if let Some(found) = wraps_at.filter(|range| !(range.is_finite() && *range > 0.0)) {
            problems.push(Problem::option("wraps_at", format!("expected a number above 0, found {found}")));
        }
        problems.or(Self { per: per.unwrap_or(SECOND), over, counter: counter || wraps_at.is_some(), wraps_at })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<Derived>::schema()
    }

    fn explain(&self) -> Vec<String> {
        let kept = self.over.map_or("the last reading".to_owned(), |over| format!("the readings of the last {over}"));
        vec![format!("state: {kept} of each sensor")]
    }
}
