//! Which slots results are read off, and in which order. A window of a million sensors is put out in pieces as large as a batch,
//! so that no column of the whole window is ever made.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use lineside_model::Result;

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

    /// A column of the number that `of` has for each slot. Mostly no slot lacks one, and then no mask is made; else `of` is called
    /// twice, so it should be cheap.
    #[inline]
    pub(super) fn numbers<T: ArrowPrimitiveType>(&self, of: impl Fn(usize) -> Option<T::Native>) -> ArrayRef {
        let mut complete = true;
        let values = self.collect::<_, Vec<_>>(|slot| {
            let value = of(slot);
            complete &= value.is_some();
            value.unwrap_or_default()
        });
        let nulls = (!complete).then(|| self.collect::<_, NullBuffer>(|slot| of(slot).is_some()));
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
    }

    /// The rows of a column that has one for every slot.
    pub(super) fn rows_of(&self, column: &dyn Array) -> Result<ArrayRef> {
        Ok(match self {
            Self::Run(slots) => column.slice(slots.start, slots.len()),
            Self::Each(slots) => take(column, &UInt32Array::from(slots.to_vec()), None)?,
        })
    }
}
