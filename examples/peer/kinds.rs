//! The connectors of this program, as a pipeline file names them.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use lineside_connectors::codec::MakeEncoder;
use lineside_connectors::{ConnectorKind, Gives, Outcome, PlanContext, PlannedSink, PlannedSource, Sink};
use lineside_model::{Problems, Result, Timestamp};
use schemars::{Schema, json_schema};
use serde_json::Value;

use crate::check::Check;
use crate::paced::{Paced, Schedule, schema};
use crate::stopwatch::Stopwatch;

/// `connector = "paced"`: rows at a fixed rate.
#[derive(Debug)]
pub(crate) struct PacedKind {
    pub(crate) schedule: Schedule,
    pub(crate) watch: Arc<Stopwatch>,
}

/// `connector = "check"`: a sink that adds up results.
#[derive(Debug)]
pub(crate) struct Checked(pub(crate) Arc<Mutex<Box<dyn Check>>>);

/// No options.
fn none() -> Option<Schema> {
    Some(json_schema!({ "type": "object", "properties": {} }))
}

impl ConnectorKind for PacedKind {
    fn name(&self) -> &'static str {
        "paced"
    }

    fn about(&self) -> &'static str {
        "rows made at a fixed rate"
    }

    fn example(&self) -> &'static str {
        "[source.events]\nconnector = \"paced\"\n"
    }

    fn source_options(&self) -> Option<Schema> {
        none()
    }

    fn plan_source(&self, _: &Value, _: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let (schedule, watch) = (self.schedule, Arc::clone(&self.watch));
        Ok(PlannedSource {
            gives: Gives::Rows(schema()),
            time: Some("ts"),
            bounded: true,
            unacked_limit: None,
            control: false,
            explain: vec![format!("{} rows a second", schedule.rate)],
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(Paced::new(schedule, &watch, context))),
        })
    }
}

impl ConnectorKind for Checked {
    fn name(&self) -> &'static str {
        "check"
    }

    fn about(&self) -> &'static str {
        "adds up results and keeps none"
    }

    fn example(&self) -> &'static str {
        "[sink.check]\nconnector = \"check\"\ninput = \"results\"\n"
    }

    fn sink_options(&self) -> Option<Schema> {
        none()
    }

    fn plan_sink(
        &self,
        _: &Value,
        _: &SchemaRef,
        _: Option<MakeEncoder>,
        _: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let check = Arc::clone(&self.0);
        Ok(PlannedSink {
            control: false,
            shared: true,
            explain: vec![self.about().to_owned()],
            tags: Vec::new(),
            build: Box::new(move |_| Box::new(CheckSink(Arc::clone(&check)))),
        })
    }
}

/// Hands results to a check.
#[derive(Debug)]
struct CheckSink(Arc<Mutex<Box<dyn Check>>>);

#[async_trait(?Send)]
impl Sink for CheckSink {
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(rows)?;
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
