//! JSON: one object a message, as most gateways and PLCs with MQTT send it.
//!
//! Without options it reads and writes readings: `{"ts":1709209800250000,"sensor":"oven1.temperature","value":181.4}`, with
//! `quality` (good, uncertain, bad) where the sender knows it. Fields inside other objects are reached by a path. A message
//! with a wrong type, without a field, or with a number that is none is bad and gives no row; unknown fields are ignored, and
//! of a key that stands twice the last one counts. `null` is a missing field.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::{Problem, Problems, Result, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cells::{CellColumn, CellValue};
use super::columns::schema_of;
use super::field::{Field, FieldOptions};
use super::json_read::{JsonDecoder, Level};
use super::{CodecKind, Encoder, MakeDecoder, MakeEncoder, TimeForm, decode, only_for};
use crate::PlanContext;

/// Options of the JSON codec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonOptions {
    /// Reading: the columns and where they are in the message. Default: ts (timestamp in us), sensor (text), value (float),
    /// and quality, which may be missing.
    fields: Option<BTreeMap<String, FieldOptions>>,
    /// Reading: whether a message may be an array of objects, each a row; one bad element makes the whole message bad.
    /// Default: false.
    many: Option<bool>,
    /// Reading: messages of more bytes are bad. Default: 1048576.
    max_bytes: Option<usize>,
    /// Writing: how times are written: us or ms (since 1970) or rfc3339. Default: us.
    time: Option<TimeForm>,
}

/// JSON objects.
#[derive(Debug)]
pub struct Json;

impl CodecKind for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "JSON objects, fields by name or path"
    }

    fn example(&self) -> &'static str {
        r#"codec = { type = "json", fields = { ts = { type = "timestamp", unit = "ms" }, sensor = "text", value = { type = "float", path = "data.v" } } }"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(JsonOptions)
    }

    fn plan_decoder(&self, options: &Value, _: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<JsonOptions>(options)?;
        let mut problems = Problems::default();
        only_for("writing", options.time.is_some(), "time", &mut problems);
        let mut root = Level::default();
        let mut fields = Vec::new();
        match options.fields {
            None => {
                fields = Field::readings();
                for (n, field) in fields.iter().enumerate() {
                    root.add(&field.name, n).map_err(Problem::whole)?;
                }
            }
            Some(written) => {
                if written.is_empty() {
                    problems
                        .push(Problem::option("fields", "no field is named").hint("fields = { value = \"float\" }"));
                }
                for (name, FieldOptions(table)) in written {
                    let path = table.path.as_deref().unwrap_or(&name);
                    match Field::new(&name, table.kind, table.unit, table.optional)
                        .and_then(|field| root.add(path, fields.len()).map(|()| field))
                    {
                        Ok(field) => fields.push(field),
                        Err(message) => problems.push(Problem {
                            at: lineside_model::At::Option(vec!["fields".to_owned(), name]),
                            message,
                            hint: None,
                        }),
                    }
                }
            }
        }
        let schema = schema_of(&fields);
        let max_bytes = options.max_bytes.unwrap_or(decode::MAX_BYTES);
        let decoder =
            JsonDecoder { fields, schema: Arc::clone(&schema), root, many: options.many.unwrap_or(false), max_bytes };
        let make: MakeDecoder = Box::new(move || Box::new(decoder.clone()));
        problems.or((schema, make))
    }

    fn plan_encoder(&self, options: &Value, _: &SchemaRef, _: &PlanContext<'_>) -> Result<MakeEncoder, Problems> {
        let options = parse_options::<JsonOptions>(options)?;
        let mut problems = Problems::default();
        only_for("reading", options.fields.is_some(), "fields", &mut problems);
        only_for("reading", options.many.is_some(), "many", &mut problems);
        only_for("reading", options.max_bytes.is_some(), "max_bytes", &mut problems);
        let time = options.time.unwrap_or_default();
        problems.or(Box::new(move || Box::new(JsonEncoder { time })))
    }
}

/// Writes one object a row with all columns; a float that is not finite is null, since JSON has no word for it.
#[derive(Debug)]
struct JsonEncoder {
    time: TimeForm,
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()> {
        let columns = rows.columns().iter().map(CellColumn::new).collect::<Result<Vec<_>>>()?;
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| key(field.name())).collect::<Vec<_>>();
        let mut text = Vec::with_capacity(rows.num_rows() * 24 * columns.len());
        let mut ends = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            text.push(b'{');
            for (n, (name, column)) in names.iter().zip(&columns).enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(name);
                write_value(&column.at(row), self.time, &mut text);
            }
            text.push(b'}');
            ends.push(text.len());
        }
        // One allocation a batch: every message is a slice of it.
        let text = Bytes::from(text);
        let mut from = 0;
        out.extend(ends.into_iter().map(|end| {
            let message = text.slice(from..end);
            from = end;
            Some(message)
        }));
        Ok(())
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    write_json(name, &mut key);
    key.push(b':');
    key
}

fn write_json<T: serde::Serialize + ?Sized>(value: &T, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("numbers and text always have a JSON form, and memory does not fail");
}

fn write_value(value: &CellValue<'_>, time: TimeForm, text: &mut Vec<u8>) {
    match value {
        CellValue::Null => text.extend_from_slice(b"null"),
        CellValue::Float(v) => write_json(v, text),
        CellValue::Int(v) => write_json(v, text),
        CellValue::UInt(v) => write_json(v, text),
        CellValue::Bool(v) => write_json(v, text),
        CellValue::Text(v) => write_json(&**v, text),
        CellValue::Bytes(v) => write_json(&String::from_utf8_lossy(v), text),
        CellValue::Time(v) => match time {
            TimeForm::Us | TimeForm::Ms => time.write(*v, text),
            TimeForm::Rfc3339 => {
                text.push(b'"');
                time.write(*v, text);
                text.push(b'"');
            }
        },
    }
}
