//! Delimited values, one line a message: `1709209800250000,oven1.temperature,181.4,good`.
//!
//! A message has no header, so the order of the columns stands in the options. Values in quotes may hold the delimiter. A
//! value that is empty is missing; a line with more values than there are columns is bad, since nobody can say which one is
//! too many.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use lineside_model::{Problem, Problems, Reason, Result, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cells::{CellColumn, CellValue};
use super::columns::{Cell, Fault, Scalar, cell, schema_of, short};
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
    /// How a timestamp is written: s, ms, us, ns or rfc3339. Default: us.
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
                reader: ReaderBuilder::new().delimiter(delimiter).build(),
                fields: fields.clone(),
                schema: Arc::clone(&schema),
                max_bytes,
                text: Vec::new(),
                ends: Vec::new(),
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
    reader: Reader,
    fields: Vec<Field>,
    schema: SchemaRef,
    max_bytes: usize,
    /// The values of one line without their quotes, and where each ends; kept between lines.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Decoder for CsvDecoder {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let Self { reader, fields, schema, max_bytes, text, ends } = self;
        decode::each(payloads, fields, SchemaRef::clone(schema), *max_bytes, |payload, cells, columns| {
            let line = decode::text(payload)?;
            if line.trim_ascii().is_empty() {
                return Err(Fault::new(Reason::Empty, "the message is only white space"));
            }
            let count = split(reader, line, text, ends)?;
            if count > fields.len() {
                let detail = format!("{count} values for {} columns: {}", fields.len(), short(line));
                return Err(Fault::new(Reason::Malformed, detail));
            }
            let mut from = 0;
            for (field, (place, end)) in fields.iter().zip(cells.iter_mut().zip(ends.iter().take(count))) {
                // Cut at delimiters, which are ASCII, so this is UTF-8 again.
                let value = text.get(from..*end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
                *place = value_of(field, value)?;
                from = *end;
            }
            columns.push(cells)
        })
    }
}

/// Takes a line apart; how many values it has.
fn split(reader: &mut Reader, line: &str, text: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<usize, Fault> {
    // Values never are longer than the line, nor more than its bytes and one.
    if text.len() < line.len() + 1 {
        text.resize(line.len() + 1, 0);
    }
    let most = line.len() + 2;
    if ends.len() < most.min(64) {
        ends.resize(64, 0);
    }
    reader.reset();
    let mut rest = line.as_bytes();
    let (mut written, mut count) = (0, 0);
    loop {
        let (result, read, out, found) = reader.read_record(rest, &mut text[written..], &mut ends[count..]);
        rest = rest.get(read..).unwrap_or_default();
        written += out;
        count += found;
        match result {
            ReadRecordResult::Record => break,
            ReadRecordResult::End => break,
            // The input is whole: the next call has none and so says where the record ends.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => text.resize(text.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
        }
    }
    if rest.trim_ascii().is_empty() {
        Ok(count)
    } else {
        Err(Fault::new(Reason::Malformed, format!("more than one line: {}", short(line))))
    }
}

fn value_of<'a>(field: &Field, text: &str) -> Result<Cell<'a>, Fault> {
    let text = if field.kind == FieldType::Text { text } else { text.trim_ascii() };
    if text.is_empty() {
        return Ok(Cell::Missing);
    }
    let wrong = || Fault::wrong_type(field, format_args!("\"{}\"", short(text)));
    let scalar = match field.kind {
        FieldType::Text | FieldType::Quality => Scalar::Text(Cow::Owned(text.to_owned())),
        FieldType::Timestamp if field.unit == TimeUnit::Rfc3339 => Scalar::Text(Cow::Owned(text.to_owned())),
        FieldType::Bool => Scalar::Bool(text.parse().map_err(|_| wrong())?),
        FieldType::Float => Scalar::Float(text.parse().map_err(|_| wrong())?),
        FieldType::Int | FieldType::Timestamp => match text.parse::<i64>() {
            Ok(v) => Scalar::Int(v),
            Err(e) if matches!(e.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow) => {
                return Err(Fault::not_finite(field));
            }
            Err(_) => Scalar::Float(text.parse().map_err(|_| wrong())?),
        },
    };
    cell(field, scalar)
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
