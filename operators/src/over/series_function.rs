//! Functions of a series: they see the rows of one key in the order of event time and give one value for each row.
//!
//! In SQL they stand before `OVER`: `lag(value) OVER (PARTITION BY sensor ORDER BY ts)`. Disorder, keys, late rows, snapshots and
//! cutting into batches are not their business: [`super::operator`] sees to all of it. A function is a state machine for one key.
//!
//! To add one:
//!
//! 1. Write its file, with its options as a struct and `impl SeriesFunction` for it; [`super::row_number`] is the shortest pattern.
//!    Constants of a call (a limit, a duration) are fields; what changes from row to row are the [`Arguments`].
//! 2. Name it in the table `SERIES_FUNCTIONS` of `src/plan/sql/series.rs`: how it is written, what it takes, what it gives.
//! 3. Write its test in `src/plan/sql/tests/over.rs`, and its line in `docs/sql.md`.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int64Array, Int64Builder, StringArray,
    StringBuilder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::DataType;
use lineside_model::{Error, Result, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::column::{Column, Sorted, from_bytes, keep, to_bytes};
use crate::aggregate::values::{Float, Kept, Signed, Text, Unsigned};

/// A state machine for the rows of one key. The function itself holds the checked constants and is the same for all keys.
pub trait SeriesFunction: Debug + Send + Sync + 'static {
    /// The word under which state is saved.
    const KIND: &'static str;
    /// The version of the layout of [`SeriesFunction::State`].
    const VERSION: u32;

    /// What it reads of each row.
    type Arguments: Arguments;
    /// What is remembered of one key. It must not grow with the number of rows.
    type State: Debug + Send + Serialize + DeserializeOwned;
    /// What it gives for each row.
    type Value: Outcome;

    /// The state before the first row.
    fn start(&self) -> Self::State;

    /// Takes the next row in the order of event time (of equal times, in the order of arrival) and gives its value; `None` is null.
    fn step(
        &self,
        state: &mut Self::State,
        time: Timestamp,
        row: <Self::Arguments as Arguments>::Row<'_>,
    ) -> Option<Self::Value>;

    /// What is kept of each key, for `explain`: "the last value".
    fn keeps(&self) -> String;
}

/// What a function reads of each row: [`Number`], [`Condition`], [`Numbers`] or [`Nothing`].
pub trait Arguments: 'static {
    /// The types that its columns have, once they are cast.
    const TYPES: &'static [DataType];
    /// The columns.
    type Columns<'a>: Copy;
    /// The values of one row; `None` is null.
    type Row<'a>;

    /// The columns as what they must be.
    ///
    /// # Errors
    /// If they are of other types, which is our bug.
    fn columns(columns: &[ArrayRef]) -> Result<Self::Columns<'_>>;

    /// The values of one row.
    fn row<'a>(columns: &'a Self::Columns<'a>, row: usize) -> Self::Row<'a>;
}

/// One number: `Option<f64>`.
#[derive(Debug)]
pub struct Number;

/// No argument at all.
#[derive(Debug)]
pub struct Nothing;

/// One condition: `Option<bool>`.
#[derive(Debug)]
pub struct Condition;

/// `N` numbers: `[Option<f64>; N]`.
#[derive(Debug)]
pub struct Numbers<const N: usize>;

/// One value, in one of the forms in which values are kept.
#[derive(Debug)]
pub(crate) struct Value<K>(PhantomData<K>);

impl Arguments for Nothing {
    const TYPES: &'static [DataType] = &[];
    type Columns<'a> = ();
    type Row<'a> = ();

    fn columns(_: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn row(_: &(), _: usize) {}
}

impl Arguments for Number {
    const TYPES: &'static [DataType] = &[DataType::Float64];
    type Columns<'a> = &'a Float64Array;
    type Row<'a> = Option<f64>;

    fn columns(columns: &[ArrayRef]) -> Result<&Float64Array> {
        only(columns, 0)
    }

    #[inline]
    fn row<'a>(column: &'a &'a Float64Array, row: usize) -> Option<f64> {
        column.is_valid(row).then(|| column.value(row))
    }
}

impl Arguments for Condition {
    const TYPES: &'static [DataType] = &[DataType::Boolean];
    type Columns<'a> = &'a BooleanArray;
    type Row<'a> = Option<bool>;

    fn columns(columns: &[ArrayRef]) -> Result<&BooleanArray> {
        only(columns, 0)
    }

    #[inline]
    fn row<'a>(column: &'a &'a BooleanArray, row: usize) -> Option<bool> {
        column.is_valid(row).then(|| column.value(row))
    }
}

impl<const N: usize> Arguments for Numbers<N> {
    const TYPES: &'static [DataType] = &[const { DataType::Float64 }; N];
    type Columns<'a> = [&'a Float64Array; N];
    type Row<'a> = [Option<f64>; N];

    fn columns(columns: &[ArrayRef]) -> Result<[&Float64Array; N]> {
        let numbers = (0..N).map(|n| only(columns, n)).collect::<Result<Vec<_>>>()?;
        numbers.try_into().map_err(|_| Error::internal("a function of a series has fewer columns than arguments"))
    }

    #[inline]
    fn row<'a>(columns: &'a [&'a Float64Array; N], row: usize) -> [Option<f64>; N] {
        std::array::from_fn(|n| columns[n].is_valid(row).then(|| columns[n].value(row)))
    }
}

