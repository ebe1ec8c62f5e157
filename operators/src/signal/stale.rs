//! Stale: says when a sensor fell silent or got stuck, and when it is well again.
//!
//! *Silent* is a matter of the clock: no reading arrived for `silent_after`, going by when readings came off the wire. The
//! event bears the moment at which the time was up. A sensor named in `expect` is also watched before its first reading.
//! *Stuck* is a matter of event time: readings come, but the value has not moved by more than `tolerance` for
//! `unchanged_after`; it takes a reading to say so, at its time. A sensor is well, silent or stuck, one at a time:
//!
//! | ts | value | event (`silent_after = "5s"`, `unchanged_after = "3s"`) |
//! | --- | --- | --- |
//! | 0 s | 20.0 | |
//! | 3 s | 20.0 | `stuck` at 3 s, since 0 s |
//! | 4 s | 20.3 | `recovered` at 4 s, since 0 s |
//! | 12 s | 20.4 | `silent` at 9 s, since 4 s; `recovered` at 12 s |
//!
//! A reading of bad quality or without a value is no reading (counted as `bad_quality`), so a sensor that sends only those
//! falls silent; with `count_bad = true` it is a sign of life, though it says nothing about being stuck. A reading older
//! than the last one is a sign of life too, and nothing more. After a restart the time without lineside counts as silence:
//! nothing was heard.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Span, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{at_least_zero, more_than_no_time};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts, times};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

type Events = Rows<HealthRow>;

/// Options of `type = "stale"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaleOptions {
    /// Silent when no reading arrived for this long by the clock. At least one of `silent_after` and `unchanged_after`.
    silent_after: Option<Span>,
    /// Stuck when the value did not move for this long in event time.
    unchanged_after: Option<Span>,
    /// How far a value may move and still count as unchanged, in its own unit. Default 0.
    #[serde(default)]
    tolerance: f64,
    /// Whether a reading of bad quality is a sign of life. Default false.
    #[serde(default)]
    count_bad: bool,
    /// Sensors that must appear at all: silent from the start is told as well. Default: none.
    #[serde(default)]
    expect: Vec<String>,
}

/// Detection of silent and stuck sensors with checked options.
#[derive(Debug)]
pub struct Stale {
    silent_after: Option<Span>,
    unchanged_after: Option<Span>,
    tolerance: f64,
    count_bad: bool,
}

/// What is known of one sensor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    health: Health,
    /// By the clock: the last sign of life, or when the watch began; `None` until the clock was seen.
    at: Option<Timestamp>,
    /// The last reading with a value.
    last: Option<(Timestamp, f64)>,
    /// The reading since which the value has not moved.
    unmoved: Option<(Timestamp, f64)>,
}

/// How a sensor is, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Health {
    #[default]
    Well,
    Silent {
        since: Timestamp,
    },
    Stuck {
        since: Timestamp,
    },
}

impl Heard {
    fn tell(&self, ts: Timestamp, sensor: &str, event: &'static str, since: Timestamp, out: &mut Events) {
        out.push(ts, sensor, HealthRow { event, last_value: self.last.map(|(_, value)| value), since });
    }

    fn sign_of_life(&mut self, reading: &Reading<'_>, out: &mut Events) {
        if let Some(received_at) = reading.received_at {
            self.at = Some(self.at.map_or(received_at, |at| at.max(received_at)));
            if let Health::Silent { since } = self.health {
                self.health = Health::Well;
                self.unmoved = None;
                self.tell(received_at, reading.sensor, "recovered", since, out);
            }
        }
    }
}

impl Stale {
    fn watch_value(&self, state: &mut Heard, ts: Timestamp, value: f64, sensor: &str, out: &mut Events) {
        match state.unmoved {
            Some((since, was)) if (value - was).abs() <= self.tolerance => {
                if state.health == Health::Well && self.unchanged_after.is_some_and(|long| ts.since(since) >= long) {
                    state.health = Health::Stuck { since };
                    state.tell(ts, sensor, "stuck", since, out);
                }
            }
            Some(_) | None => {
                state.unmoved = Some((ts, value));
                if let Health::Stuck { since } = state.health {
                    state.health = Health::Well;
                    state.tell(ts, sensor, "recovered", since, out);
                }
            }
        }
    }
}

