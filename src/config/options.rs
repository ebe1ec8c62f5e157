//! The options that every source, query, operator and sink has, whatever its connector or type.
//!
//! They stand in the same table as the options of the connector or operator: `[source.plc]` has `connector`, `codec`,
//! `time`, `on_bad`, and beside them what the connector takes.

use std::num::NonZeroUsize;

use lineside_model::{Problem, Problems, Span};
use lineside_operators::window::{Early, Emission, MAX_GROUPS};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How many bulk workers there may be.
pub const WORKERS_MOST: usize = 64;

/// `[pipeline]`: settings of the pipeline as a whole.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineOptions {
    /// Name in logs, client ids and consumer groups; by default the stem of the file's name.
    pub name: Option<String>,
    /// How many bulk workers share the work, 1 to 64; by default 1.
    #[serde(default = "one")]
    pub workers: usize,
    /// How often counters are reported in the log; by default "10s".
    #[serde(default = "ten_seconds")]
    pub report_every: Span,
    /// Whether control that field buses alone feed runs in front of everything else on the machine, where the system permits it; by
    /// default true.
    #[serde(default = "yes")]
    pub realtime: bool,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> Span {
    Span::from_secs(10)
}

impl PipelineOptions {
    pub(crate) fn check(&self, problems: &mut Problems) {
        if self.name.as_deref() == Some("") {
            problems.push(Problem::option("name", "the name is empty"));
        }
        if !(1..=WORKERS_MOST).contains(&self.workers) {
            problems.push(Problem::option("workers", format!("workers must be 1 to {WORKERS_MOST}")));
        }
        if self.report_every <= Span::ZERO {
            problems.push(Problem::option("report_every", "report_every must be more than 0s"));
        }
    }
}

/// What every `[source.NAME]` has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// What it is read over; `lineside list` shows what there is.
    pub connector: String,
    /// How messages become rows: a codec's name, or a table with `type` and its options; by default "json". Only for
    /// connectors that give messages.
    pub codec: Option<Value>,
    /// The column of event time, or a table with `column`, `disorder`, `idle_after`, `max_ahead`, `per_key`,
    /// `close_after`; by default the connector's own, else "ts", else "received_at".
    pub time: Option<Value>,
    /// What is done with a message that does not decode: "drop", "fail" or "dead_letter"; by default "drop". It is counted
    /// in any case.
    pub on_bad: Option<OnBadOption>,
}

/// What every `[table.NAME]` has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// What it is read over: a connector whose rows have an end, such as "file".
    pub connector: String,
    /// How often it is read again, such as "10m"; by default it is read once.
    pub refresh: Option<Span>,
}

/// What is done with a message that does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadOption {
    /// It is dropped.
    Drop,
    /// The pipeline stops with an error.
    Fail,
    /// It goes to `NAME.dead_letters`, which something must read.
    DeadLetter,
}

/// `time = { … }`: how a source takes event time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeOptions {
    /// The column; by default the connector's own, else "ts", else "received_at".
    pub column: Option<String>,
    /// How far rows may be out of order; by default "0s".
    #[serde(default)]
    pub disorder: Span,
    /// After how long without a row the source no longer holds back others; by default "10s", never for a source that ends.
    pub idle_after: Option<Span>,
    /// How far ahead of the clock an event time may be, rows further ahead being counted and put into `NAME.quarantine`; by
    /// default "1h", any for a source that ends. Where such a source has `per_key`, how far ahead of most other sensors.
    pub max_ahead: Option<Span>,
    /// The column that names the sensor, such as "sensor", if each is to have an event time of its own: then a clock that
    /// runs fast makes no reading of others late, and one that is silent or behind most others for `idle_after` holds
    /// nobody back. By default all have one time.
    pub per_key: Option<String>,
    /// After how long without any row the watermark goes on with the clock, so that windows close though nothing comes; by
    /// default never.
    pub close_after: Option<Span>,
}

impl TimeOptions {
    /// Reads `time = …`: the name of a column, or a table.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub(crate) fn read(written: &Value) -> Result<Self, Problems> {
        let options = match written {
            Value::String(column) => return Ok(Self { column: Some(column.clone()), ..Self::default() }),
            Value::Object(_) => lineside_model::parse_options::<Self>(written).map_err(|wrong| wrong.within("time"))?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let problem = Problem::option("time", "time is neither the name of a column nor a table");
                return Err(problem
                    .hint("write time = \"ts\" or time = { column = \"ts\", disorder = \"2s\" }")
                    .into());
            }
        };
        let mut problems = Problems::default();
        let mut check = |name: &str, span: Span, least: Span, wrong: &str| {
            if span < least {
                problems.push(Problem::option(name, format!("{name} must {wrong}")));
            }
        };
        check("disorder", options.disorder, Span::ZERO, "not be negative");
        check("max_ahead", options.max_ahead.unwrap_or_default(), Span::ZERO, "not be negative");
        check("idle_after", options.idle_after.unwrap_or(Span(1)), Span(1), "be more than 0s");
        check("close_after", options.close_after.unwrap_or(Span(1)), Span(1), "be more than 0s");
        problems.or(options).map_err(|wrong| wrong.within("time"))
    }
}

