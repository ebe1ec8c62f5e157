//! Codec `registers`: a message of raw registers, as gateways forward them over MQTT or Kafka, read through a register map.
//!
//! The message is registers one after the other, two bytes each, high byte first, beginning at register `start`. Every tag of
//! the map that lies in it whole gives a row `sensor, value, quality` (and `text` after `value` if the map has strings). A
//! NaN gives a row of bad quality without a value. A message with an odd number of bytes, or in which no tag lies whole, does
//! not decode.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use lineside_model::schema::{RECEIVED_AT, TS};
use lineside_model::{Problem, Problems, Quality, Reason, Result, parse_options};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{MakeDecoder, MakeEncoder};
use crate::modbus::map::{Defaults, RegisterMap, Table, Tag};
use crate::modbus::value::Raw;
use crate::modbus::{TEXT, check_base, readings};
use crate::{CodecKind, Decoded, Decoder, PlanContext};

/// The kind `registers`.
#[derive(Debug)]
pub struct Registers;

/// How messages of registers are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegistersOptions {
    /// The register map, a CSV file as of the Modbus source.
    registers: String,
    /// The register that a message begins with, counted from `base`. Default: the first one.
    start: Option<u16>,
    /// Which table of the map is in the message: `holding` or `input`. Default: `holding`.
    #[serde(default = "holding")]
    table: Table,
    /// Which unit's tags are in the message, and the unit id of tags that give none. Default: 1.
    #[serde(default = "one")]
    unit: u8,
    /// Whether the map and `start` count registers from 0 or from 1. Default: 0.
    #[serde(default)]
    base: u16,
}

#[derive(Debug)]
struct RegistersDecoder {
    schema: SchemaRef,
    tags: Arc<[Tag]>,
    start: u16,
}

impl CodecKind for Registers {
    fn name(&self) -> &'static str {
        "registers"
    }

    fn about(&self) -> &'static str {
        "raw 16-bit registers, high byte first, read through a Modbus register map"
    }

    fn example(&self) -> &'static str {
        r#"codec = { type = "registers", registers = "press.csv", start = 100 }"#
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(RegistersOptions)
    }

    fn plan_decoder(&self, options: &Value, context: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems> {
        let options = parse_options::<RegistersOptions>(options)?;
        let mut problems = Problems::default();
        check_base(options.base, &mut problems);
        if options.table.is_bits() {
            let message = format!("a message of registers has no table \"{}\"", options.table.word());
            problems.push(Problem::option("table", message).hint("table is \"holding\" or \"input\""));
        }
        let start = options.start.unwrap_or(options.base).checked_sub(options.base);
        if start.is_none() {
            problems.push(Problem::option("start", "with base = 1 the first register is 1, found 0"));
        }
        let defaults = Defaults { unit: options.unit, base: options.base };
        let map = RegisterMap::load(&context.path(&options.registers), &options.registers, defaults);
        let map = map.map_err(|wrong| problems.0.extend(wrong.0));
        let start = start.unwrap_or(0);
        let here = |tag: &Tag| tag.unit_id == options.unit && tag.table == options.table && tag.start >= start;
        let tags = map.map(|map| map.tags.into_iter().filter(here).collect::<Arc<[Tag]>>());
        if tags.as_ref().is_ok_and(|tags| tags.is_empty()) {
            let message =
                format!("no {} register of unit {} from here on is in the map", options.table.word(), options.unit);
            problems.push(Problem::option("registers", message).hint("check start, table and unit"));
        }
        let Ok(tags) = tags else { return Err(problems) };
        problems.or(())?;
        let rows = readings(tags.iter());
        let stamped = [TS, RECEIVED_AT];
        let fields = rows.fields().iter().filter(|field| !stamped.contains(&field.name().as_str())).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let of = Arc::clone(&schema);
        let make = move || -> Box<dyn Decoder> {
            Box::new(RegistersDecoder { schema: Arc::clone(&of), tags: Arc::clone(&tags), start })
        };
        Ok((schema, Box::new(make)))
    }

    fn plan_encoder(&self, _: &Value, _: &SchemaRef, _: &PlanContext<'_>) -> Result<MakeEncoder, Problems> {
        Err(Problem::whole("codec \"registers\" only reads").hint("to write registers, use the modbus sink").into())
    }
}

impl Decoder for RegistersDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let (mut sensors, mut values, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut quality, mut message_of_row, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (n, payload) in (0u32..).zip(payloads) {
            if payload.is_empty() {
                bad.push((n, Reason::Empty, "the message has no bytes".to_owned()));
            } else if payload.len() % 2 != 0 {
                let line = format!("{} bytes are not whole registers", payload.len());
                bad.push((n, Reason::Malformed, line));
            } else {
                let before = sensors.len();
                for tag in self.tags.iter() {
                    let (value, text, good) = match tag.read_registers(self.start, payload) {
                        Some(Raw::Number(value)) => (Some(value), None, Quality::Good),
                        Some(Raw::Text(text)) => (None, Some(text), Quality::Good),
                        Some(Raw::NotFinite) => (None, None, Quality::Bad),
                        None => continue,
                    };
                    sensors.push(tag.name.as_str());
                    values.push(value);
                    texts.push(text);
                    quality.push(good);
                    message_of_row.push(n);
                }
                if sensors.len() == before {
                    let line = format!("no tag of the map lies in these {} registers", payload.len() / 2);
                    bad.push((n, Reason::UnknownTag, line));
                }
            }
        }
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(sensors)), Arc::new(Float64Array::from(values))];
        if self.schema.column_with_name(TEXT).is_some() {
            columns.push(Arc::new(StringArray::from(texts)));
        }
        columns.push(Quality::column(quality));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Decoded { rows, message_of_row: Some(message_of_row), bad })
    }
}

fn one() -> u8 {
    1
}

fn holding() -> Table {
    Table::Holding
}
