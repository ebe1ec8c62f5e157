//! The columns that readings have by convention, whatever wire they came over.
//!
//! A source is free to have more columns, or others; operators name the columns they use and these are the defaults.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::Quality;

/// Event time.
pub const TS: &str = "ts";
/// Name of the sensor.
pub const SENSOR: &str = "sensor";
/// Measured value, a float in engineering units.
pub const VALUE: &str = "value";
/// How far the value can be trusted, see [`Quality`].
pub const QUALITY: &str = "quality";
/// When lineside read the message from the wire.
pub const RECEIVED_AT: &str = "received_at";

/// The Arrow type of every time column: microseconds, UTC.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A time column.
pub fn time_field(name: &str, nullable: bool) -> Field {
    Field::new(name, time_type(), nullable)
}

/// The schema of readings: `ts, sensor, value, quality, received_at`. A reading of bad quality may have no value.
pub fn readings() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field(TS, false),
        Field::new(SENSOR, DataType::Utf8, false),
        Field::new(VALUE, DataType::Float64, true),
        Field::new(QUALITY, Quality::data_type(), false),
        time_field(RECEIVED_AT, false),
    ]))
}

/// A column as one of this type: the same one if it is, which costs nothing, else cast.
///
/// # Errors
/// If Arrow does not cast the one to the other.
pub fn as_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type { Ok(Arc::clone(column)) } else { cast(column, data_type) }
}