/// `[query.NAME]`: continuous SQL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryOptions {
    /// A SELECT over sources, other queries and operators, such as `SELECT sensor, avg(value) FROM TUMBLE(plc, ts,
    /// INTERVAL '1' SECOND) GROUP BY sensor`.
    pub sql: String,
    /// The name of a table of the rows that come too late for the query's windows, for a sink or another query to read.
    pub late: Option<String>,
    /// How long after its end a window can still be corrected by rows that come late: then its row comes out again, whole; by
    /// default "0s".
    #[serde(default)]
    pub allowed_lateness: Span,
    /// When rows of windows come out: "on_close", "changes" (groups of open windows that have changed, after each batch), or
    /// "every 100ms" (the same, whenever so much time has passed); by default "on_close".
    pub emit: Option<String>,
    /// Which readings aggregates take where the rows have a quality: "good" only, "usable" (good and uncertain), or "all"; by
    /// default "usable". `count(*)` counts all, and a query that names `quality` itself has its own say.
    #[serde(default)]
    pub quality: QualityOption,
    /// How many groups (sensors, keys) the query's windows have at a time on each worker, at least 1; rows of more are dropped and
    /// counted as too_many_keys. By default 1000000.
    pub max_groups: Option<NonZeroUsize>,
}

impl QueryOptions {
    /// How many groups the query's windows have at a time.
    pub(crate) fn max_groups(&self) -> usize {
        self.max_groups.map_or(MAX_GROUPS, NonZeroUsize::get)
    }

    /// When rows of the query's windows come out.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub(crate) fn emission(&self) -> Result<Emission, Problems> {
        let mut problems = Problems::default();
        if self.allowed_lateness < Span::ZERO {
            problems.push(Problem::option("allowed_lateness", "allowed_lateness must not be negative"));
        }
        let word = self.emit.as_deref().unwrap_or("on_close");
        let every = word.strip_prefix("every ").and_then(|span| span.trim().parse::<Span>().ok());
        let early = match (word, every) {
            ("on_close", _) => Early::Never,
            ("changes", _) => Early::Changes,
            (_, Some(every)) if every >= Span::from_millis(1) => Early::Every(every),
            _ => {
                let problem = Problem::option("emit", format!("rows cannot come out \"{word}\""));
                problems.push(problem.hint("write \"on_close\", \"changes\" or \"every 100ms\", at least every 1ms"));
                Early::Never
            }
        };
        problems.or(Emission { allowed_lateness: self.allowed_lateness, early })
    }
}

/// Which readings aggregates take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityOption {
    /// Those of good quality.
    Good,
    /// Those of good or uncertain quality.
    #[default]
    Usable,
    /// All, whatever their quality.
    All,
}

/// What every `[operator.NAME]` has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorOptions {
    /// Which operator; `lineside list` shows what there is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source, query or operator whose rows it reads.
    pub input: String,
}

/// What every `[sink.NAME]` has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// What it is written over; `lineside list` shows what there is.
    pub connector: String,
    /// The source, query or operator whose rows it writes; `NAME.dead_letters` for what a source could not decode,
    /// `NAME.quarantine` for rows whose event time is missing or too far ahead.
    pub input: String,
    /// How rows become messages: a codec's name, or a table with `type` and its options. Only for connectors that take
    /// messages.
    pub codec: Option<Value>,
    /// How old the newest reading behind a row may be when the row is written, older rows being dropped and counted; by
    /// default "5s" for sinks on a field bus, any age for others.
    pub expire_after: Option<Span>,
}

/// `codec = …`: the codec's name and its options.
#[derive(Debug, PartialEq)]
pub(crate) struct CodecChoice {
    pub(crate) name: String,
    pub(crate) options: Value,
}

impl CodecChoice {
    /// Reads `codec = …`: a name, or a table with `type`.
    ///
    /// # Errors
    /// If it is neither.
    pub(crate) fn read(written: &Value) -> Result<Self, Problem> {
        let wrong = || {
            Problem::option("codec", "codec is neither the name of a codec nor a table with \"type\"")
                .hint("write codec = \"json\" or codec = { type = \"json\" }")
        };
        match written {
            Value::String(name) => Ok(Self { name: name.clone(), options: Value::Object(Map::new()) }),
            Value::Object(table) => {
                let mut options = table.clone();
                match options.remove("type") {
                    Some(Value::String(name)) => Ok(Self { name, options: Value::Object(options) }),
                    _ => Err(wrong()),
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(wrong()),
        }
    }
}
