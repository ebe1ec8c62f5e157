//! Modbus TCP: polls registers of PLCs and field devices, and writes setpoints to them.
//!
//! Both directions name tags through a register map, a CSV table (see `map.rs` for its columns). The source reads what the
//! map allows, by poll class, with as few requests as the device takes, and gives rows `ts, sensor, value, quality,
//! received_at` (and `text` after `value` if the map has strings). The sink takes rows `sensor, value` (and `quality`, `ts`
//! if there are) and writes what the map allows, within its limits, and reads it back.
//!
//! Trouble stays where it is: a unit that does not answer, a refused address or a NaN make the tags they concern bad, with
//! no value, and the others go on. A gateway's own timeout should be shorter than the option `timeout`, so that it can say
//! which unit is silent before we stop waiting.

mod command;
mod connection;
mod counters;
mod frame;
pub(crate) mod map;
mod options;
mod poll;
mod row;
mod scan;
mod sink;
mod source;
pub(crate) mod value;

use std::path::Path;
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{At, Problem, Problems, parse_options, schema};
use rustls::pki_types::ServerName;
use serde_json::Value;

use self::command::Judge;
use self::connection::Endpoint;
use self::map::{RegisterMap, Tag};
pub(crate) use self::options::check_base;
use self::options::{SinkOptions, SourceOptions};
use self::poll::{BusTime, Limits, PollClass, blocks, explain};
use self::sink::{Care, ModbusSink};
use self::source::ModbusSource;
use crate::codec::MakeEncoder;
use crate::{ConnectorKind, Gives, PlanContext, PlannedSink, PlannedSource, Tls};

/// The kind `modbus`.
#[derive(Debug)]
pub struct Modbus;

/// The column with the characters of string tags.
pub(crate) const TEXT: &str = "text";

impl ConnectorKind for Modbus {
    fn name(&self) -> &'static str {
        "modbus"
    }

    fn about(&self) -> &'static str {
        "Modbus TCP: polls tags of a register map by class; writes setpoints within their limits and reads them back"
    }

    fn example(&self) -> &'static str {
        r#"[source.plc]
connector = "modbus"
url = "modbus://10.0.0.7:502"
registers = "press.csv"
poll = { fast = "100ms", default = "1s" }

[sink.setpoints]
connector = "modbus"
input = "decisions"
url = "modbus://10.0.0.7:502"
registers = "press.csv""#
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(SourceOptions))
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(SinkOptions))
    }

    fn plan_source(&self, options: &Value, context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let options = parse_options::<SourceOptions>(options)?;
        let mut problems = options.check();
        let endpoint =
            endpoint(&options.url, options.tls.as_ref(), options.timeout, options.spacing, context, &mut problems);
        let path = context.path(&options.registers);
        let map = keep(RegisterMap::load(&path, &options.registers, options.defaults()), &mut problems);
        let limits = Limits { registers: options.max_registers, gap: options.max_gap };
        let plan = map.as_ref().map(|map| poll_plan(&options, &path, map, limits, &mut problems));
        let (Some(endpoint), Some(map), Some(plan)): (_, _, Option<Vec<PollClass>>) = (endpoint, map, plan) else {
            return Err(problems);
        };
        problems.or(())?;
        let rows = readings(map.tags.iter());
        let mut lines = vec![format!("{endpoint}, {} a request, one request at a time", options.timeout)];
        let bus = BusTime { latency: options.expected_latency, spacing: options.spacing };
        lines.extend(explain(&plan, &map.tags, bus));
        let tags: Arc<[Tag]> = map.tags.into();
        let names = tags.iter().filter(|tag| tag.readable).map(|tag| tag.name.clone()).collect();
        let schema = Arc::clone(&rows);
        Ok(PlannedSource {
            gives: Gives::Rows(rows),
            time: Some(schema::TS),
            bounded: false,
            unacked_limit: None,
            control: true,
            explain: lines,
            tags: names,
            build: Box::new(move |context| {
                let schema = Arc::clone(&schema);
                Box::new(ModbusSource::new(endpoint.clone(), schema, &plan, &tags, context.clone()))
            }),
        })
    }

    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options = parse_options::<SinkOptions>(options)?;
        let mut problems = options.check();
        if codec.is_some() {
            let hint = "remove codec: the register map says how values are written";
            problems.push(Problem::option("codec", "a modbus sink takes no codec").hint(hint));
        }
        check_input(input, &mut problems);
        let endpoint =
            endpoint(&options.url, options.tls.as_ref(), options.timeout, options.spacing, context, &mut problems);
        let path = context.path(&options.registers);
        let map = keep(RegisterMap::load(&path, &options.registers, options.defaults()), &mut problems);
        let writable = map.iter().flat_map(|map| &map.tags).filter(|tag| tag.writable);
        let names = writable.clone().map(|tag| tag.name.clone()).collect::<Vec<_>>();
        if map.is_some() && names.is_empty() {
            let message = format!("no tag of \"{}\" can be written", options.registers);
            problems.push(Problem::option("registers", message).hint("give access RW to the tags that may be written"));
        }
        let mut lines = writable.map(write_line).collect::<Vec<_>>();
        let (Some(endpoint), Some(map)) = (endpoint, map) else { return Err(problems) };
        problems.or(())?;
        let verified = if options.verify { "read back" } else { "not read back" };
        lines.insert(0, format!("{endpoint}, {} a request, every write {verified}", options.timeout));
        let care = Care {
            verify: options.verify,
            tolerance: options.tolerance,
            retries: options.retries,
            write_single: options.write_single,
        };
        let tags: Arc<[Tag]> = map.tags.into();
        let judge = Judge::new(&tags, input).map_err(|error| Problem::whole(error.to_string()))?;
        Ok(PlannedSink {
            control: true,
            shared: false,
            explain: lines,
            tags: names,
            build: Box::new(move |context| {
                Box::new(ModbusSink::new(endpoint.clone(), &tags, judge.clone(), care, context.clone()))
            }),
        })
    }
}

