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

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Span, Timestamp, parse_options, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operator::Files;
use crate::reading::{ColumnNames, Reading, ReadingColumns};
use crate::series::{Follows, PerSeries, SeriesOutput, SeriesStep};
use crate::{OperatorKind, PlannedOperator};

/// The shortest time there is.
const MOMENT: Span = Span::from_micros(1);

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
    /// Column that tells sensors apart. Default "sensor".
    by: Option<String>,
    /// Column of the value. Default "value".
    value: Option<String>,
    /// Column of event time. Default "ts".
    time: Option<String>,
    /// Column of quality. Default "quality" if the input has it; without one every reading is good.
    quality: Option<String>,
    /// How many sensors are followed at most. Default 100000.
    max_series: Option<usize>,
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
    message: Option<String>,
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
        out.ts.push(ts.micros());
        out.sensor.push(sensor.to_owned());
        out.event.push(event);
        out.alarm.push(limit.name);
        out.value.push(value);
        out.limit.push(limit.at);
        out.priority.push(self.priority.word());
        out.message.push(self.message.clone());
    }
}

impl SeriesStep for Alarm {
    const KIND: &'static str = "alarm";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Watermark;
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

/// Events of one batch, by column.
#[derive(Debug, Default)]
pub struct Events {
    ts: Vec<i64>,
    sensor: Vec<String>,
    event: Vec<&'static str>,
    alarm: Vec<&'static str>,
    value: Vec<f64>,
    limit: Vec<f64>,
    priority: Vec<&'static str>,
    message: Vec<Option<String>>,
}

impl SeriesOutput for Events {
    fn rows(self, _input: Option<&RecordBatch>, schema: &SchemaRef) -> lineside_model::Result<Option<RecordBatch>> {
        if self.ts.is_empty() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC")),
            Arc::new(StringArray::from(self.sensor)),
            Arc::new(StringArray::from(self.event)),
            Arc::new(StringArray::from(self.alarm)),
            Arc::new(Float64Array::from(self.value)),
            Arc::new(Float64Array::from(self.limit)),
            Arc::new(StringArray::from(self.priority)),
            Arc::new(StringArray::from(self.message)),
        ];
        Ok(Some(RecordBatch::try_new(SchemaRef::clone(schema), columns)?))
    }
}

fn events() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        schema::time_field(schema::TS, false),
        text(schema::SENSOR),
        text("event"),
        text("alarm"),
        Field::new(schema::VALUE, DataType::Float64, false),
        Field::new("limit", DataType::Float64, false),
        text("priority"),
        Field::new("message", DataType::Utf8, true),
    ]))
}

/// The kind `alarm`.
#[derive(Debug)]
pub struct AlarmKind;

impl OperatorKind for AlarmKind {
    fn name(&self) -> &'static str {
        Alarm::KIND
    }

    fn about(&self) -> &'static str {
        "raises an event when a value stays beyond a limit, and clears it with hysteresis"
    }

    fn example(&self) -> &'static str {
        r#"[operator.too_hot]
type = "alarm"
input = "plc"
high = 200.0
hysteresis = 5.0
held_for = "10s"
priority = "high"
message = "oven too hot"
"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(AlarmOptions)
    }

    fn plan(&self, options: &Value, input: &SchemaRef, _files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let options = parse_options::<AlarmOptions>(options)?;
        let mut problems = Problems::default();
        check(&options, &mut problems);
        let names = ColumnNames {
            by: options.by.as_deref(),
            time: options.time.as_deref(),
            value: options.value.as_deref(),
            quality: options.quality.as_deref(),
        };
        let columns = ReadingColumns::find(names, input).map_err(|more| problems.0.extend(more.0)).ok();
        let (Some(columns), true) = (columns, problems.0.is_empty()) else { return Err(problems) };
        let step = Alarm {
            limits: [
                options.high.map(|at| Limit::new("high", 1.0, at, options.hysteresis)),
                options.low.map(|at| Limit::new("low", -1.0, at, options.hysteresis)),
            ],
            held_for: options.held_for,
            priority: options.priority,
            message: options.message,
        };
        let planned = PerSeries::plan(step, columns, events(), options.max_series, Vec::new())?;
        Ok(planned.timed(schema::TS, Span::ZERO))
    }
}

fn check(options: &AlarmOptions, problems: &mut Problems) {
    if options.high.is_none() && options.low.is_none() {
        problems.push(Problem::whole("an alarm needs a limit").hint("give high, low, or both"));
    }
    for (name, limit) in [("high", options.high), ("low", options.low)] {
        if let Some(found) = limit.filter(|l| !l.is_finite()) {
            problems.push(Problem::option(name, format!("expected a finite number, found {found}")));
        }
    }
    if let (Some(high), Some(low)) = (options.high, options.low)
        && low >= high
    {
        problems.push(Problem::option("low", format!("expected less than high = {high}, found {low}")));
    }
    if !(options.hysteresis.is_finite() && options.hysteresis >= 0.0) {
        let found = options.hysteresis;
        problems.push(Problem::option("hysteresis", format!("expected a number of at least 0, found {found}")));
    }
    if options.held_for < Span::ZERO {
        let found = options.held_for;
        problems.push(Problem::option("held_for", format!("expected a duration of at least 0s, found {found}")));
    }
}
