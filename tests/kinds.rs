//! Small connectors, a codec and operators to plan pipelines with: they check options and are never built.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside::plan::Registries;
use lineside_connectors::codec::{MakeDecoder, MakeEncoder};
use lineside_connectors::{CodecKind, ConnectorKind, Gives, PlanContext, PlannedSink, PlannedSource};
use lineside_model::options::did_you_mean;
use lineside_model::schema::{TS, readings, time_type};
use lineside_model::{At, Problem, Problems, Quality, Span, parse_options};
use lineside_operators::operator::{Files, InputRows};
use lineside_operators::{OperatorKind, PlannedOperator};
use schemars::{JsonSchema, Schema as JsonSchemaOf, schema_for};
use serde::Deserialize;
use serde_json::Value;

/// The kinds of this file, and everything in this build.
pub(crate) fn registries() -> Registries<'static> {
    static CONNECTORS: LazyLock<Vec<&'static dyn ConnectorKind>> =
        LazyLock::new(|| [&[&Fieldbus as &dyn ConnectorKind, &Queue], Registries::BUILD.connectors].concat());
    static CODECS: LazyLock<Vec<&'static dyn CodecKind>> =
        LazyLock::new(|| [&[&Words as &dyn CodecKind], Registries::BUILD.codecs].concat());
    static OPERATORS: LazyLock<Vec<&'static dyn OperatorKind>> =
        LazyLock::new(|| [&[&Loops as &dyn OperatorKind, &Pass], Registries::BUILD.operators].concat());
    Registries { connectors: &CONNECTORS, codecs: &CODECS, operators: &OPERATORS }
}

const NEVER_BUILT: &str = "tests of planning build nothing";

/// Rows with tags, read and written, like a field bus.
#[derive(Debug)]
struct Fieldbus;

/// Options of the field bus.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FieldbusOptions {
    /// Address of the device.
    host: String,
    /// Register map: lines of tag and access.
    registers: String,
    /// How often it is read; by default "1s".
    interval: Option<Span>,
    /// The operator's password.
    #[schemars(extend("secret" = true))]
    pin: Option<String>,
    /// Limits.
    limits: Option<Limits>,
}

/// Limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// The most registers in one request.
    registers_most: Option<u16>,
}

impl FieldbusOptions {
    fn check(options: &Value, context: &PlanContext<'_>) -> Result<(Self, Vec<(String, bool)>), Problems> {
        let options = parse_options::<Self>(options)?;
        let mut problems = Problems::default();
        if options.host.contains(' ') {
            let pin = options.pin.as_deref().unwrap_or_default();
            problems.push(Problem::option("host", format!("\"{}\" is no address for {pin}", options.host)));
        }
        if options.limits.as_ref().and_then(|limits| limits.registers_most) == Some(0) {
            problems.push(Problem {
                at: At::Option(vec!["limits".to_owned(), "registers_most".to_owned()]),
                message: "registers_most must be at least 1".to_owned(),
                hint: None,
            });
        }
        let file = context.path(&options.registers);
        let tags = read_tags(&file, &mut problems);
        let _interval = options.interval;
        problems.or((options, tags))
    }
}

fn read_tags(file: &Path, problems: &mut Problems) -> Vec<(String, bool)> {
    let Ok(text) = std::fs::read_to_string(file) else {
        problems.push(Problem::option("registers", format!("register map \"{}\" was not read", file.display())));
        return Vec::new();
    };
    let mut tags = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        match row.split_once(',') {
            Some((tag, "read")) => tags.push((tag.to_owned(), false)),
            Some((tag, "write")) => tags.push((tag.to_owned(), true)),
            found => {
                let column = found.map_or(1, |(tag, _)| tag.chars().count() + 2);
                let at = At::File { file: file.to_owned(), line, column: u32::try_from(column).unwrap_or(1) };
                let access = found.map_or(row, |(_, access)| access);
                let hint = did_you_mean(access, ["read", "write"]);
                problems.push(Problem { at, message: format!("unknown access \"{access}\""), hint: Some(hint) });
            }
        }
    }
    tags
}

