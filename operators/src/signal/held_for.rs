//! Held for: says when a condition has been true for long enough, and when it then ends.
//!
//! The condition is a comparison of the value, or the value itself where it is a truth (of a coil, or computed by a query).
//! With `above = 80.0` and `duration = "10s"`:
//!
//! | ts | value | event |
//! | --- | --- | --- |
//! | 0 s | 81.0 | true from here on, waits |
//! | 6 s | 82.0 | |
//! | 12 s | 83.0 | `held` at 10 s, since 0 s |
//! | 14 s | 79.0 | `ended` at 14 s, since 0 s |
//!
//! Time is event time. The last value is taken to stand until another reading comes, so it is told as soon as the watermark
//! has passed the moment, and bears that moment. A reading of that very moment that is not true comes in time to prevent it.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`. A reading of bad quality or without a
//! value proves nothing and is counted as `bad_quality`: the wait begins anew with the next one that is true, and what has
//! been held stays so until a reading says otherwise.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Span, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{finite, more_than_no_time};
use crate::over::{Condition, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts, times};
use crate::series::{Follows, MOMENT, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

/// Options of `type = "held_for"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldForOptions {
    /// How long the condition must be true, in event time.
    duration: Span,
    /// True above this value. Without `above` and `below`, a value other than 0 is true.
    above: Option<f64>,
    /// True below this value; with `above`, between the two.
    below: Option<f64>,
}

/// A wait with checked options.
#[derive(Clone, Copy, Debug)]
pub struct HeldFor {
    duration: Span,
    above: Option<f64>,
    below: Option<f64>,
}

/// What is known of one sensor.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    phase: Phase,
    /// The last value.
    value: f64,
}

/// Where a wait stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Phase {
    #[default]
    Untrue,
    /// True since then, but not for long enough.
    Waits {
        since: Timestamp,
    },
    Held {
        since: Timestamp,
    },
}

impl HeldFor {
    /// A wait for a condition that is given as such.
    ///
    /// # Errors
    /// If there is no time to wait.
    pub fn new(duration: Span) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        more_than_no_time("duration", Some(duration), &mut problems);
        problems.or(Self { duration, above: None, below: None })
    }

    fn is_true(self, value: f64) -> bool {
        match (self.above, self.below) {
            (None, None) => value != 0.0,
            (above, below) => above.is_none_or(|above| value > above) && below.is_none_or(|below| value < below),
        }
    }

    /// What follows from a reading, with the time that was held and has ended.
    fn next(self, phase: Phase, ts: Timestamp, condition: Option<bool>) -> Phase {
        match (phase, condition) {
            (Phase::Waits { since }, Some(true)) if ts.since(since) >= self.duration => Phase::Held { since },
            (phase @ (Phase::Waits { .. } | Phase::Held { .. }), Some(true)) => phase,
            (Phase::Untrue, Some(true)) => Phase::Waits { since: ts },
            (phase @ Phase::Held { .. }, None) => phase,
            (Phase::Untrue | Phase::Waits { .. }, None) | (_, Some(false)) => Phase::Untrue,
        }
    }

    fn tell_held(self, state: &mut Held, sensor: &str, since: Timestamp, out: &mut Rows<HeldRow>) {
        state.phase = Phase::Held { since };
        out.push(since + self.duration, sensor, HeldRow { event: "held", value: state.value, since });
    }
}

impl SeriesStep for HeldFor {
    const KIND: &'static str = "held_for";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Watermark;
    const ORDER: Order = Order::Time;
    type State = Held;
    type Output = Rows<HeldRow>;

    fn start(&self) -> Held {
        Held::default()
    }

    fn step(&self, state: &mut Held, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let was = state.phase;
        let next = self.next(was, reading.ts, reading.value.map(|value| self.is_true(value)));
        let value = reading.value.ok_or(Reason::BadQuality);
        state.value = value.unwrap_or(state.value);
        state.phase = next;
        match (was, next) {
            (Phase::Waits { .. }, Phase::Held { since }) => self.tell_held(state, reading.sensor, since, out),
            (Phase::Held { since }, Phase::Untrue) => {
                out.push(reading.ts, reading.sensor, HeldRow { event: "ended", value: state.value, since });
            }
            _ => {}
        }
        value.map(|_| ())
    }

    fn due(&self, state: &Held) -> Option<Timestamp> {
        match state.phase {
            Phase::Waits { since } => Some(since + self.duration + MOMENT),
            Phase::Untrue | Phase::Held { .. } => None,
        }
    }

    fn elapsed(&self, state: &mut Held, sensor: &str, _now: Timestamp, out: &mut Self::Output) {
        if let Phase::Waits { since } = state.phase {
            self.tell_held(state, sensor, since, out);
        }
    }
}

/// A condition has held, or has ended after it held.
#[derive(Debug)]
pub struct HeldRow {
    event: &'static str,
    value: f64,
    since: Timestamp,
}

impl SeriesRow for HeldRow {
    fn fields() -> Vec<Field> {
        vec![
            Field::new("event", DataType::Utf8, false),
            Field::new(schema::VALUE, DataType::Float64, false),
            schema::time_field("since", false),
        ]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            texts(rows, |row| Some(row.event)),
            numbers(rows, |row| Some(row.value)),
            times(rows, |row| Some(row.since)),
        ]
    }
}

/// `held_for(condition, INTERVAL …)`: whether the condition has been true for that long, at each row; null where it is and has
/// not been held.
impl SeriesFunction for HeldFor {
    const KIND: &'static str = "held_for";
    const VERSION: u32 = 1;
    type Arguments = Condition;
    type State = Held;
    type Value = bool;

    fn start(&self) -> Held {
        Held::default()
    }

    fn step(&self, state: &mut Held, time: Timestamp, condition: Option<bool>) -> Option<bool> {
        state.phase = self.next(state.phase, time, condition);
        condition.map(|_| matches!(state.phase, Phase::Held { .. }))
    }

    fn keeps(&self) -> String {
        "since when it is true".to_owned()
    }
}

impl SeriesKind for HeldFor {
    type Options = HeldForOptions;
    const ABOUT: &'static str = "tells when a condition has been true for a duration, and when it then ends";
    const EXAMPLE: &'static str = r#"[operator.too_hot_for_long]
type = "held_for"
input = "plc"
above = 180.0
duration = "10s"
"#;

    fn check(
        options: HeldForOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let HeldForOptions { duration, above, below } = options;
        let mut problems = Problems::default();
        more_than_no_time("duration", Some(duration), &mut problems);
        finite("above", above, &mut problems);
        finite("below", below, &mut problems);
        if let (Some(above), Some(below)) = (above, below)
            && below <= above
        {
            let problem = Problem::option("below", format!("expected more than above = {above}, found {below}"));
            problems.push(problem.hint("both together mean between the two"));
        }
        problems.or(Self { duration, above, below })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<HeldRow>::schema()
    }
}
