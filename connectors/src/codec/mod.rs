//! Codecs: bytes to rows and rows to bytes, chosen in the pipeline file, independent of the wire.
//!
//! A codec is pure: it reads no clock and keeps no connection. A message that does not decode is data, not a crash: the codec
//! says which message and why, and the engine follows the source's policy (`drop`, `fail` or `dead_letter`) and counts.

mod cells;
mod columns;
mod csv;
mod csv_read;
mod decode;
mod digits;
mod field;
mod json;
mod json_read;
mod number;
mod raw;
pub mod registers;
mod time_text;

use std::fmt::Debug;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::{Problem, Problems, Reason, Result, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::PlanContext;

pub(crate) use cells::{CellColumn, CellValue};
pub(crate) use columns::{Cell, Columns, micros, time_of};
pub use csv::{Csv, CsvColumn, CsvOptions};
pub(crate) use csv_read::CsvLines;
pub(crate) use field::Field;
pub use field::{FieldOptions, FieldTable, FieldType, TimeUnit};
pub use json::{Json, JsonOptions};
pub use number::{Number, NumberOptions};
pub use raw::{Raw, RawForm, RawOptions};
pub(crate) use time_text::written as written_time;

/// What became of a batch of messages.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, in the order of the messages, with the columns of the decoder's schema.
    pub rows: RecordBatch,
    /// For each row the index of the message it came from; `None` where row *n* came from message *n* throughout.
    pub message_of_row: Option<Vec<u32>>,
    /// Messages that did not decode: index, reason, one line about what is wrong.
    pub bad: Vec<(u32, Reason, String)>,
}

/// Bytes to rows.
pub trait Decoder: Send + Debug {
    /// The columns it gives.
    fn schema(&self) -> SchemaRef;
    /// Reads messages. Never fails as a whole because of what is in a message.
    ///
    /// # Errors
    /// Only for our bugs.
    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded>;
}

/// Rows to bytes.
pub trait Encoder: Send + Debug {
    /// One message a row, appended to `out`. A row that cannot be put into this format gives `None` in its place.
    ///
    /// # Errors
    /// Only for our bugs.
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<Option<Bytes>>) -> Result<()>;
}

/// Makes a decoder.
pub type MakeDecoder = Box<dyn Fn() -> Box<dyn Decoder> + Send + Sync>;
/// Makes an encoder.
pub type MakeEncoder = Box<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

/// A kind of codec that a pipeline file can name.
pub trait CodecKind: Sync {
    /// The word in the file: `codec = { type = "json" }`.
    fn name(&self) -> &'static str;
    /// One line about it, for `lineside list` and the README.
    fn about(&self) -> &'static str;
    /// An example, as it stands in a pipeline file.
    fn example(&self) -> &'static str;
    /// The JSON schema of its options (without `type`).
    fn options(&self) -> schemars::Schema;
    /// Checks options for reading and says which columns come out.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    fn plan_decoder(&self, options: &Value, context: &PlanContext<'_>) -> Result<(SchemaRef, MakeDecoder), Problems>;
    /// Checks options for writing rows of this schema.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    fn plan_encoder(
        &self,
        options: &Value,
        input: &SchemaRef,
        context: &PlanContext<'_>,
    ) -> Result<MakeEncoder, Problems>;
}

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeForm {
    /// Whole microseconds since 1970.
    #[default]
    Us,
    /// Whole milliseconds since 1970, cut.
    Ms,
    /// Text such as 2024-03-01T12:30:00.250000Z.
    Rfc3339,
}

impl TimeForm {
    fn write(self, time: Timestamp, text: &mut Vec<u8>) {
        match self {
            Self::Us => write!(text, "{}", time.micros()).expect("writing to memory does not fail"),
            Self::Ms => write!(text, "{}", time.micros().div_euclid(1_000)).expect("writing to memory does not fail"),
            Self::Rfc3339 => time_text::write(time, text),
        }
    }
}

/// Notes that an option of the other direction was given.
fn only_for(direction: &str, given: bool, option: &str, problems: &mut Problems) {
    if given {
        let message = format!("option \"{option}\" is only for {direction}");
        problems.push(Problem::option(option, message).hint("remove it here"));
    }
}
