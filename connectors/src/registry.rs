//! Every connector and codec a pipeline file can name, in the order of the README's tables.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lineside_model::{Clock, Problem, Problems, Reason};
use serde_json::Value;

use crate::codec::{self, MakeEncoder};
use crate::{CodecKind, Sink, Source};

/// All connectors.
pub const CONNECTORS: &[&dyn ConnectorKind] = &[
    &crate::mqtt::Mqtt,
    &crate::modbus::Modbus,
    &crate::kafka::KafkaKind,
    &crate::file::FileKind,
    &crate::stdout::StdoutKind,
    &crate::memory::MemoryKind,
    &crate::void::VoidKind,
];

/// All codecs.
pub const CODECS: &[&dyn CodecKind] =
    &[&codec::Json, &codec::Csv, &codec::Number, &codec::Raw, &codec::registers::Registers];

/// What a connector may ask for while it is planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    /// Name of the source or sink in the pipeline file.
    pub name: &'a str,
    /// Name of the pipeline: part of client ids and consumer groups by default.
    pub pipeline: &'a str,
    /// The folder of the pipeline file: what relative paths start from.
    pub folder: &'a Path,
}

impl PlanContext<'_> {
    /// A path that the user wrote, relative to the pipeline file.
    pub fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }
}

/// What a connector is handed when it is built.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The clock to stamp messages with.
    pub clock: Arc<dyn Clock>,
    /// Where to count what is dropped on the wire's side, before a frame or row exists, and what else is worth a number.
    pub meter: Arc<dyn Meter>,
}

/// Takes counts from a connector.
pub trait Meter: Send + Sync + Debug {
    /// Messages or rows that left the dataflow inside the connector.
    fn dropped(&self, reason: Reason, count: u64);
    /// A named count of this connector, such as `polls`, `overruns`, `exceptions`: a fixed, small set of names each.
    fn add(&self, name: &'static str, count: u64);
    /// A length of time of this connector, such as `poll_jitter`: kept as a histogram.
    fn time(&self, name: &'static str, span: lineside_model::Span);
}

/// Makes a source.
pub type MakeSource = Box<dyn Fn(&BuildContext) -> Box<dyn Source> + Send + Sync>;
/// Makes a sink.
pub type MakeSink = Box<dyn Fn(&BuildContext) -> Box<dyn Sink> + Send + Sync>;

/// What a source gives: messages for a codec, or rows.
#[derive(Clone, Debug)]
pub enum Gives {
    /// Messages, each with these metadata columns.
    Frames(SchemaRef),
    /// Rows of this schema.
    Rows(SchemaRef),
}

/// A source that was checked and can be built.
pub struct PlannedSource {
    /// What it gives.
    pub gives: Gives,
    /// Where the event time comes from if the user does not say: a column of the metadata or rows.
    pub time: Option<&'static str>,
    /// Whether it ends by itself.
    pub bounded: bool,
    /// After how many messages that are not acknowledged the other end stops sending: the engine acknowledges well before.
    /// `None`: no limit (acknowledged in intervals).
    pub unacked_limit: Option<usize>,
    /// Whether it belongs on the control lane: a field bus.
    pub control: bool,
    /// Lines for `explain`: addresses without secrets, bounds of buffers, the poll plan.
    pub explain: Vec<String>,
    /// What can be addressed by name (tags of a register map), for checks against other parts of the file.
    pub tags: Vec<String>,
    /// Makes one.
    pub build: MakeSource,
}

/// A sink that was checked and can be built.
pub struct PlannedSink {
    /// Whether it belongs on the control lane: a field bus.
    pub control: bool,
    /// How the sink may be used twice at once: `false` if two workers must not write through two copies (files, PLCs).
    pub shared: bool,
    /// Lines for `explain`.
    pub explain: Vec<String>,
    /// Tags that may be written, for checks against loop tables; empty if there are none.
    pub tags: Vec<String>,
    /// Makes one.
    pub build: MakeSink,
}

impl Debug for PlannedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedSource")
            .field("gives", &self.gives)
            .field("explain", &self.explain)
            .finish_non_exhaustive()
    }
}

impl Debug for PlannedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedSink").field("explain", &self.explain).finish_non_exhaustive()
    }
}

/// A connector that a pipeline file can name. One that is only a source or only a sink leaves out what concerns the other.
pub trait ConnectorKind: Sync {
    /// The word in the file: `connector = "mqtt"`.
    fn name(&self) -> &'static str;
    /// One line about it, for `lineside list` and the README.
    fn about(&self) -> &'static str;
    /// Example tables, as they stand in a pipeline file.
    fn example(&self) -> &'static str;
    /// The JSON schema of its options as a source (without `connector`, `codec`, `time`…); `None` if it is no source.
    fn source_options(&self) -> Option<schemars::Schema> {
        None
    }
    /// The JSON schema of its options as a sink (without `connector`, `codec`, `input`…); `None` if it is no sink.
    fn sink_options(&self) -> Option<schemars::Schema> {
        None
    }
    /// Checks the options of a source.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    fn plan_source(&self, _options: &Value, _context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        Err(Problem::option("connector", format!("{} is a sink, not a source", self.name())).into())
    }
    /// Checks the options of a sink that takes rows of this schema. `codec` is the encoder the user chose, if any.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    fn plan_sink(
        &self,
        _options: &Value,
        _input: &SchemaRef,
        _codec: Option<MakeEncoder>,
        _context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        Err(Problem::option("connector", format!("{} is a source, not a sink", self.name())).into())
    }
}

/// The connector of this name.
pub fn find(name: &str) -> Option<&'static dyn ConnectorKind> {
    CONNECTORS.iter().copied().find(|kind| kind.name() == name)
}

/// The codec of this name.
pub fn find_codec(name: &str) -> Option<&'static dyn CodecKind> {
    CODECS.iter().copied().find(|kind| kind.name() == name)
}