impl<K: Cell> Arguments for Value<K> {
    const TYPES: &'static [DataType] = &[K::TYPE];
    type Columns<'a> = &'a K::Array;
    type Row<'a> = Option<K::Seen<'a>>;

    fn columns(columns: &[ArrayRef]) -> Result<&K::Array> {
        only(columns, 0)
    }

    #[inline]
    fn row<'a>(column: &'a &'a K::Array, row: usize) -> Option<K::Seen<'a>> {
        column.is_valid(row).then(|| K::at(column, row))
    }
}

fn only<A: Array + 'static>(columns: &[ArrayRef], n: usize) -> Result<&A> {
    let column = columns.get(n).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::internal(format!("argument {n} of a function of a series is of another type")))
}

/// A form in which single values are kept, with the array that holds such values.
pub(crate) trait Cell: Kept<Value: Outcome> + Sync {
    /// The type of the array.
    const TYPE: DataType;
    /// The array.
    type Array: Array + 'static;

    /// The value of a row that is not null.
    fn at(array: &Self::Array, row: usize) -> Self::Seen<'_>;

    /// A value of its own.
    fn own(value: Self::Seen<'_>) -> Self::Value {
        let mut own = Self::Value::default();
        Self::keep(&mut own, value);
        own
    }
}

/// A value that a function can give: a number, a truth or a text.
pub trait Outcome: Sized + 'static {
    /// The type of its column.
    const TYPE: DataType;
    /// A column that grows.
    type Column;

    /// An empty column with room for so many rows.
    fn column(rows: usize) -> Self::Column;

    /// Adds the value of the next row.
    fn push(column: &mut Self::Column, value: Option<Self>);

    /// The whole column.
    fn finish(column: Self::Column) -> ArrayRef;
}

macro_rules! cells {
    ($($form:ty: $array:ty, $type:expr;)*) => {$(
        impl Cell for $form {
            const TYPE: DataType = $type;
            type Array = $array;
            #[inline]
            fn at(array: &$array, row: usize) -> Self::Seen<'_> {
                array.value(row)
            }
        }
    )*};
}

cells! {
    Signed: Int64Array, DataType::Int64;
    Unsigned: UInt64Array, DataType::UInt64;
    Float: Float64Array, DataType::Float64;
    Text: StringArray, DataType::Utf8;
}

macro_rules! outcomes {
    ($($value:ty: $builder:ty, $type:expr, $with:expr;)*) => {$(
        impl Outcome for $value {
            const TYPE: DataType = $type;
            type Column = $builder;
            fn column(rows: usize) -> $builder {
                let with: fn(usize) -> $builder = $with;
                with(rows)
            }
            #[inline]
            fn push(column: &mut $builder, value: Option<Self>) {
                column.append_option(value);
            }
            fn finish(mut column: $builder) -> ArrayRef {
                Arc::new(column.finish())
            }
        }
    )*};
}

outcomes! {
    f64: Float64Builder, DataType::Float64, Float64Builder::with_capacity;
    i64: Int64Builder, DataType::Int64, Int64Builder::with_capacity;
    u64: UInt64Builder, DataType::UInt64, UInt64Builder::with_capacity;
    bool: BooleanBuilder, DataType::Boolean, BooleanBuilder::with_capacity;
    String: StringBuilder, DataType::Utf8, |rows| StringBuilder::with_capacity(rows, 8 * rows);
    &'static str: StringBuilder, DataType::Utf8, |rows| StringBuilder::with_capacity(rows, 8 * rows);
}

/// A function over all keys.
#[derive(Debug)]
pub(super) struct Series<F: SeriesFunction> {
    function: Arc<F>,
    states: Vec<F::State>,
}

impl<F: SeriesFunction> Series<F> {
    pub(super) fn new(function: Arc<F>) -> Self {
        Self { function, states: Vec::new() }
    }
}

impl<F: SeriesFunction> Column for Series<F> {
    fn kind(&self) -> (&'static str, u32) {
        (F::KIND, F::VERSION)
    }

    fn run(&mut self, rows: &Sorted<'_>) -> Result<ArrayRef> {
        let columns = F::Arguments::columns(rows.arguments)?;
        if self.states.len() < rows.keys() {
            self.states.resize_with(rows.keys(), || self.function.start());
        }
        let mut values = F::Value::column(rows.ids.len());
        for (row, (id, time)) in rows.ids.iter().zip(rows.times).enumerate() {
            let state = &mut self.states[*id as usize];
            let value = self.function.step(state, Timestamp(*time), F::Arguments::row(&columns, row));
            F::Value::push(&mut values, value);
        }
        Ok(F::Value::finish(values))
    }

    fn forget(&mut self, key: usize, _before: Timestamp) -> bool {
        key >= self.states.len()
    }

    fn retain(&mut self, keys: &[u32]) {
        keep(&mut self.states, keys);
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.states)
    }

    fn load(&mut self, bytes: &[u8], keys: usize) -> Result<()> {
        self.states = from_bytes(bytes, keys, Vec::len)?;
        Ok(())
    }
}
