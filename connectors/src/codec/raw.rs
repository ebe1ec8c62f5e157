//! Messages as they are: nothing is read into them. For archives, for dead letters, and for SQL that takes texts apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use lineside_model::{Problem, Problems, Reason, Result, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cells::{CellColumn, CellValue};
use super::columns::Fault;
use super::number::column_named;
use super::{CodecKind, Decoded, Decoder, Encoder, MakeDecoder, MakeEncoder, decode, only_for};
use crate::PlanContext;

const PAYLOAD: &str = "payload";

/// What the column of payloads is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawForm {
    /// Text; a message that is not UTF-8 is bad.
    #[default]
    Text,
    /// Bytes.
    Binary,
}

/// Options of the raw codec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOptions {
    /// The column that is read or written. Default: payload.
    column: Option<String>,
    /// Reading: what the column is: text or binary. Default: text.
    form: Option<RawForm>,
    /// Reading: messages of more bytes are bad. Default: 1048576.
    max_bytes: Option<usize>,
}

/// Messages as they are.
#[derive(Debug)]
pub struct Raw;

impl CodecKind for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn about(&self) -> &'static str {
        "the message as it is, as text or bytes"
    }

    fn example(&self) -> &'static str {
        r#"codec = { type = "raw", form = "binary" }"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(RawOptions)
    }

    fn plan_decoder(&self, options: &Value, _: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<RawOptions>(options)?;
        let form = options.form.unwrap_or_default();
        let data_type = match form {
            RawForm::Text => DataType::Utf8,
            RawForm::Binary => DataType::Binary,
        };
        let name = options.column.unwrap_or_else(|| PAYLOAD.to_owned());
        let schema = Arc::new(Schema::new(vec![Field::new(name, data_type, false)]));
        let max_bytes = options.max_bytes.unwrap_or(decode::MAX_BYTES);
        let decoder = RawDecoder { schema: Arc::clone(&schema), form, max_bytes };
        Ok((schema, Box::new(move || Box::new(decoder.clone()))))
    }

    fn plan_encoder(&self, options: &Value, input: &SchemaRef, _: &PlanContext<'_>) -> Result<MakeEncoder, Problems> {
        let options = parse_options::<RawOptions>(options)?;
        let mut problems = Problems::default();
        only_for("reading", options.form.is_some(), "form", &mut problems);
        only_for("reading", options.max_bytes.is_some(), "max_bytes", &mut problems);
        let name = options.column.unwrap_or_else(|| PAYLOAD.to_owned());
        let column = match column_named(&name, input) {
            Ok(column) => column,
            Err(problem) => {
                problems.push(problem);
                return Err(problems);
            }
        };
        let found = input.field(column).data_type();
        if !found.is_string() && !found.is_binary() {
            let message = format!("column \"{name}\" is neither text nor bytes but {found}");
            problems.push(Problem::option("column", message).hint("the codecs json, csv and number write other types"));
        }
        problems.or(Box::new(move || Box::new(RawEncoder { column })))
    }
}

#[derive(Clone, Debug)]
struct RawDecoder {
    schema: SchemaRef,
    form: RawForm,
    max_bytes: usize,
}

impl Decoder for RawDecoder {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let mut bad = Vec::new();
        let mut rows = Vec::with_capacity(payloads.len());
        let mut total = 0usize;
        for (n, payload) in (0u32..).zip(payloads) {
            let checked = decode::check_size(payload, self.max_bytes)
                .and_then(|()| match self.form {
                    RawForm::Text => decode::text(payload).map(|_| ()),
                    RawForm::Binary => Ok(()),
                })
                .and_then(|()| match i32::try_from(total + payload.len()) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Fault::new(Reason::TooLarge, "the messages of one batch exceed 2 GiB")),
                });
            match checked {
                Ok(()) => {
                    total += payload.len();
                    rows.push(n);
                }
                Err(fault) => bad.push((n, fault.reason, fault.detail)),
            }
        }
        let good = rows.iter().filter_map(|n| payloads.get(usize::try_from(*n).ok()?)).map(|payload| &payload[..]);
        let column: ArrayRef = match self.form {
            RawForm::Text => Arc::new(
                good.map(|bytes| std::str::from_utf8(bytes).unwrap_or_default()).map(Some).collect::<StringArray>(),
            ),
            RawForm::Binary => Arc::new(good.map(Some).collect::<BinaryArray>()),
        };
        let all = bad.is_empty();
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), vec![column])?;
        Ok(Decoded { rows: batch, message_of_row: (!all).then_some(rows), bad })
    }
}

#[derive(Debug)]
struct RawEncoder {
    column: usize,
}

impl Encoder for RawEncoder {
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()> {
        let column = CellColumn::new(rows.column(self.column))?;
        out.extend((0..rows.num_rows()).map(|row| match column.at(row) {
            CellValue::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            CellValue::Bytes(bytes) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }));
        Ok(())
    }
}
