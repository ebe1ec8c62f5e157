//! A column of results, filled piece by piece: a window of a million sensors is put out in batches, and a batch may hold many windows.
//! So results are read off some slots at a time, in the order wanted, right into the column of the batch.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, PrimitiveArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::Float64Type;
use lineside_model::{Error, Result};

/// So many means are divided in one loop.
const MEANS_AT_ONCE: usize = 64;

/// Some slots in an order.
#[derive(Clone, Debug)]
pub(crate) enum Picked<'a> {
    /// Slots next to each other.
    Run(Range<usize>),
    /// These.
    Each(&'a [u32]),
}

impl Picked<'_> {
    /// What `of` has for each slot.
    #[inline]
    pub(super) fn collect<R, C: FromIterator<R>>(&self, mut of: impl FnMut(usize) -> R) -> C {
        match self {
            Self::Run(slots) => slots.clone().map(of).collect(),
            Self::Each(slots) => slots.iter().map(|slot| of(*slot as usize)).collect(),
        }
    }

    /// The rows of a column that has one for every slot.
    pub(super) fn rows_of(&self, column: &dyn Array) -> Result<ArrayRef> {
        Ok(match self {
            Self::Run(slots) => column.slice(slots.start, slots.len()),
            Self::Each(slots) => take(column, &UInt32Array::from(slots.to_vec()), None)?,
        })
    }
}

/// A column of a batch that is being filled.
#[derive(Debug)]
pub(crate) struct Column {
    /// How long it may become.
    rows_max: usize,
    /// Numbers are written one behind the other,
    numbers: Option<Box<dyn Filling>>,
    /// all else is put together at the end.
    pieces: Vec<ArrayRef>,
}

impl Column {
    /// Nothing yet; at most so many rows will be in it.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows_max, numbers: None, pieces: Vec::new() }
    }

    /// Adds the number that `of` has for each slot. Where some slot has none `of` is called twice, so it should be cheap.
    #[inline]
    pub(super) fn numbers<T: ArrowPrimitiveType>(
        &mut self,
        picked: &Picked<'_>,
        of: impl Fn(usize) -> Option<T::Native>,
    ) -> Result<()> {
        let (rows_max, numbers) = (self.rows_max, self.filling::<T>()?);
        match picked {
            Picked::Run(slots) => numbers.extend(slots.clone(), rows_max, of),
            Picked::Each(slots) => numbers.extend(slots.iter().map(|slot| *slot as usize), rows_max, of),
        }
        Ok(())
    }

    /// Adds the mean of each slot, for which `of` has a sum and how many values are in it; null where there are none.
    #[inline]
    pub(super) fn means(&mut self, picked: &Picked<'_>, of: impl Fn(usize) -> (f64, u64)) -> Result<()> {
        let (rows_max, numbers) = (self.rows_max, self.filling::<Float64Type>()?);
        match picked {
            Picked::Run(slots) => numbers.extend_by_means(slots.clone(), rows_max, of),
            Picked::Each(slots) => numbers.extend_by_means(slots.iter().map(|slot| *slot as usize), rows_max, of),
        }
        Ok(())
    }

    /// Whether its rows are numbers, which can be copied and changed row by row.
    pub(crate) fn is_numbers(&self) -> bool {
        self.numbers.is_some()
    }

    /// Forgets its rows and keeps their room.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        if let Some(numbers) = &mut self.numbers {
            numbers.clear();
        }
    }

    /// Adds these rows of another column of numbers.
    pub(crate) fn copy_rows(&mut self, other: &Self, rows: &Picked<'_>) -> Result<()> {
        let Some(others) = &other.numbers else { return Err(not_numbers()) };
        self.numbers.get_or_insert_with(|| others.fresh()).copy_rows(others.as_ref(), rows, self.rows_max)
    }

    /// Changes these rows to those of another column of numbers.
    pub(crate) fn replace_rows(&mut self, rows: &[u32], other: &Self) -> Result<()> {
        match (&mut self.numbers, &other.numbers) {
            (Some(mine), Some(others)) => mine.replace_rows(rows, others.as_ref()),
            _ => Err(not_numbers()),
        }
    }

    fn filling<T: ArrowPrimitiveType>(&mut self) -> Result<&mut Numbers<T>> {
        let filling = self.numbers.get_or_insert_with(|| Box::new(Numbers::<T>::default()));
        let filling: &mut dyn Any = filling.as_mut();
        filling.downcast_mut().ok_or_else(different_types)
    }

    /// Adds rows.
    pub(super) fn piece(&mut self, rows: ArrayRef) -> Result<()> {
        self.pieces.push(rows);
        Ok(())
    }

    /// The column, which is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        if let Some(numbers) = &mut self.numbers {
            return Ok(numbers.finish(self.rows_max));
        }
        let column = match self.pieces.as_slice() {
            [only] => ArrayRef::clone(only),
            pieces => concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?,
        };
        self.pieces.clear();
        Ok(column)
    }
}