impl SeriesStep for Stale {
    const KIND: &'static str = "stale";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Clock;
    const ORDER: Order = Order::Arrival;
    type State = Heard;
    type Output = Events;

    fn start(&self) -> Heard {
        Heard::default()
    }

    fn step(&self, state: &mut Heard, reading: &Reading<'_>, out: &mut Events) -> Result<(), Reason> {
        // The clock may be read later than the reading that ends a silence: the silence was there all the same.
        if let (Some(_), Some(received_at)) = (state.at, reading.received_at)
            && self.due(state).is_some_and(|due| due <= received_at)
        {
            self.elapsed(state, reading.sensor, received_at, out);
        }
        let Some(value) = reading.value else {
            state.at = state.at.or(reading.received_at);
            if !self.count_bad {
                return Err(Reason::BadQuality);
            }
            state.sign_of_life(reading, out);
            return Ok(());
        };
        let in_order = state.last.is_none_or(|(last, _)| reading.ts >= last);
        if in_order {
            state.last = Some((reading.ts, value));
        }
        state.sign_of_life(reading, out);
        if in_order {
            self.watch_value(state, reading.ts, value, reading.sensor, out);
        }
        Ok(())
    }

    /// At once, if the clock has yet to be seen: the watch over an expected sensor begins then.
    fn due(&self, state: &Heard) -> Option<Timestamp> {
        match (self.silent_after, state.health) {
            (None, _) | (Some(_), Health::Silent { .. }) => None,
            (Some(long), Health::Well | Health::Stuck { .. }) => Some(state.at.map_or(Timestamp::MIN, |at| at + long)),
        }
    }

    fn elapsed(&self, state: &mut Heard, sensor: &str, now: Timestamp, out: &mut Events) {
        match (state.at, self.silent_after) {
            (Some(at), Some(long)) => {
                state.health = Health::Silent { since: at };
                state.tell(at + long, sensor, "silent", at, out);
            }
            (None, _) => state.at = Some(now),
            (Some(_), None) => {}
        }
    }
}

/// A sensor fell silent, got stuck, or recovered.
#[derive(Debug)]
pub struct HealthRow {
    event: &'static str,
    last_value: Option<f64>,
    since: Timestamp,
}

impl SeriesRow for HealthRow {
    fn fields() -> Vec<Field> {
        vec![
            Field::new("event", DataType::Utf8, false),
            Field::new("last_value", DataType::Float64, true),
            schema::time_field("since", false),
        ]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            texts(rows, |row| Some(row.event)),
            numbers(rows, |row| row.last_value),
            times(rows, |row| Some(row.since)),
        ]
    }
}

impl SeriesKind for Stale {
    type Options = StaleOptions;
    const ABOUT: &'static str = "tells when a sensor fell silent or got stuck, and when it recovered";
    const EXAMPLE: &'static str = r#"[operator.sensor_watch]
type = "stale"
input = "plc"
silent_after = "5s"
unchanged_after = "2m"
tolerance = 0.01
expect = ["oven1.temperature", "oven2.temperature"]
"#;

    fn check(
        options: StaleOptions,
        columns: Option<&ReadingColumns>,
        expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let StaleOptions { silent_after, unchanged_after, tolerance, count_bad, expect } = options;
        let mut problems = Problems::default();
        if silent_after.is_none() && unchanged_after.is_none() {
            let hint = "give silent_after, unchanged_after, or both";
            problems.push(Problem::whole("there is nothing to watch for").hint(hint));
        }
        for (name, long) in [("silent_after", silent_after), ("unchanged_after", unchanged_after)] {
            more_than_no_time(name, long, &mut problems);
        }
        at_least_zero("tolerance", Some(tolerance), &mut problems);
        if !expect.is_empty() && silent_after.is_none() {
            let problem = Problem::option("expect", "sensors can be missed only with silent_after");
            problems.push(problem.hint("add silent_after"));
        }
        if silent_after.is_some() && columns.is_some_and(|columns| !columns.has_received_at()) {
            let name = schema::RECEIVED_AT;
            problems.push(
                Problem::option("silent_after", format!("the input has no column \"{name}\" to tell silence by"))
                    .hint("read from the source itself, or select received_at in the query"),
            );
        }
        expected.extend(expect);
        problems.or(Self { silent_after, unchanged_after, tolerance, count_bad })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Events::schema()
    }
}
