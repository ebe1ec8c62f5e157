//! Hysteresis: a switch with a dead band, so that a value that hovers about a threshold does not chatter.
//!
//! With `on = 80.0` and `off = 75.0`:
//!
//! | ts | value | event |
//! | --- | --- | --- |
//! | 0 s | 70.0 | |
//! | 1 s | 80.0 | `on` at 1 s |
//! | 2 s | 76.0 | between the two: stays on |
//! | 3 s | 75.0 | `off` at 3 s, since 1 s |
//!
//! The switch is off until a value reaches `on`, and on until a value reaches `off`. With `on` below `off` it works the other
//! way round: on when the value has fallen to `on`, off when it has risen to `off`. Only changes are told.
//!
//! Readings are taken in the order of event time. One of bad quality or without a value changes nothing and is counted as
//! `bad_quality`; a late one is counted as `late`.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{finite, known};
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts, times};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

/// Options of `type = "hysteresis"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HysteresisOptions {
    /// The value at which it goes on.
    on: f64,
    /// The value at which it goes off again; below `on`, or above it if low values are to switch on.
    off: f64,
}

/// A switch with a dead band.
#[derive(Clone, Copy, Debug)]
pub struct Hysteresis {
    on: f64,
    off: f64,
}

/// Where the switch of one sensor stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Switch {
    is_on: bool,
    /// When it last changed.
    since: Option<Timestamp>,
}

impl Hysteresis {
    /// A switch with these thresholds.
    ///
    /// # Errors
    /// If there is no dead band between them.
    pub fn new(on: f64, off: f64) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        finite("on", Some(on), &mut problems);
        finite("off", Some(off), &mut problems);
        if on == off {
            let problem = Problem::option("off", format!("expected another value than on = {on}, found the same"));
            problems.push(problem.hint("put off below on by more than the noise"));
        }
        problems.or(Self { on, off })
    }

    /// Takes a value and says whether the switch has changed.
    fn changes(self, switch: &mut Switch, value: f64) -> bool {
        let side = if self.on > self.off { 1.0 } else { -1.0 };
        let reached = if switch.is_on { side * value <= side * self.off } else { side * value >= side * self.on };
        switch.is_on ^= reached;
        reached
    }
}

impl SeriesStep for Hysteresis {
    const KIND: &'static str = "hysteresis";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Time;
    type State = Switch;
    type Output = Rows<SwitchRow>;

    fn start(&self) -> Switch {
        Switch::default()
    }

    fn step(&self, switch: &mut Switch, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        if self.changes(switch, value) {
            let since = switch.since.replace(reading.ts);
            out.push(reading.ts, reading.sensor, SwitchRow { is_on: switch.is_on, value, since });
        }
        Ok(())
    }
}

/// A switch changed.
#[derive(Debug)]
pub struct SwitchRow {
    is_on: bool,
    value: f64,
    /// When it had changed before.
    since: Option<Timestamp>,
}

impl SeriesRow for SwitchRow {
    fn fields() -> Vec<Field> {
        vec![
            Field::new("state", DataType::Utf8, false),
            Field::new(schema::VALUE, DataType::Float64, false),
            schema::time_field("since", true),
        ]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            texts(rows, |row| Some(if row.is_on { "on" } else { "off" })),
            numbers(rows, |row| Some(row.value)),
            times(rows, |row| row.since),
        ]
    }
}

/// `hysteresis(x, on, off)`: whether the switch is on; null where the value is.
impl SeriesFunction for Hysteresis {
    const KIND: &'static str = "hysteresis";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Switch;
    type Value = bool;

    fn start(&self) -> Switch {
        Switch::default()
    }

    fn step(&self, switch: &mut Switch, time: Timestamp, value: Option<f64>) -> Option<bool> {
        if self.changes(switch, known(value)?) {
            switch.since = Some(time);
        }
        Some(switch.is_on)
    }

    fn keeps(&self) -> String {
        "whether it is on".to_owned()
    }
}

impl SeriesKind for Hysteresis {
    type Options = HysteresisOptions;
    const ABOUT: &'static str = "switches on at one value and off at another, and tells each change";
    const EXAMPLE: &'static str = r#"[operator.pump_needed]
type = "hysteresis"
input = "plc"
on = 80.0
off = 75.0
"#;

    fn check(
        options: HysteresisOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        Self::new(options.on, options.off)
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<SwitchRow>::schema()
    }
}
