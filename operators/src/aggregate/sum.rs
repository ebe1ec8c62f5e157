//! The sum of the values.
//!
//! Integers are summed in 128 bits, which no number of rows overflows; a sum that does not fit the result type is null
//! rather than a wrong number. Floats are added one by one in the order of arrival within a slice, so that the result does
//! not depend on how the input is cut into batches.

use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use lineside_model::Result;

use super::{
    Column, Pair, Partial, Picked, Rows, check_slots, fill_again, fill_together, from_bytes, put_back_entries,
    put_before_entries, same, stay, take_entries, to_bytes,
};

/// Sums of floats per slot, and how many values each has.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatSum {
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl FloatSum {
    /// Sums and counts, slot by slot.
    pub(super) fn parts(&self) -> (&[f64], &[u64]) {
        (&self.sums, &self.counts)
    }

    /// Forgets all slots and keeps their room.
    pub(super) fn clear(&mut self) {
        self.sums.clear();
        self.counts.clear();
    }

    /// Puts two together, see [`Partial::together`].
    pub(super) fn join(&mut self, one: &Self, next: &Self) {
        fill_together(&mut self.sums, &one.sums, &next.sums, |one, next| one + next);
        fill_together(&mut self.counts, &one.counts, &next.counts, |one, next| one + next);
    }

    /// The same for some slots, see [`Partial::together_again`].
    pub(super) fn join_again(&mut self, one: &Self, next: &Self, changed: &[u32]) {
        fill_again(&mut self.sums, &one.sums, &next.sums, changed, |one, next| one + next);
        fill_again(&mut self.counts, &one.counts, &next.counts, changed, |one, next| one + next);
    }

    /// Takes slots before its own, see [`Partial::put_before`].
    pub(super) fn precede(&mut self, other: &Self, map: &[u32]) -> Self {
        Self {
            sums: put_before_entries(&mut self.sums, &other.sums, map, |one, next| one + next),
            counts: put_before_entries(&mut self.counts, &other.counts, map, |one, next| one + next),
        }
    }

    /// Puts slots back, see [`Partial::put_back`].
    pub(super) fn restore(&mut self, taken: &Self, slots: &[u32]) {
        put_back_entries(&mut self.sums, &taken.sums, slots);
        put_back_entries(&mut self.counts, &taken.counts, slots);
    }

    /// Moves slots out, see [`Partial::take`].
    pub(super) fn part(&mut self, slots: &[u32]) -> Self {
        Self { sums: take_entries(&mut self.sums, slots, &0.0), counts: take_entries(&mut self.counts, slots, &0) }
    }
}

impl Partial for FloatSum {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots, 0.0);
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (sums, counts) = (self.sums.as_mut_slice(), self.counts.as_mut_slice());
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| {
            sums[slot] += value;
            counts[slot] += 1;
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        let (sums, counts) = same::<Self>(other)?.parts();
        if stay(map) {
            self.sums.iter_mut().zip(sums).zip(map).for_each(|((mine, sum), _)| *mine += sum);
            self.counts.iter_mut().zip(counts).zip(map).for_each(|((mine, count), _)| *mine += count);
            return Ok(());
        }
        let (my_sums, my_counts) = (self.sums.as_mut_slice(), self.counts.as_mut_slice());
        for ((sum, count), slot) in sums.iter().zip(counts).zip(map) {
            my_sums[*slot as usize] += sum;
            my_counts[*slot as usize] += count;
        }
        Ok(())
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        self.join(same::<Self>(one)?, same::<Self>(next)?);
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        self.join_again(same::<Self>(one)?, same::<Self>(next)?, changed);
        Ok(true)
    }

    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        Ok(Box::new(self.precede(same::<Self>(other)?, map)))
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        self.restore(same::<Self>(taken)?, slots);
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (sum, into) = pair.of(&mut self.sums)?;
            *into += sum;
            let (count, into) = pair.of(&mut self.counts)?;
            *into += count;
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(self.part(slots))
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let (sums, counts) = self.parts();
        column.numbers::<Float64Type>(picked, |slot| (counts[slot] > 0).then_some(sums[slot]))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&(&self.sums, &self.counts))
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        (self.sums, self.counts) = from_bytes(bytes)?;
        check_slots([self.sums.len(), self.counts.len()], slots)
    }
}

/// Sums of integers per slot; null until there is a value.
#[derive(Clone, Debug)]
pub(super) struct IntegerSum {
    signed: bool,
    sums: Vec<i128>,
    present: Vec<bool>,
}

impl IntegerSum {
    /// Of signed integers.
    pub(super) fn signed() -> Self {
        Self { signed: true, sums: Vec::new(), present: Vec::new() }
    }

    /// Of unsigned integers.
    pub(super) fn unsigned() -> Self {
        Self { signed: false, ..Self::signed() }
    }
}

impl Partial for IntegerSum {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self { signed: self.signed, ..Self::signed() })
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots, 0);
        self.present.resize(slots, false);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (sums, present) = (self.sums.as_mut_slice(), self.present.as_mut_slice());
        let mut add = |slot: usize, value: i128| {
            sums[slot] += value;
            present[slot] = true;
        };
        if self.signed {
            rows.each(rows.numbers::<Int64Type>()?, |slot, _, value| add(slot, value.into()));
        } else {
            rows.each(rows.numbers::<UInt64Type>()?, |slot, _, value| add(slot, value.into()));
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        let other = same::<Self>(other)?;
        for ((sum, present), slot) in other.sums.iter().zip(&other.present).zip(map) {
            // A damaged snapshot may hold any sum, so this one addition must not overflow.
            let mine = &mut self.sums[*slot as usize];
            *mine = mine.saturating_add(*sum);
            self.present[*slot as usize] |= present;
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (sum, into) = pair.of(&mut self.sums)?;
            *into = into.saturating_add(*sum);
            let (present, into) = pair.of(&mut self.present)?;
            *into |= present;
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self {
            signed: self.signed,
            sums: take_entries(&mut self.sums, slots, &0),
            present: take_entries(&mut self.present, slots, &false),
        })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let sum = |slot: usize| self.present[slot].then(|| self.sums[slot]);
        if self.signed {
            column.numbers::<Int64Type>(picked, |slot| sum(slot).and_then(|sum| i64::try_from(sum).ok()))
        } else {
            column.numbers::<UInt64Type>(picked, |slot| sum(slot).and_then(|sum| u64::try_from(sum).ok()))
        }
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&(&self.sums, &self.present))
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        (self.sums, self.present) = from_bytes(bytes)?;
        check_slots([self.sums.len(), self.present.len()], slots)
    }
}