impl ConnectorKind for Fieldbus {
    fn name(&self) -> &'static str {
        "fieldbus"
    }
    fn about(&self) -> &'static str {
        "tags of a device"
    }
    fn example(&self) -> &'static str {
        "[source.plc]\nconnector = \"fieldbus\""
    }
    fn source_options(&self) -> Option<JsonSchemaOf> {
        Some(schema_for!(FieldbusOptions))
    }
    fn sink_options(&self) -> Option<JsonSchemaOf> {
        Some(schema_for!(FieldbusOptions))
    }
    fn plan_source(&self, options: &Value, context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let (options, tags) = FieldbusOptions::check(options, context)?;
        let pin = options.pin.unwrap_or_default();
        Ok(PlannedSource {
            gives: Gives::Rows(readings()),
            time: Some(TS),
            bounded: false,
            unacked_limit: None,
            control: true,
            explain: vec![format!("polls {} tags of {} with pin {pin}", tags.len(), options.host)],
            tags: tags.into_iter().map(|(tag, _)| tag).collect(),
            build: Box::new(|_| panic!("{NEVER_BUILT}")),
        })
    }
    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let (_, tags) = FieldbusOptions::check(options, context)?;
        if codec.is_some() {
            return Err(Problem::option("codec", "a field bus takes no codec").into());
        }
        if input.field_with_name("tag").is_err() {
            return Err(Problem::option("input", "the input has no column \"tag\"").into());
        }
        let tags = tags.into_iter().filter(|(_, writable)| *writable).map(|(tag, _)| tag).collect();
        let build = Box::new(|_: &_| panic!("{NEVER_BUILT}"));
        Ok(PlannedSink { control: true, shared: false, explain: Vec::new(), tags, build })
    }
}

/// Messages with a topic, like a broker.
#[derive(Debug)]
struct Queue;

/// Options of the queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueueOptions {
    /// Address of the broker.
    url: String,
    /// Topics to read.
    topics: Vec<String>,
}

/// Options of the queue as a sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueueSinkOptions {
    /// Address of the broker.
    url: String,
}

impl ConnectorKind for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }
    fn about(&self) -> &'static str {
        "messages of a broker"
    }
    fn example(&self) -> &'static str {
        "[source.feed]\nconnector = \"queue\""
    }
    fn source_options(&self) -> Option<JsonSchemaOf> {
        Some(schema_for!(QueueOptions))
    }
    fn sink_options(&self) -> Option<JsonSchemaOf> {
        Some(schema_for!(QueueSinkOptions))
    }
    fn plan_source(&self, options: &Value, _context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let options = parse_options::<QueueOptions>(options)?;
        Ok(PlannedSource {
            gives: Gives::Frames(Arc::new(Schema::new(vec![Field::new("topic", DataType::Utf8, false)]))),
            time: None,
            bounded: false,
            unacked_limit: Some(100),
            control: false,
            explain: vec![format!("reads {} from {}", options.topics.join(", "), options.url)],
            tags: Vec::new(),
            build: Box::new(|_| panic!("{NEVER_BUILT}")),
        })
    }
    fn plan_sink(
        &self,
        options: &Value,
        _input: &SchemaRef,
        _codec: Option<MakeEncoder>,
        _context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options = parse_options::<QueueSinkOptions>(options)?;
        let explain = vec![format!("writes to {}", options.url)];
        let build = Box::new(|_: &_| panic!("{NEVER_BUILT}"));
        Ok(PlannedSink { control: false, shared: true, explain, tags: Vec::new(), build })
    }
}

/// Named fields of named types.
#[derive(Debug)]
struct Words;

/// Options of the words codec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WordsOptions {
    /// Type of each field.
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