/// The columns of readings of these tags.
pub(crate) fn readings<'a>(tags: impl Iterator<Item = &'a Tag>) -> SchemaRef {
    let mut fields = schema::readings().fields().iter().cloned().collect::<Vec<_>>();
    let mut tags = tags;
    if tags.any(|tag| matches!(tag.kind, value::Kind::Text { .. })) {
        let after_value = fields.iter().position(|field| field.name() == schema::VALUE).map_or(0, |at| at + 1);
        fields.insert(after_value, Arc::new(Field::new(TEXT, DataType::Utf8, true)));
    }
    Arc::new(Schema::new(fields))
}

fn endpoint(
    url: &str,
    tls: Option<&Tls>,
    timeout: lineside_model::Span,
    spacing: lineside_model::Span,
    context: &PlanContext<'_>,
    problems: &mut Problems,
) -> Option<Endpoint> {
    let address = keep(Endpoint::address(url, tls.is_some()).map_err(Problems::from), problems);
    let config = tls.map(|tls| {
        keep(tls.client_config(context.folder).map_err(|problem| Problems::from(problem).within("tls")), problems)
    });
    let (host, port) = address?;
    let tls = match config {
        None => None,
        Some(config) => {
            let name = ServerName::try_from(host.clone()).map_err(|_| {
                Problems::from(Problem::option("url", format!("\"{host}\" is no name a certificate can carry")))
            });
            Some((config?, keep(name, problems)?))
        }
    };
    Some(Endpoint { host, port, tls, timeout, spacing })
}

fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    result.map_err(|wrong| problems.0.extend(wrong.0)).ok()
}

/// The classes of the map with their periods and requests.
fn poll_plan(
    options: &SourceOptions,
    path: &Path,
    map: &RegisterMap,
    limits: Limits,
    problems: &mut Problems,
) -> Vec<PollClass> {
    let mut chosen = std::collections::BTreeMap::<&str, Vec<usize>>::new();
    for (n, tag) in map.tags.iter().enumerate().filter(|(_, tag)| tag.readable) {
        if !tag.table.is_bits() && tag.kind.width() > limits.registers {
            let message = format!("tag \"{}\" takes {} registers", tag.name, tag.kind.width());
            let at = At::File { file: path.to_owned(), line: tag.class_at.0, column: tag.class_at.1 };
            let hint = Some(format!("max_registers is {}: raise it if the device allows", limits.registers));
            problems.push(Problem { at, message, hint });
        }
        match options.poll.class_of(tag) {
            Ok(class) => chosen.entry(class).or_default().push(n),
            Err(hint) => {
                let at = At::File { file: path.to_owned(), line: tag.class_at.0, column: tag.class_at.1 };
                let message =
                    format!("option \"poll\" has no class \"{}\", which tag \"{}\" wants", tag.poll_class, tag.name);
                problems.push(Problem { at, message, hint: Some(hint) });
            }
        }
    }
    for unused in options.poll.classes().filter(|(name, _)| !chosen.contains_key(name)) {
        let at = At::Option(vec!["poll".to_owned(), unused.0.to_owned()]);
        let message = format!("no tag that can be read has the poll class \"{}\"", unused.0);
        problems.push(Problem {
            at,
            message,
            hint: Some("the column poll_class of the register map says it".to_owned()),
        });
    }
    if chosen.is_empty() && problems.0.is_empty() {
        problems.push(Problem::option("registers", "no tag of the register map can be read"));
    }
    let class = |(name, period): (&str, lineside_model::Span)| {
        let tags = chosen.get(name)?;
        Some(PollClass { name: name.to_owned(), period, blocks: blocks(&map.tags, tags, limits) })
    };
    options.poll.classes().filter_map(class).collect()
}

fn check_input(input: &SchemaRef, problems: &mut Problems) {
    for (name, required, to) in command::column_types() {
        match input.column_with_name(name) {
            None if required => {
                let has = input.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("the input has no column \"{name}\"; it has: {has}");
                let hint = format!("name it in the query: SELECT … AS {name}");
                problems.push(Problem::option("input", message).hint(hint));
            }
            Some((_, field)) if !can_cast_types(field.data_type(), &to) || name == schema::VALUE && !numeric(field) => {
                let message = format!("column \"{name}\" of the input is {}, expected {to}", field.data_type());
                problems.push(Problem::option("input", message));
            }
            _ => {}
        }
    }
}

fn numeric(field: &Field) -> bool {
    field.data_type().is_numeric() || *field.data_type() == DataType::Boolean
}

fn write_line(tag: &Tag) -> String {
    let unit = tag.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let limits = match (tag.min, tag.max) {
        (None, None) => "no limits".to_owned(),
        (Some(min), None) => format!("{min}{unit} and above"),
        (None, Some(max)) => format!("{max}{unit} and below"),
        (Some(min), Some(max)) => format!("{min} to {max}{unit}"),
    };
    format!("may write {}: unit {} {} {}, {limits}", tag.name, tag.unit_id, tag.table.word(), tag.start)
}
