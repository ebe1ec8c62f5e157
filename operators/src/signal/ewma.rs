//! EWMA: an exponentially weighted moving average, which follows a value and forgets its past bit by bit.
//!
//! With `alpha = 0.5`:
//!
//! | ts | value | mean |
//! | --- | --- | --- |
//! | 0 s | 20.0 | 20.0: the first reading |
//! | 1 s | 24.0 | 22.0 |
//! | 2 s | 24.0 | 23.0 |
//!
//! With `alpha`, each reading has the same weight in the mean, whenever it comes. With `half_life`, the weight of the past
//! halves with each such length of event time, so a sensor may send at any pace; of several readings of one time only the
//! first one then has a weight. Every good reading gives one row.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`. One of bad quality or without a value is
//! passed over and counted as `bad_quality`. The quality of a row is that of its reading.

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, Reason, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{finite, known, more_than_no_time};
use super::derived::Derived;
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesStep};

/// Options of `type = "ewma"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EwmaOptions {
    /// The weight of a new reading, above 0 and at most 1. Either this or `half_life`.
    alpha: Option<f64>,
    /// The event time in which the weight of the past halves.
    half_life: Option<Span>,
    /// The mean before the first reading, such as the target of a control chart. Default: the first reading.
    start: Option<f64>,
}

/// A moving average with checked options.
#[derive(Clone, Copy, Debug)]
pub struct Ewma {
    weight: Weight,
    start: Option<f64>,
}

/// The weight of a new reading.
#[derive(Clone, Copy, Debug)]
enum Weight {
    Alpha(f64),
    HalfLife(Span),
}

/// The mean of one sensor, and the time of its last reading.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mean {
    mean: Option<f64>,
    at: Option<Timestamp>,
}

impl Ewma {
    /// An average by readings.
    ///
    /// # Errors
    /// If the weight is not above 0 and at most 1.
    pub fn by_readings(alpha: f64) -> Result<Self, Problems> {
        if !(alpha > 0.0 && alpha <= 1.0) {
            let told = format!("expected a number above 0 and at most 1, found {alpha}");
            return Err(Problem::option("alpha", told).into());
        }
        Ok(Self { weight: Weight::Alpha(alpha), start: None })
    }

    /// An average by time.
    ///
    /// # Errors
    /// If the half-life is no time.
    pub fn by_time(half_life: Span) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        more_than_no_time("half_life", Some(half_life), &mut problems);
        problems.or(Self { weight: Weight::HalfLife(half_life), start: None })
    }

    /// Takes a value and gives the mean with it.
    fn next(&self, state: &mut Mean, ts: Timestamp, value: f64) -> f64 {
        let mean = match (state.mean, self.weight) {
            (None, _) => value,
            (Some(mean), Weight::Alpha(alpha)) => alpha * value + (1.0 - alpha) * mean,
            (Some(mean), Weight::HalfLife(half_life)) => {
                // Time goes from the first reading on: a start value of unknown age weighs as much as that reading.
                let passed = state.at.map_or(half_life, |at| ts.since(at));
                let past = (-passed.as_secs_f64() / half_life.as_secs_f64()).exp2();
                (1.0 - past) * value + past * mean
            }
        };
        *state = Mean { mean: Some(mean), at: Some(ts) };
        mean
    }
}

impl SeriesStep for Ewma {
    const KIND: &'static str = "ewma";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Time;
    type State = Mean;
    type Output = Rows<Derived>;

    fn start(&self) -> Mean {
        Mean { mean: self.start, at: None }
    }

    fn step(&self, state: &mut Mean, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        let value = Some(self.next(state, reading.ts, value));
        out.push(reading.ts, reading.sensor, Derived { value, quality: reading.quality });
        Ok(())
    }
}

/// `ewma(x, weight)`: the mean with this row; null where the value is.
impl SeriesFunction for Ewma {
    const KIND: &'static str = "ewma";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Mean;
    type Value = f64;

    fn start(&self) -> Mean {
        Mean { mean: self.start, at: None }
    }

    fn step(&self, state: &mut Mean, time: Timestamp, value: Option<f64>) -> Option<f64> {
        known(value).map(|value| self.next(state, time, value))
    }

    fn keeps(&self) -> String {
        "the mean".to_owned()
    }
}

impl SeriesKind for Ewma {
    type Options = EwmaOptions;
    const ABOUT: &'static str = "smooths a value: an average that forgets its past exponentially";
    const EXAMPLE: &'static str = r#"[operator.smooth]
type = "ewma"
input = "plc"
half_life = "30s"
"#;

    fn check(
        options: EwmaOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let EwmaOptions { alpha, half_life, start } = options;
        let mut problems = Problems::default();
        finite("start", start, &mut problems);
        let made = match (alpha, half_life) {
            (Some(alpha), None) => Self::by_readings(alpha),
            (None, Some(half_life)) => Self::by_time(half_life),
            (None, None) => Err(Problem::whole("a mean needs a weight").hint("give alpha or half_life").into()),
            (Some(_), Some(_)) => {
                Err(Problem::option("half_life", "a mean has one weight").hint("give alpha or half_life").into())
            }
        };
        match (made, problems.0.is_empty()) {
            (Ok(made), true) => Ok(Self { start, ..made }),
            (made, _) => Err(Problems(made.err().into_iter().flat_map(|more| more.0).chain(problems.0).collect())),
        }
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<Derived>::schema()
    }
}