/// So many rows, all of which are there.
fn all_valid(rows: usize) -> BooleanBufferBuilder {
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    valid
}

/// Whether all rows are there.
fn is_complete(valid: &BooleanBufferBuilder) -> bool {
    let (bytes, rest) = (valid.len() / 8, valid.len() % 8);
    let (whole, last) = valid.as_slice().split_at(bytes);
    whole.iter().all(|byte| *byte == u8::MAX) && last.iter().all(|byte| byte | u8::MAX << rest == u8::MAX)
}

fn not_numbers() -> Error {
    Error::internal("results that are no numbers were to be copied one by one")
}

fn different_types() -> Error {
    Error::internal("an aggregate has results of different types")
}

/// Numbers of some type.
trait Filling: Any + Send + Debug {
    /// None of this type.
    fn fresh(&self) -> Box<dyn Filling>;
    /// Forgets them and keeps their room.
    fn clear(&mut self);
    /// Adds some of others of the same type.
    fn copy_rows(&mut self, other: &dyn Filling, rows: &Picked<'_>, rows_max: usize) -> Result<()>;
    /// Changes these rows to all those of others of the same type.
    fn replace_rows(&mut self, rows: &[u32], other: &dyn Filling) -> Result<()>;
    /// The numbers as a column of which there may be at most so many rows.
    fn finish(&mut self, rows_max: usize) -> ArrayRef;
}

/// Numbers, and which of them there are; nothing as long as there are all.
struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: Option<BooleanBufferBuilder>,
}

impl<T: ArrowPrimitiveType> Debug for Numbers<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbers").field("values", &self.values).finish_non_exhaustive()
    }
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: None }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    #[inline]
    fn extend(
        &mut self,
        slots: impl ExactSizeIterator<Item = usize> + Clone,
        rows_max: usize,
        of: impl Fn(usize) -> Option<T::Native>,
    ) {
        self.make_room(slots.len(), rows_max);
        let mut complete = true;
        self.values.extend(slots.clone().map(|slot| {
            let value = of(slot);
            complete &= value.is_some();
            value.unwrap_or_default()
        }));
        if !complete || self.valid.is_some() {
            self.note(slots, |slot| of(slot).is_some());
        }
    }

    fn make_room(&mut self, more: usize, rows_max: usize) {
        let rows = self.values.len() + more;
        if rows > self.values.capacity() {
            // As a vector grows, but not beyond what can come.
            let room = (2 * self.values.capacity()).min(rows_max).max(rows);
            self.values.reserve_exact(room - self.values.len());
        }
    }

    /// Notes for the slots that came last which have a number.
    fn note(&mut self, slots: impl ExactSizeIterator<Item = usize>, is_there: impl Fn(usize) -> bool) {
        let rows = self.values.len();
        let valid = self.valid.get_or_insert_with(|| all_valid(rows - slots.len()));
        slots.for_each(|slot| valid.append(is_there(slot)));
    }
}

impl Numbers<Float64Type> {
    fn extend_by_means(
        &mut self,
        slots: impl ExactSizeIterator<Item = usize> + Clone,
        rows_max: usize,
        of: impl Fn(usize) -> (f64, u64),
    ) {
        let before = self.values.len();
        self.make_room(slots.len(), rows_max);
        // Sums and counts first, some at a time: then the divisions, which are slow, are done several at once.
        self.values.resize(before + slots.len(), 0.0);
        let (mut next, mut complete) = (slots.clone(), true);
        for means in self.values[before..].chunks_mut(MEANS_AT_ONCE) {
            let mut counts = [1.0; MEANS_AT_ONCE];
            for ((mean, count), slot) in means.iter_mut().zip(&mut counts).zip(&mut next) {
                let (sum, values) = of(slot);
                complete &= values > 0;
                (*mean, *count) = (sum, values as f64);
            }
            means.iter_mut().zip(&counts).for_each(|(mean, count)| *mean /= count);
        }
        if !complete || self.valid.is_some() {
            self.note(slots, |slot| of(slot).1 > 0);
        }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn of(filling: &dyn Filling) -> Result<&Self> {
        let filling: &dyn Any = filling;
        filling.downcast_ref().ok_or_else(different_types)
    }

    fn is_there(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.get_bit(row))
    }
}

impl<T: ArrowPrimitiveType> Filling for Numbers<T> {
    fn fresh(&self) -> Box<dyn Filling> {
        Box::new(Self::default())
    }

