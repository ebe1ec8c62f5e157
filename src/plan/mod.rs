//! The checked pipeline: every name resolved, every schema known, every bound decided. It can be printed and wired.
//!
//! A [`Plan`] exists only if nothing was wrong with the file; everything wrong is told at once by [`build`].

pub mod bounds;
mod build;
mod check;
mod explain;
mod file_schema;
mod node;
mod options;
mod order;
pub mod registries;
mod share;
mod sink;
mod source;
pub mod sql;
mod table;
pub use table::LOADED_AT;
pub mod system;

use arrow::datatypes::SchemaRef;
use lineside_connectors::codec::MakeDecoder;
use lineside_connectors::{PlannedSink, PlannedSource};
use lineside_model::Span;
use lineside_operators::{PlannedOperator, TimeColumn};

pub use build::build;
pub use file_schema::file_schema;
pub use registries::Registries;

use crate::config::{Report, Secrets};

/// A pipeline that was checked whole.
#[derive(Debug)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// How many bulk workers share the work.
    pub workers: usize,
    /// How often counters are reported in the log.
    pub report_every: Span,
    /// Whether the control lane asks the system for real-time priority.
    pub realtime: bool,
    /// Where rows come from.
    pub sources: Vec<SourcePlan>,
    /// Operators, each after all that it reads from.
    pub nodes: Vec<NodePlan>,
    /// Where rows go.
    pub sinks: Vec<SinkPlan>,
    /// What has no effect in the file, though nothing is wrong.
    pub warnings: Report,
    /// The secrets of the file, to be blotted out of whatever is printed.
    pub secrets: Secrets,
}

/// Something that rows can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// The rows of a source.
    Source(usize),
    /// The messages of a source that did not decode, see [`dead_letters`].
    DeadLetters(usize),
    /// The rows of a source whose event time is missing or too far ahead, see [`quarantine`].
    Quarantine(usize),
    /// The output of a node.
    Node(usize),
    /// The rows that came too late for a node, see [`late_rows`].
    Late(usize),
}

impl Input {
    /// All that can be read of a source.
    pub fn of_source(n: usize) -> [Self; 3] {
        [Self::Source(n), Self::DeadLetters(n), Self::Quarantine(n)]
    }
}

/// One source.
pub struct SourcePlan {
    /// Its name in the file.
    pub name: String,
    /// The word for its connector.
    pub connector: &'static str,
    /// What the connector planned.
    pub planned: PlannedSource,
    /// How messages become rows; `None` where the connector gives rows.
    pub decoder: Option<MakeDecoder>,
    /// The word for the codec; `None` where the connector gives rows.
    pub codec: Option<&'static str>,
    /// What is done with a message that does not decode.
    pub on_bad: OnBad,
    /// The columns of its rows: decoded ones, then the metadata of the wire, then `received_at`; or the rows of the connector.
    pub schema: SchemaRef,
    /// Columns of the wire, `received_at` among them, that are not in the rows because the codec gives one of that name.
    pub left_out: Vec<String>,
    /// How event time is taken.
    pub time: TimePlan,
    /// Where it is a `[table.NAME]`: how often it is read again.
    pub table: Option<TablePlan>,
}

/// A source whose rows are all there, to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// How often it is read again; `None`: it is read once.
    pub refresh: Option<Span>,
}

impl std::fmt::Debug for SourcePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourcePlan")
            .field("name", &self.name)
            .field("connector", &self.connector)
            .field("planned", &self.planned)
            .field("codec", &self.codec)
            .field("on_bad", &self.on_bad)
            .field("schema", &self.schema)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What is done with a message that does not decode. It is counted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBad {
    /// It is dropped.
    #[default]
    Drop,
    /// The pipeline stops with an error.
    Fail,
    /// It goes to the source's dead letters.
    DeadLetter,
}

/// How a source takes event time.
#[derive(Clone, Debug)]
pub struct TimePlan {
    /// The column, of the model's time type; rows in which it is null are dropped and counted.
    pub column: String,
    /// How far rows may be out of order: the watermark is the greatest event time less this.
    pub disorder: Span,
    /// After how long without a row the source no longer holds back others; `None`: never.
    pub idle_after: Option<Span>,
    /// How far ahead of the clock an event time may be; rows further ahead are dropped and counted. `None`: any. Where a
    /// source ends and each sensor has a time of its own it is how far ahead of most others.
    pub max_ahead: Option<Span>,
    /// The sensors that have a time of their own; `None`: one time for all.
    pub per_key: Option<KeyTimePlan>,
    /// After how long without rows the watermark goes on with the clock; `None`: never.
    pub close_after: Option<Span>,
}

/// A time of its own for each sensor of a source.
#[derive(Clone, Debug)]
pub struct KeyTimePlan {
    /// The column that names the sensor.
    pub column: String,
    /// How far behind most others, or how long silent, a sensor may be before it no longer holds them back.
    pub idle_after: Span,
    /// Whether the source goes on for ever, so that the clock says who is silent.
    pub live: bool,
}

