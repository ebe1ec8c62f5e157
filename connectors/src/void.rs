//! A sink that takes everything and keeps nothing: to measure a pipeline, or to run one for its other outputs.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use lineside_model::{Problems, Result, Timestamp, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::codec::MakeEncoder;
use crate::{ConnectorKind, Outcome, PlanContext, PlannedSink, Sink};

/// Options of the void: there are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

/// The connector `void`.
#[derive(Debug)]
pub struct VoidKind;

/// Takes everything.
#[derive(Debug)]
struct Void;

#[async_trait(?Send)]
impl Sink for Void {
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl ConnectorKind for VoidKind {
    fn name(&self) -> &'static str {
        "void"
    }

    fn about(&self) -> &'static str {
        "counts rows and keeps nothing"
    }

    fn example(&self) -> &'static str {
        "[sink.nowhere]\nconnector = \"void\"\ninput = \"readings\"\n"
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(Options))
    }

    fn plan_sink(
        &self,
        options: &Value,
        _: &SchemaRef,
        _: Option<MakeEncoder>,
        _: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let _: Options = parse_options(options)?;
        Ok(PlannedSink {
            control: false,
            shared: true,
            explain: vec!["counts rows and keeps nothing".to_owned()],
            tags: Vec::new(),
            build: Box::new(|_| Box::new(Void)),
        })
    }
}
