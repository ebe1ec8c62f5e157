//! Group keys become dense numbers, once for all aggregates, so that what follows are arrays and not maps.
//!
//! One integer column and one text column (plain or dictionary) have ways of their own; any other combination goes through
//! Arrow's row format. Null is a key like any other, as in SQL's `GROUP BY`.

mod integer;
mod interner;
mod limit;
mod row;
mod saved;
mod text;

use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, downcast_integer};
use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use lineside_model::{Error, Result};

use self::integer::IntegerKeys;
pub(crate) use self::limit::{is_near, number_rows, pays};
use self::row::RowKeys;
pub use self::saved::numbered;
pub(crate) use self::saved::{load, load_columns, save, save_columns};
use self::text::TextKeys;

/// No number was given yet.
const NONE: u32 = u32::MAX;

/// Numbers keys in the order of their first appearance.
pub trait Keys: Send + Debug {
    /// The number of each row's key, appended to `ids`; new keys get the next number.
    ///
    /// # Errors
    /// If there are more keys than numbers.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()>;

    /// The keys of these numbers, as columns: dictionaries as their words, all text as plain text.
    ///
    /// # Errors
    /// Only for our bugs.
    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>>;

    /// How many keys there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The type in which keys of a type are given back: dictionaries as their words, all text as plain text.
pub(crate) fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => stored_type(value),
        other => other.clone(),
    }
}

/// Whether columns of this type can be keys, and keys be put out as such columns.
pub fn is_supported(data_type: &DataType) -> bool {
    let stored = stored_type(data_type);
    can_cast_types(&stored, data_type) && RowConverter::supports_fields(&[SortField::new(stored)])
}

/// A numbering for key columns of these types.
///
/// # Errors
/// If one of them [cannot be a key](is_supported).
pub fn keys(types: &[DataType]) -> Result<Box<dyn Keys>> {
    macro_rules! integers {
        ($kind:ty) => {
            Ok(Box::new(IntegerKeys::<$kind>::default()))
        };
    }
    let stored = types.iter().map(stored_type).collect::<Vec<_>>();
    match stored.as_slice() {
        [] => Ok(Box::new(NoKeys)),
        [DataType::Utf8] => Ok(Box::new(TextKeys::new())),
        [only] if only.is_integer() && !matches!(types[0], DataType::Dictionary(..)) => downcast_integer! {
            only => (integers),
            other => Err(Error::internal(format!("{other} is no integer")))
        },
        _ => Ok(Box::new(RowKeys::new(stored)?)),
    }
}

/// All rows belong together.
#[derive(Debug)]
struct NoKeys;

impl Keys for NoKeys {
    fn intern(&mut self, _: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        ids.resize(ids.len() + rows, 0);
        Ok(())
    }

    fn columns(&self, _: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn len(&self) -> usize {
        1
    }
}

/// Whether numbers follow one another.
pub(crate) fn follow(ids: &[u32]) -> bool {
    let first = ids.first().copied().unwrap_or_default();
    // To the end in any case: without a branch the loop does many numbers at a time.
    (0u32..).zip(ids).fold(true, |all, (n, id)| all & (*id == first.wrapping_add(n)))
}

#[inline]
fn next(len: usize) -> Result<u32> {
    u32::try_from(len).ok().filter(|id| *id != NONE).ok_or_else(no_more)
}

#[cold]
fn no_more() -> Error {
    Error::user("more than four thousand million keys in open windows").hint("group by fewer columns")
}

fn only(columns: &[ArrayRef]) -> Result<&ArrayRef> {
    columns.first().ok_or_else(|| Error::internal("the key column is missing"))
}

fn unexpected(column: &ArrayRef) -> Error {
    Error::internal(format!("the key column has the unexpected type {}", column.data_type()))
}
