//! How a row is written into a message: JSON or CSV.

use std::io::Write;
use std::str::FromStr;

use lineside_model::{Error, Result};
use serde::Serialize;

use crate::trace::Row;

/// How a row is written into a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `{"ts":µs,"sensor":"…","value":1.5,"quality":"good"}`; a reading without a value has `null`.
    #[default]
    Json,
    /// `µs,sensor,1.5,good`; a reading without a value has nothing between its commas.
    Csv,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::user(format!("a format is json or csv, found \"{text}\""))),
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    ts: i64,
    sensor: &'a str,
    value: Option<f64>,
    quality: &'static str,
}

impl Format {
    /// Appends one row, without a line end.
    pub(super) fn write(self, row: &Row, out: &mut Vec<u8>) -> Result<()> {
        let (ts, sensor, value, quality) = (row.ts.micros(), &*row.sensor, row.value, row.quality.word());
        let cannot = |error| Error::internal("cannot write a row into memory").caused_by(error);
        match self {
            Self::Json => serde_json::to_writer(out, &Message { ts, sensor, value, quality })
                .map_err(|error| Error::internal("cannot write a row as JSON").caused_by(error)),
            Self::Csv => {
                write!(out, "{ts},").map_err(cannot)?;
                if sensor.contains([',', '"', '\n', '\r']) {
                    write!(out, "\"{}\"", sensor.replace('"', "\"\"")).map_err(cannot)?;
                } else {
                    out.extend_from_slice(sensor.as_bytes());
                }
                match value {
                    Some(value) => write!(out, ",{value},{quality}").map_err(cannot),
                    None => write!(out, ",,{quality}").map_err(cannot),
                }
            }
        }
    }
}
