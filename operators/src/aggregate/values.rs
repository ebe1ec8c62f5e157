//! The four forms in which single values are kept (integers, unsigned integers, floats, text) and their order.
//!
//! Every other ordered type is cast to one of them on its way in and back on its way out: timestamps, dates and times are
//! integers, booleans are 0 and 1, dictionaries are their words. None of these casts loses anything.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use lineside_model::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Column, Picked, Rows};

/// Whether values of this type have an order that is kept here.
pub(crate) fn is_ordered(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Boolean)
        || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_))
        || matches!(data_type, DataType::Timestamp(..) | DataType::Duration(_))
}

/// The form in which values of an ordered type are kept.
pub(crate) fn kept_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::UInt64,
        unsigned if unsigned.is_unsigned_integer() => DataType::UInt64,
        _ => DataType::Int64,
    }
}

/// One form of value.
pub(crate) trait Kept: 'static + Send + Debug + Clone {
    /// The value as it is kept.
    type Value: Clone + Default + Debug + Send + Serialize + DeserializeOwned;
    /// The value as it is looked at.
    type Seen<'a>: Copy;

    /// Calls `take(slot, time, value)` for each row with a value.
    fn each<'a>(rows: &Rows<'a>, take: impl FnMut(usize, i64, Self::Seen<'a>)) -> Result<()>;
    /// Puts a value in the place of a kept one.
    fn keep(kept: &mut Self::Value, value: Self::Seen<'_>);
    /// Looks at a kept value.
    fn see(kept: &Self::Value) -> Self::Seen<'_>;
    /// Whether one value comes strictly before another.
    fn before(one: Self::Seen<'_>, other: Self::Seen<'_>) -> bool;
    /// Adds the kept values of these slots to a column.
    fn emit<'a>(
        picked: &Picked<'_>,
        value: impl Fn(usize) -> Option<&'a Self::Value>,
        column: &mut Column,
    ) -> Result<()>;
}

macro_rules! numbers {
    ($($(#[doc = $doc:literal])* $name:ident: $native:ty, $kind:ty, $before:expr;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name;

        impl Kept for $name {
            type Value = $native;
            type Seen<'a> = $native;

            #[inline]
            fn each<'a>(rows: &Rows<'a>, take: impl FnMut(usize, i64, Self::Seen<'a>)) -> Result<()> {
                rows.each(rows.numbers::<$kind>()?, take);
                Ok(())
            }
            #[inline]
            fn keep(kept: &mut $native, value: $native) {
                *kept = value;
            }
            #[inline]
            fn see(kept: &$native) -> $native {
                *kept
            }
            #[inline]
            fn before(one: $native, other: $native) -> bool {
                let before: fn($native, $native) -> bool = $before;
                before(one, other)
            }
            fn emit<'a>(
        picked: &Picked<'_>, value: impl Fn(usize) -> Option<&'a $native>,
        column: &mut Column,
    ) -> Result<()> {
                column.numbers::<$kind>(picked, |slot| value(slot).copied())
            }
        }
    )*};
}

numbers! {
    /// Integers, and all that are integers inside.
    Signed: i64, Int64Type, |one, other| one < other;
    /// Unsigned integers and booleans.
    Unsigned: u64, UInt64Type, |one, other| one < other;
    /// Floats; NaN, of whatever sign, is greater than all others.
    Float: f64, Float64Type, |one, other| one < other || (other.is_nan() && !one.is_nan());
}

/// Text, ordered by its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Text;

impl Kept for Text {
    type Value = String;
    type Seen<'a> = &'a str;

    fn each<'a>(rows: &Rows<'a>, mut take: impl FnMut(usize, i64, Self::Seen<'a>)) -> Result<()> {
        let column = rows.column()?;
        let text = column.as_string_opt::<i32>();
        let text = text.ok_or_else(|| Error::internal(format!("text was expected, given {}", column.data_type())))?;
        rows.each_row(text, |slot, time, row| take(slot, time, text.value(row)));
        Ok(())
    }
    fn keep(kept: &mut String, value: &str) {
        kept.clear();
        kept.push_str(value);
    }
    fn see(kept: &String) -> &str {
        kept
    }
    fn before(one: &str, other: &str) -> bool {
        one < other
    }
    fn emit<'a>(picked: &Picked<'_>, value: impl Fn(usize) -> Option<&'a String>, column: &mut Column) -> Result<()> {
        column.piece(Arc::new(picked.collect::<_, StringArray>(value)))
    }
}
