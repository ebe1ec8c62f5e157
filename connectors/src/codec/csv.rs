//! Delimited values, one line a message: `1709209800250000,oven1.temperature,181.4,good`.
//!
//! A message has no header, so the order of the columns stands in the options. Values in quotes may hold the delimiter. A
//! value that is empty is missing; a line with more values than there are columns is bad, since nobody can say which one is
//! too many.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::{Problem, Problems, Reason, Result, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cells::{CellColumn, CellValue};
use super::columns::{Fault, schema_of, short};
use super::csv_read::CsvLines;
use super::field::{Field, FieldType, TimeUnit};
use super::{CodecKind, Decoded, Decoder, Encoder, MakeDecoder, MakeEncoder, TimeForm, decode, only_for};
use crate::PlanContext;

/// A column of a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvColumn {
    /// Its name.
    name: String,
    /// Its type: float, int, bool, text, timestamp or quality.
    #[serde(rename = "type")]
    kind: FieldType,
    /// How a timestamp is written: s, ms, us, ns, rfc3339 or text. Default: us.
    unit: Option<TimeUnit>,
    /// Whether it may be empty, or missing at the end of the line. Default: false.
    #[serde(default)]
    optional: bool,
}

/// Options of the CSV codec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvOptions {
    /// Reading: the columns in the order of the line. Default: ts (timestamp in us), sensor (text), value (float), and
    /// quality, which may be missing.
    columns: Option<Vec<CsvColumn>>,
    /// What separates values: one character. Default: a comma.
    delimiter: Option<String>,
    /// Reading: messages of more bytes are bad. Default: 1048576.
    max_bytes: Option<usize>,
    /// Writing: how times are written: us or ms (since 1970) or rfc3339. Default: us.
    time: Option<TimeForm>,
}

/// Delimited values.
#[derive(Debug)]
pub struct Csv;

impl CodecKind for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "delimited values, one line a message"
    }

    fn example(&self) -> &'static str {
        r#"codec = { type = "csv", delimiter = ";", columns = [{ name = "ts", type = "timestamp", unit = "ms" }, { name = "value", type = "float" }] }"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(CsvOptions)
    }

    fn plan_decoder(&self, options: &Value, _: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<CsvOptions>(options)?;
        let mut problems = Problems::default();
        only_for("writing", options.time.is_some(), "time", &mut problems);
        let delimiter = delimiter(options.delimiter.as_deref(), &mut problems);
        let mut fields = Vec::new();
        for column in options.columns.iter().flatten() {
            match Field::new(&column.name, column.kind, column.unit, column.optional) {
                Ok(field) if fields.iter().any(|other: &Field| other.name == field.name) => {
                    problems.push(Problem::option("columns", format!("two columns have the name \"{}\"", field.name)));
                }
                Ok(field) => fields.push(field),
                Err(message) => problems.push(Problem::option("columns", message)),
            }
        }
        if options.columns.is_none() {
            fields = Field::readings();
        } else if fields.is_empty() {
            problems.push(Problem::option("columns", "no column is named"));
        }
        let schema = schema_of(&fields);
        let max_bytes = options.max_bytes.unwrap_or(decode::MAX_BYTES);
        let out_schema = Arc::clone(&schema);
        let make: MakeDecoder = Box::new(move || {
            Box::new(CsvDecoder {
                lines: CsvLines::new(delimiter, (0..fields.len()).map(Some).collect()),
                fields: fields.clone(),
                schema: Arc::clone(&schema),
                max_bytes,
            })
        });
        problems.or((out_schema, make))
    }

    fn plan_encoder(&self, options: &Value, _: &SchemaRef, _: &PlanContext<'_>) -> Result<MakeEncoder, Problems> {
        let options = parse_options::<CsvOptions>(options)?;
        let mut problems = Problems::default();
        only_for("reading", options.columns.is_some(), "columns", &mut problems);
        only_for("reading", options.max_bytes.is_some(), "max_bytes", &mut problems);
        let delimiter = delimiter(options.delimiter.as_deref(), &mut problems);
        let time = options.time.unwrap_or_default();
        problems.or(Box::new(move || Box::new(CsvEncoder { delimiter, time })))
    }
}

fn delimiter(written: Option<&str>, problems: &mut Problems) -> u8 {
    match written.map(str::as_bytes) {
        None => b',',
        Some(&[one]) if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => one,
        Some(_) => {
            let problem = Problem::option("delimiter", "a delimiter is one ASCII character, and no quote or line end");
            problems.push(problem.hint("usual ones are \",\", \";\" and \"\\t\""));
            b','
        }
    }
}

#[derive(Debug)]
struct CsvDecoder {
    lines: CsvLines,
    fields: Vec<Field>,
    schema: SchemaRef,
    max_bytes: usize,
}

impl Decoder for CsvDecoder {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let Self { lines, fields, schema, max_bytes } = self;
        decode::each(payloads, fields, SchemaRef::clone(schema), *max_bytes, |payload, columns| {
            let line = decode::text(payload)?;
            if line.trim_ascii().is_empty() {
                return Err(Fault::new(Reason::Empty, "the message is only white space"));
            }
            let before = columns.rows();
            if lines.plain(payload, columns) == Some(payload.len()) {
                return Ok(());
            }
            columns.truncate(before);
            let count = lines.split(line)?;
            if count > fields.len() {
                let detail = format!("{count} values for {} columns: {}", fields.len(), short(line));
                return Err(Fault::new(Reason::Malformed, detail));
            }
            lines.careful(count, fields, columns)
        })
    }
}

/// Writes one line a row without a line end; what has no value is empty.
#[derive(Debug)]
struct CsvEncoder {
    delimiter: u8,
    time: TimeForm,
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()> {
        let columns = rows.columns().iter().map(CellColumn::new).collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            let mut line = Vec::with_capacity(16 * columns.len());
            for (n, column) in columns.iter().enumerate() {
                if n > 0 {
                    line.push(self.delimiter);
                }
                self.write(&column.at(row), &mut line);
            }
            out.push(Some(line.into()));
        }
        Ok(())
    }
}

impl CsvEncoder {
    fn write(&self, value: &CellValue<'_>, line: &mut Vec<u8>) {
        match value {
            CellValue::Float(v) if v.is_finite() => line.extend_from_slice(v.to_string().as_bytes()),
            CellValue::Null | CellValue::Float(_) => {}
            CellValue::Int(v) => line.extend_from_slice(v.to_string().as_bytes()),
            CellValue::UInt(v) => line.extend_from_slice(v.to_string().as_bytes()),
            CellValue::Bool(v) => line.extend_from_slice(v.to_string().as_bytes()),
            CellValue::Time(v) => self.time.write(*v, line),
            CellValue::Text(v) => self.quoted(v, line),
            CellValue::Bytes(v) => self.quoted(&String::from_utf8_lossy(v), line),
        }
    }

    fn quoted(&self, text: &str, line: &mut Vec<u8>) {
        if !text.bytes().any(|b| b == self.delimiter || matches!(b, b'"' | b'\n' | b'\r')) {
            line.extend_from_slice(text.as_bytes());
            return;
        }
        line.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                line.push(b'"');
            }
            line.push(byte);
        }
        line.push(b'"');
    }
}
