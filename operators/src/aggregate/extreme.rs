//! The least and the greatest value, of numbers, text, booleans and times.

use std::marker::PhantomData;

use arrow::datatypes::DataType;
use lineside_model::{Error, Result};

use super::values::{Float, Kept, Signed, Text, Unsigned};
use super::{
    Column, Pair, Partial, Picked, Rows, check_slots, fill_together, from_bytes, put_back_entries, same, take_entries,
    to_bytes,
};

/// The least value.
pub(super) fn least(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    extreme::<false>(values)
}

/// The greatest value.
pub(super) fn greatest(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    extreme::<true>(values)
}

fn extreme<const GREATEST: bool>(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    match values {
        Some(DataType::Int64) => Ok(Box::new(Extreme::<Signed, GREATEST>::new())),
        Some(DataType::UInt64) => Ok(Box::new(Extreme::<Unsigned, GREATEST>::new())),
        Some(DataType::Float64) => Ok(Box::new(Extreme::<Float, GREATEST>::new())),
        Some(DataType::Utf8) => Ok(Box::new(Extreme::<Text, GREATEST>::new())),
        other => Err(Error::internal(format!("min and max do not keep values as {other:?}"))),
    }
}

/// The least or greatest value per slot; of equal ones the first.
#[derive(Clone, Debug)]
struct Extreme<K: Kept, const GREATEST: bool> {
    best: Vec<K::Value>,
    present: Vec<bool>,
    kind: PhantomData<K>,
}

impl<K: Kept, const GREATEST: bool> Extreme<K, GREATEST> {
    fn new() -> Self {
        Self { best: Vec::new(), present: Vec::new(), kind: PhantomData }
    }

    /// Whether a value takes the place of the kept one.
    #[inline]
    fn beats(value: K::Seen<'_>, kept: K::Seen<'_>) -> bool {
        if GREATEST { K::before(kept, value) } else { K::before(value, kept) }
    }
}

impl<K: Kept, const GREATEST: bool> Partial for Extreme<K, GREATEST> {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.best.clear();
        self.present.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.best.resize(slots, K::Value::default());
        self.present.resize(slots, false);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (best, present) = (self.best.as_mut_slice(), self.present.as_mut_slice());
        K::each(rows, |slot, _, value| {
            // Both are worked out, and for numbers the choice is a move: which reading is the least is not to be foretold.
            if !present[slot] | Self::beats(value, K::see(&best[slot])) {
                K::keep(&mut best[slot], value);
            }
            present[slot] = true;
        })
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        let other = same::<Self>(other)?;
        for ((value, _), slot) in other.best.iter().zip(&other.present).zip(map).filter(|((_, present), _)| **present) {
            let slot = *slot as usize;
            if !self.present[slot] || Self::beats(K::see(value), K::see(&self.best[slot])) {
                self.best[slot].clone_from(value);
                self.present[slot] = true;
            }
        }
        Ok(())
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        let values = one.best.iter().zip(&one.present).zip(next.best.iter().zip(&next.present));
        self.best.clear();
        // Without a branch where values are numbers, as above.
        self.best.extend(values.map(|((best, present), (value, is_there))| {
            let taken = *is_there & (!*present | Self::beats(K::see(value), K::see(best)));
            if taken { value } else { best }.clone()
        }));
        fill_together(&mut self.present, &one.present, &next.present, |one, next| one | next);
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        for slot in changed {
            let slot = *slot as usize;
            let ((best, present), (value, is_there)) =
                ((&one.best[slot], one.present[slot]), (&next.best[slot], next.present[slot]));
            let taken = is_there & (!present | Self::beats(K::see(value), K::see(best)));
            self.best[slot].clone_from(if taken { value } else { best });
            self.present[slot] = present | is_there;
        }
        Ok(true)
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        let taken = same::<Self>(taken)?;
        put_back_entries(&mut self.best, &taken.best, slots);
        put_back_entries(&mut self.present, &taken.present, slots);
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (value, kept) = pair.of(&mut self.best)?;
            let (present, kept_present) = pair.of(&mut self.present)?;
            if *present && (!*kept_present || Self::beats(K::see(value), K::see(kept))) {
                kept.clone_from(value);
                *kept_present = true;
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self {
            best: take_entries(&mut self.best, slots, &K::Value::default()),
            present: take_entries(&mut self.present, slots, &false),
            kind: PhantomData,
        })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        K::emit(picked, |slot| self.present[slot].then(|| &self.best[slot]), column)
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&(&self.best, &self.present))
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        (self.best, self.present) = from_bytes(bytes)?;
        check_slots([self.best.len(), self.present.len()], slots)
    }
}