impl CodecKind for Words {
    fn name(&self) -> &'static str {
        "words"
    }
    fn about(&self) -> &'static str {
        "named fields"
    }
    fn example(&self) -> &'static str {
        "codec = { type = \"words\", fields = { ts = \"timestamp\" } }"
    }
    fn options(&self) -> JsonSchemaOf {
        schema_for!(WordsOptions)
    }
    fn plan_decoder(&self, options: &Value, _context: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<WordsOptions>(options)?;
        let mut problems = Problems::default();
        let mut fields = Vec::new();
        for (name, word) in options.fields {
            let data_type = match word.as_str() {
                "timestamp" => time_type(),
                "double" => DataType::Float64,
                "quality" => Quality::data_type(),
                "text" => DataType::Utf8,
                _ => {
                    let hint = did_you_mean(&word, ["timestamp", "double", "text", "quality"]);
                    problems.push(Problem {
                        at: At::Option(vec!["fields".to_owned(), name]),
                        message: format!("unknown type \"{word}\""),
                        hint: Some(hint),
                    });
                    continue;
                }
            };
            fields.push(Field::new(name, data_type, true));
        }
        problems.or((Arc::new(Schema::new(fields)), Box::new(|| panic!("{NEVER_BUILT}"))))
    }
    fn plan_encoder(
        &self,
        options: &Value,
        _input: &SchemaRef,
        _context: &PlanContext<'_>,
    ) -> Result<MakeEncoder, Problems> {
        parse_options::<WordsOptions>(options)?;
        Ok(Box::new(|| panic!("{NEVER_BUILT}")))
    }
}

/// Control loops from a table of measured and commanded tags.
#[derive(Debug)]
struct Loops;

/// Options of the loops.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LoopsOptions {
    /// The loop table: lines of loop, measured tag and commanded tag.
    table: String,
}

impl OperatorKind for Loops {
    fn name(&self) -> &'static str {
        "loops"
    }
    fn about(&self) -> &'static str {
        "control loops"
    }
    fn example(&self) -> &'static str {
        "[operator.heating]\ntype = \"loops\""
    }
    fn options(&self) -> JsonSchemaOf {
        schema_for!(LoopsOptions)
    }
    fn plan(&self, options: &Value, input: &InputRows, files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let options = parse_options::<LoopsOptions>(options)?;
        let table = files.read(&options.table).map_err(|wrong| Problem::option("table", wrong))?;
        if input.schema.field_with_name("value").is_err() {
            return Err(Problem::option("input", "the input has no column \"value\"").into());
        }
        let column = |n: usize| table.lines().skip(1).filter_map(move |row| row.split(',').nth(n)).map(str::to_owned);
        let output = Schema::new(vec![
            Field::new(TS, time_type(), false),
            Field::new("tag", DataType::Utf8, false),
            Field::new("value", DataType::Float64, false),
        ]);
        Ok(PlannedOperator::new(Arc::new(output), || panic!("{NEVER_BUILT}"))
            .reading(column(1))
            .writing(column(2))
            .timed(TS, Span::ZERO)
            .explained(format!("{} loops", column(0).count())))
    }
}

/// Rows as they are.
#[derive(Debug)]
struct Pass;

/// Options of the pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PassOptions {
    /// A column that must be there.
    column: Option<String>,
}

impl OperatorKind for Pass {
    fn name(&self) -> &'static str {
        "pass"
    }
    fn about(&self) -> &'static str {
        "rows as they are"
    }
    fn example(&self) -> &'static str {
        "[operator.same]\ntype = \"pass\""
    }
    fn options(&self) -> JsonSchemaOf {
        schema_for!(PassOptions)
    }
    fn plan(&self, options: &Value, input: &InputRows, _files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let options = parse_options::<PassOptions>(options)?;
        if let Some(column) = options.column.filter(|column| input.schema.field_with_name(column).is_err()) {
            let names = input.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
            let problem = Problem::option("column", format!("the input has no column \"{column}\""));
            return Err(problem.hint(did_you_mean(&column, names)).into());
        }
        let pass = PlannedOperator::new(SchemaRef::clone(&input.schema), || panic!("{NEVER_BUILT}"));
        Ok(pass.partitioned_by([]).timed(TS, Span::ZERO))
    }
}
