//! Files: CSV, JSON lines and Parquet, read once or followed as they grow, and written so that a reader never sees half of one.

mod bad;
pub(crate) mod columns;
mod json_lines;
pub(crate) mod output;
mod parquet;
mod paths;
pub(crate) mod plan;
mod reader;
mod records;
mod sink;
mod size;
mod source;
mod tail;
mod target;
mod text;
mod watch;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::codec::MakeEncoder;
use crate::{ConnectorKind, Gives, PlanContext, PlannedSink, PlannedSource};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated values, with a header line.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that the name of a file tells.
    fn of(path: &str) -> Option<Self> {
        let path = Path::new(path.strip_suffix(".gz").unwrap_or(path));
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The connector `file`.
#[derive(Debug)]
pub struct FileKind;

impl ConnectorKind for FileKind {
    fn name(&self) -> &'static str {
        "file"
    }

    fn about(&self) -> &'static str {
        "CSV, JSON lines and Parquet files: read once or followed as they grow; written with an atomic rename"
    }

    fn example(&self) -> &'static str {
        r#"[source.history]
connector = "file"
path = "data/press-*.csv"
columns = { ts = { type = "timestamp", unit = "ms" } }

[sink.averages]
connector = "file"
input = "per_minute"
path = "averages.parquet"
"#
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(plan::SourceOptions))
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(sink::SinkOptions))
    }

    fn plan_source(&self, options: &Value, context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let plan = Arc::new(plan::plan(parse_options(options)?, context)?);
        let bounded = !plan.follow;
        let explain = vec![
            format!("{} {}", if bounded { "reads" } else { "follows" }, plan.folder.join(&plan.written).display()),
            plan.buffer(),
        ];
        Ok(PlannedSource {
            gives: Gives::Rows(Arc::clone(&plan.schema)),
            time: plan.schema.column_with_name(lineside_model::schema::TS).map(|_| lineside_model::schema::TS),
            bounded,
            unacked_limit: None,
            control: false,
            explain,
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(source::FileSource::new(Arc::clone(&plan), context.clone()))),
        })
    }

    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options = parse_options(options);
        let mut problems = Problems::default();
        if codec.is_some() {
            problems.push(
                Problem::option("codec", "a file sink has formats of its own")
                    .hint("leave out codec, and name the format by the file: .csv, .jsonl or .parquet"),
            );
        }
        let plan = match options.and_then(|options| sink::plan(options, input, context)) {
            Ok(plan) => Arc::new(plan),
            Err(more) => {
                problems.0.extend(more.0);
                return Err(problems);
            }
        };
        let explain = plan.explain();
        problems.or(PlannedSink {
            control: false,
            shared: false,
            explain,
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(sink::FileSink::new(Arc::clone(&plan), context.clone()))),
        })
    }
}
