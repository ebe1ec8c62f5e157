//! A plain number: `181.4`, and nothing else, as simple devices and home-made gateways send it, one topic a sensor.
//!
//! Reading gives one column; the sensor's name comes from the topic and the time from the receipt. Writing takes one numeric
//! column; a row without a value has no message.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::options::did_you_mean;
use lineside_model::{Error, Problem, Problems, Reason, Result, parse_options, schema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cells::{CellColumn, CellValue};
use super::columns::{Cell, Fault, schema_of, short};
use super::field::{Field, FieldType};
use super::{CodecKind, Decoded, Decoder, Encoder, MakeDecoder, MakeEncoder, decode};
use crate::PlanContext;

/// No number that a device sends is longer: the longest exact text of a double below 1e17 with all its digits.
const MAX_BYTES: usize = 400;

/// Options of the number codec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberOptions {
    /// The column that is read or written. Default: value.
    column: Option<String>,
}

/// Plain numbers.
#[derive(Debug)]
pub struct Number;

impl CodecKind for Number {
    fn name(&self) -> &'static str {
        "number"
    }

    fn about(&self) -> &'static str {
        "a plain number as text, one a message"
    }

    fn example(&self) -> &'static str {
        r#"codec = { type = "number" }"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(NumberOptions)
    }

    fn plan_decoder(&self, options: &Value, _: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<NumberOptions>(options)?;
        let name = options.column.unwrap_or_else(|| schema::VALUE.to_owned());
        let fields = vec![Field::new(&name, FieldType::Float, None, false).map_err(Problem::whole)?];
        let schema = schema_of(&fields);
        let decoder = NumberDecoder { fields, schema: Arc::clone(&schema) };
        Ok((schema, Box::new(move || Box::new(decoder.clone()))))
    }

    fn plan_encoder(&self, options: &Value, input: &SchemaRef, _: &PlanContext<'_>) -> Result<MakeEncoder, Problems> {
        let options = parse_options::<NumberOptions>(options)?;
        let name = options.column.unwrap_or_else(|| schema::VALUE.to_owned());
        let column = column_named(&name, input)?;
        if !input.field(column).data_type().is_numeric() {
            let message = format!("column \"{name}\" is no number but {}", input.field(column).data_type());
            return Err(Problem::option("column", message).into());
        }
        Ok(Box::new(move || Box::new(NumberEncoder { column })))
    }
}

/// The column that an option `column` names, or the nearest that there is.
pub(super) fn column_named(name: &str, input: &SchemaRef) -> Result<usize, Problem> {
    input.index_of(name).map_err(|_| {
        Problem::option("column", format!("there is no column \"{name}\""))
            .hint(did_you_mean(name, input.fields().iter().map(|field| field.name().as_str())))
    })
}

#[derive(Clone, Debug)]
struct NumberDecoder {
    fields: Vec<Field>,
    schema: SchemaRef,
}

impl Decoder for NumberDecoder {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let schema = SchemaRef::clone(&self.schema);
        decode::each(payloads, &self.fields, schema, MAX_BYTES, |payload, columns| {
            let text = decode::text(payload)?.trim_ascii();
            if text.is_empty() {
                return Err(Fault::new(Reason::Empty, "the message is only white space"));
            }
            match text.parse::<f64>() {
                Ok(v) if v.is_finite() => columns.push(&mut [Cell::Float(v)]),
                Ok(_) => Err(Fault::not_finite(&self.fields[0])),
                Err(_) => Err(Fault::new(Reason::Malformed, format!("\"{}\" is no number", short(text)))),
            }
        })
    }
}

#[derive(Debug)]
struct NumberEncoder {
    column: usize,
}

impl Encoder for NumberEncoder {
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()> {
        let column = CellColumn::new(rows.column(self.column))?;
        for row in 0..rows.num_rows() {
            let mut text = Vec::with_capacity(24);
            let written = match column.at(row) {
                CellValue::Float(v) if v.is_finite() => write!(text, "{v}"),
                CellValue::Int(v) => write!(text, "{v}"),
                CellValue::UInt(v) => write!(text, "{v}"),
                // Decimals.
                CellValue::Text(v) => write!(text, "{v}"),
                _ => {
                    out.push(None);
                    continue;
                }
            };
            written.map_err(|e| Error::internal("writing to memory failed").caused_by(e))?;
            out.push(Some(text.into()));
        }
        Ok(())
    }
}
