//! Rows in memory: a source of given rows and a sink that keeps what it gets, for tests and for programs that embed the engine.
//!
//! In a pipeline file the source has its rows in the file itself, which makes small examples that need nothing else. A sink in
//! memory makes sense only for a program, which takes it from [`sink`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use lineside_model::{Error, Problem, Problems, Result, Timestamp, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::codec::MakeEncoder;
use crate::file::columns::{Column, Given, ReadColumn, give};
use crate::file::plan::look_at_json;
use crate::{
    BuildContext, ConnectorKind, Gives, Outcome, PlanContext, PlannedSink, PlannedSource, Position, Pulled, Sink,
    Source,
};

/// The name of the only partition.
const PARTITION: &str = "memory";

/// A source of these rows, which all have this schema. The position is the number of rows.
pub fn source(schema: SchemaRef, batches: Vec<RecordBatch>) -> PlannedSource {
    let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let batches: Arc<[RecordBatch]> = batches.into();
    PlannedSource {
        time: schema.column_with_name(lineside_model::schema::TS).map(|_| lineside_model::schema::TS),
        gives: Gives::Rows(schema),
        bounded: true,
        unacked_limit: None,
        control: false,
        explain: vec![format!("{rows} rows in memory")],
        tags: Vec::new(),
        build: Box::new(move |context| {
            Box::new(MemorySource { batches: Arc::clone(&batches), given: 0, context: context.clone() })
        }),
    }
}

/// A sink, and what it gets.
pub fn sink() -> (PlannedSink, Collected) {
    let collected = Collected::default();
    let into = collected.clone();
    let planned = PlannedSink {
        control: false,
        shared: true,
        explain: vec!["keeps rows in memory".to_owned()],
        tags: Vec::new(),
        build: Box::new(move |_| Box::new(MemorySink { collected: into.clone() })),
    };
    (planned, collected)
}

/// What a sink in memory got.
#[derive(Clone, Debug, Default)]
pub struct Collected(Arc<Mutex<Vec<RecordBatch>>>);

impl Collected {
    /// All batches so far, in the order in which they were written.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many rows there are so far.
    pub fn rows(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(RecordBatch::num_rows).sum()
    }

    fn push(&self, rows: RecordBatch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
    }
}

/// Gives rows from memory.
#[derive(Debug)]
struct MemorySource {
    batches: Arc<[RecordBatch]>,
    given: usize,
    context: BuildContext,
}

#[async_trait(?Send)]
impl Source for MemorySource {
    async fn open(&mut self, from: Option<Position>) -> Result<()> {
        self.given = match from {
            Some(Position::Offsets(offsets)) => {
                offsets.get(PARTITION).map_or(0, |rows| usize::try_from(*rows).unwrap_or(usize::MAX))
            }
            _ => 0,
        };
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        let mut before = 0;
        for batch in self.batches.iter() {
            let after = before + batch.num_rows();
            if self.given < after {
                let rows = batch.slice(self.given - before, limit.min(after - self.given));
                self.given += rows.num_rows();
                let position = Position::Offsets(BTreeMap::from([(PARTITION.to_owned(), self.given as u64)]));
                return Ok(Pulled::Rows { rows, received_at: self.context.clock.now(), position });
            }
            before = after;
        }
        Ok(Pulled::End)
    }

    async fn ack(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Keeps rows in memory.
#[derive(Debug)]
struct MemorySink {
    collected: Collected,
}

#[async_trait(?Send)]
impl Sink for MemorySink {
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        self.collected.push(rows.clone());
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Options of rows in the pipeline file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The rows, each a table of columns.
    rows: Vec<Map<String, Value>>,
    /// Types of columns by name: `float`, `int`, `bool`, `text`, `timestamp`, or `{ type = "timestamp", unit = "ms" }`; default: by the values.
    #[serde(default)]
    columns: BTreeMap<String, Column>,
}

/// The connector `memory`.
#[derive(Debug)]
pub struct MemoryKind;

impl ConnectorKind for MemoryKind {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "rows written in the pipeline file itself, for small examples and tests"
    }

    fn example(&self) -> &'static str {
        r#"[source.readings]
connector = "memory"
rows = [
    { ts = "2026-01-31T12:00:00Z", sensor = "oven1", value = 181.5 },
    { ts = "2026-01-31T12:00:01Z", sensor = "oven1", value = 182.0 },
]
"#
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(Options))
    }

    fn plan_source(&self, options: &Value, _: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let options: Options = parse_options(options)?;
        let rows = options.rows.into_iter().map(Value::Object).collect::<Vec<_>>();
        let wrong = |e: Error| Problems::from(Problem::option("rows", e.to_string()));
        let mut columns = look_at_json(&rows)
            .map_err(wrong)?
            .iter()
            .map(|(name, data_type)| match options.columns.get(name) {
                Some(column) => ReadColumn::typed(name, *column),
                None => ReadColumn::found(name, data_type),
            })
            .collect::<Vec<_>>();
        for (name, column) in &options.columns {
            if !columns.iter().any(|known| known.field.name() == name) {
                columns.push(ReadColumn::typed(name, *column));
            }
        }
        let schema = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
        let batches = read(&rows, &columns, &schema).map_err(wrong)?;
        Ok(source(schema, batches))
    }

    fn plan_sink(
        &self,
        _: &Value,
        _: &SchemaRef,
        _: Option<MakeEncoder>,
        _: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        Err(Problem::option("connector", "memory is a source in a pipeline file; only a program can have it as a sink")
            .hint("use stdout or file")
            .into())
    }
}

fn read(rows: &[Value], columns: &[ReadColumn], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let fields = columns.iter().map(ReadColumn::in_json).collect::<Vec<_>>();
    let mut decoder = arrow::json::ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_batch_size(rows.len().max(1))
        .build_decoder()?;
    let wrong = |e| Error::user("a row does not fit the types of its columns").caused_by(e);
    decoder.serialize(rows).map_err(wrong)?;
    let read = decoder.flush().map_err(wrong)?;
    let given = |batch| {
        let Given { rows, wrong, .. } = give(columns, schema, batch)?;
        if wrong == 0 { Ok(rows) } else { Err(Error::user("a row does not fit the types of its columns")) }
    };
    read.iter().map(given).collect()
}

/// The connector `prepared`: rows that a program has before it plans a pipeline over them. It is in no list: a program that has such
/// rows adds it to its own.
#[derive(Debug)]
pub struct PreparedKind(pub RecordBatch);

impl ConnectorKind for PreparedKind {
    fn name(&self) -> &'static str {
        "prepared"
    }

    fn about(&self) -> &'static str {
        "rows that a program has prepared"
    }

    fn example(&self) -> &'static str {
        "[source.readings]\nconnector = \"prepared\"\n"
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::json_schema!({ "type": "object", "properties": {} }))
    }

    fn plan_source(&self, _: &Value, _: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        Ok(source(self.0.schema(), vec![self.0.clone()]))
    }
}
