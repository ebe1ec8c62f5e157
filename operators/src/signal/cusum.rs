//! CUSUM: finds a small lasting shift of a value from its target, which single readings do not show.
//!
//! Two sums run along, one upwards and one downwards. Each adds how far a reading is off the target, less a slack `k`, and
//! never falls below 0; a sum above `h` is an alarm. With `target = 10.0`, `k = 0.5`, `h = 5.0`:
//!
//! | value | high sum | low sum | |
//! | --- | --- | --- | --- |
//! | 12.0 | 1.5 | 0 | |
//! | 13.0 | 4.0 | 0 | |
//! | 12.0 | 5.5 | 0 | `high` |
//! | 11.0 | 6.0 | 0 | still in alarm: told once |
//!
//! An alarm is told when its sum passes `h`, and again only after a reading without it. With `reset = true` both sums start
//! at 0 again after each reading in alarm. With `sigma` given, `k` and `h` are multiples of it; usual are 0.5 and 4 to 5.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`. One of bad quality or without a value
//! leaves the sums as they are and is counted as `bad_quality`.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problems, Reason, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{above_zero, at_least_zero, finite, known};
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

/// Options of `type = "cusum"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CusumOptions {
    /// What the value should be.
    target: f64,
    /// The slack: half of the shift that is to be found.
    k: f64,
    /// The sum above which there is an alarm.
    h: f64,
    /// The standard deviation of the value; `k` and `h` are then multiples of it. Default: both are in the value's own unit.
    sigma: Option<f64>,
    /// Whether both sums start at 0 again after an alarm. Default false.
    #[serde(default)]
    reset: bool,
}

/// Cumulative sums with checked options.
#[derive(Clone, Copy, Debug)]
pub struct Cusum {
    target: f64,
    k: f64,
    h: f64,
    reset: bool,
}

/// The sums of one sensor.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    high: f64,
    low: f64,
    /// Whether the last reading was in alarm, high and low.
    in_alarm: [bool; 2],
}

impl Cusum {
    /// Sums that never start anew, in the unit of the value.
    ///
    /// # Errors
    /// If a number is not finite, or `k` is negative, or `h` not above 0.
    pub fn new(target: f64, k: f64, h: f64) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        finite("target", Some(target), &mut problems);
        at_least_zero("k", Some(k), &mut problems);
        above_zero("h", h, &mut problems);
        problems.or(Self { target, k, h, reset: false })
    }

    /// Takes a value and gives both sums, high and low.
    fn next(&self, sums: &mut Sums, value: f64) -> [f64; 2] {
        // A sum of finite values can leave the range of numbers; it stays at its end.
        let high = (sums.high + value - self.target - self.k).clamp(0.0, f64::MAX);
        let low = (sums.low + self.target - self.k - value).clamp(0.0, f64::MAX);
        let anew = self.reset && (high > self.h || low > self.h);
        [sums.high, sums.low] = if anew { [0.0, 0.0] } else { [high, low] };
        [high, low]
    }
}

impl SeriesStep for Cusum {
    const KIND: &'static str = "cusum";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Time;
    type State = Sums;
    type Output = Rows<ShiftRow>;

    fn start(&self) -> Sums {
        Sums::default()
    }

    fn step(&self, sums: &mut Sums, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        let now = self.next(sums, value);
        for ((side, sum), was) in ["high", "low"].into_iter().zip(now).zip(&mut sums.in_alarm) {
            let is = sum > self.h;
            if is && !*was {
                out.push(reading.ts, reading.sensor, ShiftRow { side, value, sum });
            }
            *was = is;
        }
        Ok(())
    }
}

/// A sum passed its limit.
#[derive(Debug)]
pub struct ShiftRow {
    side: &'static str,
    value: f64,
    sum: f64,
}

impl SeriesRow for ShiftRow {
    fn fields() -> Vec<Field> {
        let number = |name: &str| Field::new(name, DataType::Float64, false);
        vec![Field::new("side", DataType::Utf8, false), number(schema::VALUE), number("sum")]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            texts(rows, |row| Some(row.side)),
            numbers(rows, |row| Some(row.value)),
            numbers(rows, |row| Some(row.sum)),
        ]
    }
}

/// `cusum_high(x, target, k)` and `cusum_low(x, target, k)`: one of the two sums with this row; null where the value is.
#[derive(Clone, Copy, Debug)]
pub struct CusumSide {
    cusum: Cusum,
    side: usize,
}

impl CusumSide {
    /// The high sum of the two, or the low one. With `h`, both start at 0 again after a row where one of them is above it.
    ///
    /// # Errors
    /// As [`Cusum::new`].
    pub fn new(is_high: bool, target: f64, k: f64, h: Option<f64>) -> Result<Self, Problems> {
        let cusum = Cusum { reset: h.is_some(), ..Cusum::new(target, k, h.unwrap_or(f64::MAX))? };
        Ok(Self { cusum, side: usize::from(!is_high) })
    }
}

impl SeriesFunction for CusumSide {
    const KIND: &'static str = "cusum";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Sums;
    type Value = f64;

    fn start(&self) -> Sums {
        Sums::default()
    }

    fn step(&self, sums: &mut Sums, _: Timestamp, value: Option<f64>) -> Option<f64> {
        known(value).map(|value| self.cusum.next(sums, value)[self.side])
    }

    fn keeps(&self) -> String {
        "both sums".to_owned()
    }
}

impl SeriesKind for Cusum {
    type Options = CusumOptions;
    const ABOUT: &'static str = "finds a small lasting shift from a target by cumulative sums";
    const EXAMPLE: &'static str = r#"[operator.drift]
type = "cusum"
input = "plc"
target = 180.0
sigma = 0.8
k = 0.5
h = 5.0
"#;

    fn check(
        options: CusumOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let CusumOptions { target, k, h, sigma, reset } = options;
        let mut problems = Problems::default();
        if let Some(sigma) = sigma {
            above_zero("sigma", sigma, &mut problems);
        }
        let made = Self::new(target, k, h).map_err(|more| problems.0.extend(more.0)).ok();
        let unit = sigma.unwrap_or(1.0);
        match (made, problems.0.is_empty()) {
            (Some(made), true) => Ok(Self { k: k * unit, h: h * unit, reset, ..made }),
            _ => Err(problems),
        }
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<ShiftRow>::schema()
    }
}
