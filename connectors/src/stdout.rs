//! Rows on the standard output, for a look at what a pipeline does or for the next command of a shell pipe.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use lineside_model::{Error, Problem, Problems, Result, Retry, Timestamp, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::codec::MakeEncoder;
use crate::file::Format;
use crate::file::output::{TimeAs, refuses, write_lines};
use crate::{ConnectorKind, Outcome, PlanContext, PlannedSink, Sink};

/// How rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Show {
    /// A JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values, with a header line.
    Csv,
    /// A table for each batch, for people.
    Table,
}

/// Options of the standard output.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// `jsonl`, `csv` or `table`; default `jsonl`.
    #[serde(default)]
    format: Show,
    /// How times are written in csv and jsonl: `rfc3339`, or a number since 1970 in `us`, `ms` or `s`; default `rfc3339`.
    #[serde(default)]
    time: TimeAs,
}

/// The connector `stdout`.
#[derive(Debug)]
pub struct StdoutKind;

/// Writes to the standard output.
#[derive(Debug)]
struct Stdout {
    options: Options,
    begun: bool,
}

impl Stdout {
    fn text(&mut self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        match self.options.format {
            Show::Jsonl => write_lines(rows, Format::Jsonl, self.options.time, false, &mut text)?,
            Show::Csv => write_lines(rows, Format::Csv, self.options.time, !self.begun, &mut text)?,
            Show::Table => {
                text.extend_from_slice(pretty_format_batches(std::slice::from_ref(rows))?.to_string().as_bytes());
                text.push(b'\n');
            }
        }
        self.begun = true;
        Ok(text)
    }
}

/// Writes on a blocking thread: who reads our output may be slow.
async fn print(text: Vec<u8>) -> Result<()> {
    let printed = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    });
    let printed = printed.await.map_err(|e| Error::internal("the thread that prints died").caused_by(e))?;
    printed.map_err(|e| {
        let gone = e.kind() == io::ErrorKind::BrokenPipe;
        let mut error = Error::external("cannot write to the standard output").caused_by(e);
        if gone {
            // Who read our output has ended, and does not come back.
            error.retry = Retry::Never;
        }
        error
    })
}

#[async_trait(?Send)]
impl Sink for Stdout {
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        let text = self.text(rows)?;
        print(text).await?;
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl ConnectorKind for StdoutKind {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn about(&self) -> &'static str {
        "rows on the standard output, as JSON lines, CSV or a table"
    }

    fn example(&self) -> &'static str {
        "[sink.screen]\nconnector = \"stdout\"\ninput = \"averages\"\nformat = \"table\"\n"
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(Options))
    }

    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        _: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options: Options = parse_options(options)?;
        let mut problems = Problems::default();
        if codec.is_some() {
            problems.push(
                Problem::option("codec", "stdout has formats of its own").hint("leave out codec, and use format"),
            );
        }
        if let (Show::Csv, Some(why)) = (options.format, refuses(input, Format::Csv)) {
            problems.push(Problem::option("format", why));
        }
        problems.or(PlannedSink {
            control: false,
            shared: false,
            explain: vec!["prints rows".to_owned()],
            tags: Vec::new(),
            build: Box::new(move |_| Box::new(Stdout { options, begun: false })),
        })
    }
}
