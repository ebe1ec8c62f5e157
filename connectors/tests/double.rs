//! What the engine hands to a connector, for tests: a clock that stands still, a meter that can be read, a codec for text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_connectors::registry::find;
use lineside_connectors::{
    BuildContext, ConnectorKind, Encoder, Meter, PlanContext, PlannedSink, PlannedSource, Pulled, Sink, Source,
};
use lineside_model::{Clock, Problems, Reason, Result, Span, Timestamp};
use serde_json::Value;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000)
    }
}

/// Counts by reason and by name.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Meter for Counts {
    fn dropped(&self, reason: Reason, count: u64) {
        *self.0.lock().unwrap().entry(reason.word()).or_default() += count;
    }
    fn add(&self, name: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(name).or_default() += count;
    }
    fn time(&self, _: &'static str, _: Span) {}
}

pub(crate) fn context() -> (BuildContext, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (BuildContext { clock: Arc::new(Still), meter: Arc::clone(&counts) as Arc<dyn Meter> }, counts)
}

pub(crate) fn kind(name: &str) -> &'static dyn ConnectorKind {
    find(name).unwrap()
}

fn plan_context(folder: &Path) -> PlanContext<'_> {
    PlanContext { name: "it", pipeline: "test", folder }
}

pub(crate) fn plan_source(name: &str, folder: &Path, options: &Value) -> Result<PlannedSource, Problems> {
    kind(name).plan_source(options, &plan_context(folder))
}

pub(crate) fn plan_sink(
    name: &str,
    folder: &Path,
    options: &Value,
    input: &SchemaRef,
) -> Result<PlannedSink, Problems> {
    let codec: Option<lineside_connectors::codec::MakeEncoder> =
        if name == "kafka" { Some(Box::new(|| Box::new(Text))) } else { None };
    kind(name).plan_sink(options, input, codec, &plan_context(folder))
}

/// A source and its counts.
pub(crate) fn source(name: &str, folder: &Path, options: &Value) -> (Box<dyn Source>, Arc<Counts>) {
    let planned = plan_source(name, folder, options).unwrap();
    let (context, counts) = context();
    ((planned.build)(&context), counts)
}

/// A sink and its counts.
pub(crate) fn sink(name: &str, folder: &Path, options: &Value, input: &SchemaRef) -> (Box<dyn Sink>, Arc<Counts>) {
    let planned = plan_sink(name, folder, options, input).unwrap();
    let (context, counts) = context();
    ((planned.build)(&context), counts)
}

/// The next rows of a source that has some.
pub(crate) async fn rows(source: &mut dyn Source, limit: usize) -> (RecordBatch, lineside_connectors::Position) {
    match source.pull(limit).await.unwrap() {
        Pulled::Rows { rows, position, .. } => (rows, position),
        other => panic!("no rows: {other:?}"),
    }
}

/// Writes the first column, which is text; an empty one cannot be encoded.
#[derive(Debug)]
struct Text;

impl Encoder for Text {
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()> {
        let text = rows.column(0).as_string::<i32>();
        out.extend(
            text.iter().map(|text| text.filter(|text| !text.is_empty()).map(|text| Bytes::from(text.to_owned()))),
        );
        Ok(())
    }
}