/// One operator of the plan.
#[derive(Debug)]
pub struct NodePlan {
    /// Name in the file, with the step for queries that take several: `averages/window`.
    pub name: String,
    /// What it reads, one entry a port.
    pub inputs: Vec<Input>,
    /// For each port, which output columns are columns of that input, unchanged: name in the output, name in the input.
    pub lineage: Vec<Vec<(String, String)>>,
    /// The operator.
    pub operator: PlannedOperator,
    /// The operator that puts out the rows of this node, if that is not its own: then its own is never built.
    pub output_of: Option<OutputOf>,
    /// The name of the table of rows that come too late for it, if it has one.
    pub late: Option<String>,
}

/// One output of a node whose operator has several. The node it belongs to comes first in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputOf {
    /// The node whose operator runs. It reads what this one reads.
    pub node: usize,
    /// Which of its outputs, from 1; output 0 is that of the node itself.
    pub output: usize,
}

/// One sink.
#[derive(Debug)]
pub struct SinkPlan {
    /// Its name in the file.
    pub name: String,
    /// The word for its connector.
    pub connector: &'static str,
    /// The word for the codec, if one was chosen.
    pub codec: Option<&'static str>,
    /// What it writes.
    pub input: Input,
    /// What the connector planned.
    pub planned: PlannedSink,
    /// How old a row's newest reading may be when it is written; older rows are dropped and counted. `None`: any age.
    pub expire_after: Option<Span>,
}

impl Plan {
    /// The columns of an input.
    pub fn schema(&self, input: Input) -> SchemaRef {
        match input {
            Input::Source(n) => SchemaRef::clone(&self.sources[n].schema),
            Input::DeadLetters(_) => dead_letters(),
            Input::Quarantine(n) => quarantine(&self.sources[n].schema),
            Input::Node(n) => SchemaRef::clone(&self.nodes[n].operator.output),
            Input::Late(n) => late_rows(&self.schema(self.nodes[n].inputs[0])),
        }
    }

    /// Whether an input is a table, and no stream.
    pub fn is_table(&self, input: Input) -> bool {
        matches!(input, Input::Source(n) if self.sources[n].table.is_some())
    }

    /// The event times of an input.
    pub fn times(&self, input: Input) -> Vec<TimeColumn> {
        match input {
            Input::Source(n) => vec![TimeColumn { name: self.sources[n].time.column.clone(), delay: Span::ZERO }],
            Input::DeadLetters(_) => {
                vec![TimeColumn { name: lineside_model::schema::RECEIVED_AT.to_owned(), delay: Span::ZERO }]
            }
            Input::Quarantine(_) | Input::Late(_) => {
                let name = self.schema(input).field(0).name().clone();
                vec![TimeColumn { name, delay: Span::ZERO }]
            }
            Input::Node(n) => self.nodes[n].operator.times.clone(),
        }
    }

    /// Whether a node or sink reads this input.
    pub fn is_read(&self, input: Input) -> bool {
        self.nodes.iter().any(|node| node.inputs.contains(&input)) || self.sinks.iter().any(|sink| sink.input == input)
    }
}

/// The plan of a pipeline file's text.
#[cfg(test)]
pub(crate) fn of_text(text: &str) -> Plan {
    let config = crate::config::Config::parse(std::path::Path::new("pipeline.toml"), text.to_owned(), &|_| None);
    build(&config.unwrap_or_else(|e| panic!("{e}")), &Registries::BUILD).unwrap_or_else(|e| panic!("{e}"))
}

/// The column of the clock's time when a row was put into quarantine.
pub const QUARANTINED_AT: &str = "quarantined_at";

/// The schema of the quarantine of a source with these columns: `quarantined_at, reason, ahead_us` (how far ahead in
/// microseconds, null without event time) in front of its own. Where it has a column of such a name itself, ours ends in `_`.
pub fn quarantine(source: &SchemaRef) -> SchemaRef {
    explained(source, [QUARANTINED_AT, "reason", "ahead_us"])
}

/// The schema of the late rows of a step that reads these columns: `watermark` (where it was when the row came), `reason`,
/// `late_us` (how far behind it the row is, in microseconds) in front of the columns of the row. Where it has a column of such
/// a name itself, ours ends in `_`.
pub fn late_rows(input: &SchemaRef) -> SchemaRef {
    explained(input, ["watermark", "reason", "late_us"])
}

/// Columns of rows that left, behind a time, a reason and by how much.
fn explained(rows: &SchemaRef, [at, reason, by]: [&str; 3]) -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;
    let free = |name: &str| {
        let mut name = name.to_owned();
        while rows.column_with_name(&name).is_some() {
            name.push('_');
        }
        name
    };
    let mut fields = vec![
        Arc::new(lineside_model::schema::time_field(&free(at), false)),
        Arc::new(Field::new(free(reason), DataType::Utf8, false)),
        Arc::new(Field::new(free(by), DataType::Int64, true)),
    ];
    fields.extend(rows.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

/// The schema of dead letters: `received_at, source, reason, detail, payload` (the bytes as they came).
pub fn dead_letters() -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    std::sync::Arc::new(Schema::new(vec![
        lineside_model::schema::time_field(lineside_model::schema::RECEIVED_AT, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("payload", DataType::Binary, false),
    ]))
}
