//! A run of rows on its way into the partials of one slice: where each row goes, when it was measured, what it says.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use lineside_model::{Error, Result};

/// A run of rows of one slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// The slot of each row.
    pub(crate) slots: &'a [u32],
    /// The event time of each row, in microseconds.
    pub(crate) times: &'a [i64],
    /// The column that holds the values; `None` for whole rows.
    pub(crate) column: Option<&'a dyn Array>,
    /// Where in the column the run starts.
    pub(crate) start: usize,
}

impl<'a> Rows<'a> {
    /// The column.
    pub(crate) fn column(&self) -> Result<&'a dyn Array> {
        self.column.ok_or_else(|| Error::internal("an aggregate was given no column"))
    }

    /// The column, as numbers of type `T`.
    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self) -> Result<&'a PrimitiveArray<T>> {
        let column = self.column()?;
        column.as_primitive_opt::<T>().ok_or_else(|| {
            Error::internal(format!("an aggregate of {} was given {}", T::DATA_TYPE, column.data_type()))
        })
    }

    /// Calls `take(slot, time, value)` for each value of `numbers` that is not null. The loop without nulls has no branch on
    /// them.
    #[inline]
    pub(crate) fn each<T: ArrowPrimitiveType>(
        &self,
        numbers: &PrimitiveArray<T>,
        mut take: impl FnMut(usize, i64, T::Native),
    ) {
        let values = &numbers.values()[self.start..self.start + self.slots.len()];
        let rows = || self.slots.iter().zip(self.times).zip(values);
        match numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => rows().for_each(|((slot, time), value)| take(*slot as usize, *time, *value)),
            Some(nulls) => (self.start..)
                .zip(rows())
                .filter(|(row, _)| nulls.is_valid(*row))
                .for_each(|(_, ((slot, time), value))| take(*slot as usize, *time, *value)),
        }
    }

    /// Calls `take(slot, time, row of the column)` for each row in which the column is not null.
    #[inline]
    pub(crate) fn each_row(&self, column: &dyn Array, mut take: impl FnMut(usize, i64, usize)) {
        let rows = || (self.start..).zip(self.slots.iter().zip(self.times));
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => rows().for_each(|(row, (slot, time))| take(*slot as usize, *time, row)),
            Some(nulls) => rows()
                .filter(|(row, _)| nulls.is_valid(*row))
                .for_each(|(row, (slot, time))| take(*slot as usize, *time, row)),
        }
    }
}
