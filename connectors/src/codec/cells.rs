//! Reads the cells of a batch whatever their Arrow type, for everything that writes text.

use std::borrow::Cow;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lineside_model::{Result, Timestamp, schema};

/// One column, by what its cells are in text formats.
#[derive(Debug)]
pub(crate) enum CellColumn {
    /// Floats.
    Float(Float64Array),
    /// Whole numbers.
    Int(Int64Array),
    /// Whole numbers without a sign.
    UInt(UInt64Array),
    /// true or false.
    Bool(BooleanArray),
    /// Text, and qualities.
    Text(StringArray),
    /// Bytes.
    Bytes(BinaryArray),
    /// Points in time.
    Time(TimestampMicrosecondArray),
    /// Anything else, as Arrow shows it.
    Other(ArrayRef),
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CellValue<'a> {
    /// No value.
    Null,
    /// A float, perhaps not finite.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    UInt(u64),
    /// true or false.
    Bool(bool),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A point in time.
    Time(Timestamp),
}

impl CellColumn {
    /// Looks at a column; copies nothing where the type is the usual one of its kind.
    pub(crate) fn new(column: &ArrayRef) -> Result<Self> {
        let target = match column.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::UInt64,
            DataType::Boolean => DataType::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8) => DataType::Utf8,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => schema::time_type(),
            _ => return Ok(Self::Other(ArrayRef::clone(column))),
        };
        let same = schema::as_type(column, &target)?;
        let data = same.to_data();
        Ok(match target {
            DataType::Float64 => Self::Float(data.into()),
            DataType::Int64 => Self::Int(data.into()),
            DataType::UInt64 => Self::UInt(data.into()),
            DataType::Boolean => Self::Bool(data.into()),
            DataType::Utf8 => Self::Text(data.into()),
            DataType::Binary => Self::Bytes(data.into()),
            _ => Self::Time(data.into()),
        })
    }

    /// The cell of a row, which must be one of the batch.
    pub(crate) fn at(&self, row: usize) -> CellValue<'_> {
        match self {
            Self::Float(a) if a.is_valid(row) => CellValue::Float(a.value(row)),
            Self::Int(a) if a.is_valid(row) => CellValue::Int(a.value(row)),
            Self::UInt(a) if a.is_valid(row) => CellValue::UInt(a.value(row)),
            Self::Bool(a) if a.is_valid(row) => CellValue::Bool(a.value(row)),
            Self::Text(a) if a.is_valid(row) => CellValue::Text(Cow::Borrowed(a.value(row))),
            Self::Bytes(a) if a.is_valid(row) => CellValue::Bytes(a.value(row)),
            Self::Time(a) if a.is_valid(row) => CellValue::Time(Timestamp(a.value(row))),
            Self::Other(a) if a.is_valid(row) => match ArrayFormatter::try_new(a.as_ref(), &FormatOptions::default()) {
                Ok(shown) => CellValue::Text(Cow::Owned(shown.value(row).to_string())),
                Err(_) => CellValue::Null,
            },
            _ => CellValue::Null,
        }
    }
}