    fn clear(&mut self) {
        self.values.clear();
        self.valid = None;
    }

    fn copy_rows(&mut self, other: &dyn Filling, rows: &Picked<'_>, rows_max: usize) -> Result<()> {
        let other = Self::of(other)?;
        match rows {
            Picked::Run(rows) => {
                self.make_room(rows.len(), rows_max);
                self.values.extend_from_slice(&other.values[rows.clone()]);
                match &other.valid {
                    Some(valid) => {
                        let before = self.values.len() - rows.len();
                        let mine = self.valid.get_or_insert_with(|| all_valid(before));
                        mine.append_packed_range(rows.clone(), valid.as_slice());
                    }
                    None if self.valid.is_some() => self.note(rows.clone(), |_| true),
                    None => {}
                }
            }
            Picked::Each(rows) => {
                self.make_room(rows.len(), rows_max);
                self.values.extend(rows.iter().map(|row| other.values[*row as usize]));
                if self.valid.is_some() || other.valid.is_some() {
                    self.note(rows.iter().map(|row| *row as usize), |row| other.is_there(row));
                }
            }
        }
        Ok(())
    }

    fn replace_rows(&mut self, rows: &[u32], other: &dyn Filling) -> Result<()> {
        let other = Self::of(other)?;
        let values = self.values.as_mut_slice();
        rows.iter().zip(&other.values).for_each(|(row, value)| values[*row as usize] = *value);
        if self.valid.is_some() || other.valid.is_some() {
            let valid = self.valid.get_or_insert_with(|| all_valid(self.values.len()));
            rows.iter().enumerate().for_each(|(n, row)| valid.set_bit(*row as usize, other.is_there(n)));
            if is_complete(valid) {
                self.valid = None;
            }
        }
        Ok(())
    }

    fn finish(&mut self, rows_max: usize) -> ArrayRef {
        // A full one is probably followed by another.
        let next = if self.values.len() == rows_max { Vec::with_capacity(rows_max) } else { Vec::new() };
        let values = std::mem::replace(&mut self.values, next);
        let nulls = self.valid.take().map(|mut valid| NullBuffer::new(valid.finish()));
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    #[test]
    fn rows_are_copied_and_changed_with_what_is_missing() {
        let (mut latest, mut changed, mut column) = (Column::new(8), Column::new(8), Column::new(8));
        let mut expected = (0..6).map(Some).collect::<Vec<Option<i64>>>();
        latest.numbers::<Int64Type>(&Picked::Run(0..6), |slot| Some(slot as i64)).expect("they are numbers");
        let rounds: [&[(u32, Option<i64>)]; 4] =
            [&[(1, Some(10))], &[(4, None), (2, Some(7)), (4, None)], &[(4, Some(3))], &[(0, None), (5, None)]];
        for round in rounds {
            changed.clear();
            let rows = round.iter().map(|(row, _)| *row).collect::<Vec<_>>();
            let values = |n: usize| round[n].1;
            changed.numbers::<Int64Type>(&Picked::Run(0..round.len()), values).expect("they are numbers");
            latest.replace_rows(&rows, &changed).expect("they are numbers");
            round.iter().for_each(|(row, value)| expected[*row as usize] = *value);
            column.copy_rows(&latest, &Picked::Run(1..6)).expect("they are numbers");
            column.copy_rows(&latest, &Picked::Each(&[4, 0])).expect("they are numbers");
            let all = expected[1..].iter().chain([&expected[4], &expected[0]]).copied().collect::<Int64Array>();
            assert_eq!(column.finish().expect("there are rows").as_primitive(), &all);
        }
    }

    #[test]
    fn a_column_says_which_numbers_are_missing_wherever_the_first_one_is() {
        let mut column = Column::new(8);
        let odd = |slot: usize| (slot % 2 == 1).then_some(slot as i64);
        for _ in 0..2 {
            column.numbers::<Int64Type>(&Picked::Each(&[5, 1, 3]), odd).expect("they are numbers");
            column.numbers::<Int64Type>(&Picked::Run(2..6), odd).expect("they are numbers");
            column.numbers::<Int64Type>(&Picked::Each(&[7]), odd).expect("they are numbers");
            let expected = [Some(5), Some(1), Some(3), None, Some(3), None, Some(5), Some(7)];
            assert_eq!(column.finish().expect("there are rows").as_primitive(), &Int64Array::from(expected.to_vec()));
        }
        column.numbers::<Int64Type>(&Picked::Run(1..2), odd).expect("they are numbers");
        assert_eq!(column.finish().expect("there are rows").null_count(), 0);
    }
}
