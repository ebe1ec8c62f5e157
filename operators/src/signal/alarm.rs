//! Alarm: says once when a value went beyond a limit and stayed there, and once when it is back.
//!
//! With `high = 200.0`, `hysteresis = 5.0` and `held_for = "10s"`:
//!
//! | ts | value | event |
//! | --- | --- | --- |
//! | 0 s | 201.0 | beyond the limit, waits |
//! | 6 s | 202.0 | |
//! | 12 s | 203.0 | `raised` at 10 s with value 202.0 |
//! | 14 s | 197.0 | inside the hysteresis: still raised |
//! | 16 s | 194.0 | `cleared` at 16 s |
//!
//! A high alarm is raised above its limit and cleared at or below `high − hysteresis`; a low alarm mirrors that. Held-for
//! goes by event time: the last value is taken to stand until another reading comes, so an alarm is raised by the next
//! reading or by the watermark, whichever passes the moment first, and the event bears that moment. With no time to hold
//! it is raised by the reading itself.
//!
//! A reading of bad quality or without a value changes nothing and is counted as `bad_quality`: it neither raises nor
//! clears (`stale` tells of it). A reading older than the last one of its sensor is counted as `late`. What is raised stays
//! raised over a restart and is not told again.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Span, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{at_least_zero, finite};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts};
use crate::series::{Follows, MOMENT, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

type Events = Rows<AlarmRow>;

/// Options of `type = "alarm"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmOptions {
    /// Raised above this value. At least one of `high` and `low`.
    high: Option<f64>,
    /// Raised below this value.
    low: Option<f64>,
    /// How far the value must come back inside the limit to clear, in its own unit. Default 0.
    #[serde(default)]
    hysteresis: f64,
    /// How long the value must stay beyond the limit before the alarm is raised, in event time. Default "0s".
    #[serde(default)]
    held_for: Span,
    /// How urgent: diagnostic, low, medium, high or critical. Default "medium".
    #[serde(default)]
    priority: Priority,
    /// Text for the operator, put into each event. Default: none.
    message: Option<String>,
}

/// How urgent an alarm is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// For maintenance.
    Diagnostic,
    /// Low.
    Low,
    /// Medium.
    #[default]
    Medium,
    /// High.
    High,
    /// Act at once.
    Critical,
}

impl Priority {
    /// The word in files and events.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Diagnostic => "diagnostic",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A limit on one side.
#[derive(Clone, Copy, Debug)]
struct Limit {
    name: &'static str,
    /// 1 for a high limit, −1 for a low one.
    side: f64,
    at: f64,
    back_at: f64,
}

impl Limit {
    fn new(name: &'static str, side: f64, at: f64, hysteresis: f64) -> Self {
        Self { name, side, at, back_at: at - side * hysteresis }
    }

    fn is_beyond(self, value: f64) -> bool {
        self.side * value > self.side * self.at
    }

    fn is_back(self, value: f64) -> bool {
        self.side * value <= self.side * self.back_at
    }
}

/// Threshold alarms with checked options.
#[derive(Debug)]
pub struct Alarm {
    /// High, then low; each keeps its place so that saved states fit when a limit is added.
    limits: [Option<Limit>; 2],
    held_for: Span,
    priority: Priority,
    message: Option<Arc<str>>,
}

/// What is known of one sensor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watched {
    /// The last reading with a value.
    last: Option<(Timestamp, f64)>,
    /// By limit, as in [`Alarm`].
    phases: [Phase; 2],
}

/// Where an alarm stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
enum Phase {
    #[default]
    Normal,
    /// Beyond the limit since then, but not for long enough.
    Beyond {
        since: Timestamp,
    },
    Raised,
}

impl Alarm {
    /// Raises what was beyond its limit for long enough before `now`, with the last value that was seen.
    fn raise_before(&self, state: &mut Watched, sensor: &str, now: Timestamp, out: &mut Events) {
        let Some((_, value)) = state.last else { return };
        for (phase, limit) in state.phases.iter_mut().zip(self.limits) {
            if let (Phase::Beyond { since }, Some(limit)) = (*phase, limit)
                && since + self.held_for < now
            {
                *phase = Phase::Raised;
                self.tell(since + self.held_for, sensor, "raised", limit, value, out);
            }
        }
    }

    fn tell(&self, ts: Timestamp, sensor: &str, event: &'static str, limit: Limit, value: f64, out: &mut Events) {
        let (priority, message) = (self.priority, self.message.clone());
        out.push(ts, sensor, AlarmRow { event, limit, value, priority, message });
    }
}

