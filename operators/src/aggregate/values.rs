//! The four forms in which single values are kept (integers, unsigned integers, floats, text) and their order.
//!
//! Every other ordered type is cast to one of them on its way in and back on its way out: timestamps, dates and times are
//! integers, booleans are 0 and 1, dictionaries are their words. None of these casts loses anything.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use lineside_model::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Rows;

/// Whether values of this type have an order that is kept here.
pub(super) fn is_ordered(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Boolean)
        || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_))
        || matches!(data_type, DataType::Timestamp(..) | DataType::Duration(_))
}

/// The form in which values of an ordered type are kept.
pub(super) fn kept_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::UInt64,
        unsigned if unsigned.is_unsigned_integer() => DataType::UInt64,
        _ => DataType::Int64,
    }
}

/// One form of value.
pub(super) trait Kept: 'static + Send + Debug + Clone {
    /// The value as it is kept.
    type Value: Clone + Default + Debug + Send + Serialize + DeserializeOwned;
    /// The column it comes from.
    type Column: Array + 'static;

    /// The column of a run.
    fn column<'a>(rows: &Rows<'a>) -> Result<&'a Self::Column>;
    /// Keeps row `row` of the column.
    fn keep(value: &mut Self::Value, column: &Self::Column, row: usize);
    /// Whether row `row` comes strictly before the kept value.
    fn is_less(column: &Self::Column, row: usize, than: &Self::Value) -> bool;
    /// Whether row `row` comes strictly after the kept value.
    fn is_greater(column: &Self::Column, row: usize, than: &Self::Value) -> bool;
    /// Whether one kept value comes strictly before another.
    fn before(one: &Self::Value, other: &Self::Value) -> bool;
    /// Kept values as a column.
    fn emit<'a>(values: impl Iterator<Item = Option<&'a Self::Value>>) -> ArrayRef;
}

macro_rules! numbers {
    ($($(#[doc = $doc:literal])* $name:ident: $native:ty, $kind:ty, $array:ty, $before:expr;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name;

        impl Kept for $name {
            type Value = $native;
            type Column = PrimitiveArray<$kind>;

            fn column<'a>(rows: &Rows<'a>) -> Result<&'a Self::Column> {
                rows.numbers::<$kind>()
            }
            #[inline]
            fn keep(value: &mut $native, column: &Self::Column, row: usize) {
                *value = column.values()[row];
            }
            #[inline]
            fn is_less(column: &Self::Column, row: usize, than: &$native) -> bool {
                Self::before(&column.values()[row], than)
            }
            #[inline]
            fn is_greater(column: &Self::Column, row: usize, than: &$native) -> bool {
                Self::before(than, &column.values()[row])
            }
            #[inline]
            fn before(one: &$native, other: &$native) -> bool {
                let before: fn($native, $native) -> bool = $before;
                before(*one, *other)
            }
            fn emit<'a>(values: impl Iterator<Item = Option<&'a $native>>) -> ArrayRef {
                Arc::new(values.map(|value| value.copied()).collect::<$array>())
            }
        }
    )*};
}

numbers! {
    /// Integers, and all that are integers inside.
    Signed: i64, Int64Type, Int64Array, |one, other| one < other;
    /// Unsigned integers and booleans.
    Unsigned: u64, UInt64Type, UInt64Array, |one, other| one < other;
    /// Floats; NaN, of whatever sign, is greater than all others.
    Float: f64, Float64Type, Float64Array, |one, other| one < other || (other.is_nan() && !one.is_nan());
}

/// Text, ordered by its bytes.
#[derive(Clone, Debug)]
pub(super) struct Text;

impl Kept for Text {
    type Value = String;
    type Column = StringArray;

    fn column<'a>(rows: &Rows<'a>) -> Result<&'a StringArray> {
        let column = rows.column()?;
        column
            .as_string_opt::<i32>()
            .ok_or_else(|| Error::internal(format!("an aggregate of Utf8 was given {}", column.data_type())))
    }
    fn keep(value: &mut String, column: &StringArray, row: usize) {
        value.clear();
        value.push_str(column.value(row));
    }
    fn is_less(column: &StringArray, row: usize, than: &String) -> bool {
        column.value(row) < than.as_str()
    }
    fn is_greater(column: &StringArray, row: usize, than: &String) -> bool {
        column.value(row) > than.as_str()
    }
    fn before(one: &String, other: &String) -> bool {
        one < other
    }
    fn emit<'a>(values: impl Iterator<Item = Option<&'a String>>) -> ArrayRef {
        Arc::new(values.collect::<StringArray>())
    }
}