impl SeriesStep for Alarm {
    const KIND: &'static str = "alarm";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Watermark;
    const ORDER: Order = Order::Arrival;
    type State = Watched;
    type Output = Events;

    fn start(&self) -> Watched {
        Watched::default()
    }

    fn step(&self, state: &mut Watched, reading: &Reading<'_>, out: &mut Events) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        if state.last.is_some_and(|(last, _)| reading.ts < last) {
            return Err(Reason::Late);
        }
        self.raise_before(state, reading.sensor, reading.ts, out);
        state.last = Some((reading.ts, value));
        // What is over is told before what begins: a jump from too low to too high clears one and raises the other.
        for (phase, limit) in state.phases.iter_mut().zip(self.limits) {
            let Some(limit) = limit else { continue };
            *phase = match *phase {
                Phase::Raised if !limit.is_back(value) => Phase::Raised,
                Phase::Raised => {
                    self.tell(reading.ts, reading.sensor, "cleared", limit, value, out);
                    Phase::Normal
                }
                Phase::Normal | Phase::Beyond { .. } if !limit.is_beyond(value) => Phase::Normal,
                Phase::Normal => Phase::Beyond { since: reading.ts },
                beyond @ Phase::Beyond { .. } => beyond,
            };
        }
        self.raise_before(state, reading.sensor, reading.ts + MOMENT, out);
        Ok(())
    }

    /// After the moment itself: a reading of that very moment may still say otherwise.
    fn due(&self, state: &Watched) -> Option<Timestamp> {
        let waits = state.phases.iter().zip(self.limits).filter_map(|(phase, limit)| match (phase, limit) {
            (Phase::Beyond { since }, Some(_)) => Some(*since + self.held_for + MOMENT),
            _ => None,
        });
        waits.min()
    }

    fn elapsed(&self, state: &mut Watched, sensor: &str, now: Timestamp, out: &mut Events) {
        self.raise_before(state, sensor, now, out);
    }
}

/// An alarm was raised or cleared.
#[derive(Debug)]
pub struct AlarmRow {
    event: &'static str,
    limit: Limit,
    value: f64,
    priority: Priority,
    message: Option<Arc<str>>,
}

impl SeriesRow for AlarmRow {
    fn fields() -> Vec<Field> {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        vec![
            text("event"),
            text("alarm"),
            Field::new(schema::VALUE, DataType::Float64, false),
            Field::new("limit", DataType::Float64, false),
            text("priority"),
            Field::new("message", DataType::Utf8, true),
        ]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            texts(rows, |row| Some(row.event)),
            texts(rows, |row| Some(row.limit.name)),
            numbers(rows, |row| Some(row.value)),
            numbers(rows, |row| Some(row.limit.at)),
            texts(rows, |row| Some(row.priority.word())),
            texts(rows, |row| row.message.as_deref()),
        ]
    }
}

impl SeriesKind for Alarm {
    type Options = AlarmOptions;
    const ABOUT: &'static str = "raises an event when a value stays beyond a limit, and clears it with hysteresis";
    const EXAMPLE: &'static str = r#"[operator.too_hot]
type = "alarm"
input = "plc"
high = 200.0
hysteresis = 5.0
held_for = "10s"
priority = "high"
message = "oven too hot"
"#;

    fn check(
        options: AlarmOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let AlarmOptions { high, low, hysteresis, held_for, priority, message } = options;
        let mut problems = Problems::default();
        if high.is_none() && low.is_none() {
            problems.push(Problem::whole("an alarm needs a limit").hint("give high, low, or both"));
        }
        for (name, limit) in [("high", high), ("low", low)] {
            finite(name, limit, &mut problems);
        }
        if let (Some(high), Some(low)) = (high, low)
            && low >= high
        {
            problems.push(Problem::option("low", format!("expected less than high = {high}, found {low}")));
        }
        at_least_zero("hysteresis", Some(hysteresis), &mut problems);
        if held_for < Span::ZERO {
            let told = format!("expected a duration of at least 0s, found {held_for}");
            problems.push(Problem::option("held_for", told));
        }
        let limits = [
            high.map(|at| Limit::new("high", 1.0, at, hysteresis)),
            low.map(|at| Limit::new("low", -1.0, at, hysteresis)),
        ];
        problems.or(Self { limits, held_for, priority, message: message.map(Arc::from) })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Events::schema()
    }
}
