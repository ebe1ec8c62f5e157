//! How many rows, or how many values that are not null.

use arrow::datatypes::Int64Type;
use lineside_model::Result;

use super::{
    Column, Pair, Partial, Picked, Rows, check_slots, fill_again, fill_together, from_bytes, put_back_entries,
    put_before_entries, same, take_entries, to_bytes,
};

/// Counts per slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Partial for Count {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.counts.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let counts = self.counts.as_mut_slice();
        match rows.column.filter(|column| column.null_count() > 0) {
            None => rows.slots.iter().for_each(|slot| counts[*slot as usize] += 1),
            Some(column) => rows.each_row(column, |slot, _, _| counts[slot] += 1),
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (count, slot) in same::<Self>(other)?.counts.iter().zip(map) {
            self.counts[*slot as usize] += count;
        }
        Ok(())
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        fill_together(&mut self.counts, &one.counts, &next.counts, |one, next| one + next);
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        fill_again(&mut self.counts, &one.counts, &next.counts, changed, |one, next| one + next);
        Ok(true)
    }

    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        let other = same::<Self>(other)?;
        Ok(Box::new(Self { counts: put_before_entries(&mut self.counts, &other.counts, map, |one, next| one + next) }))
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        put_back_entries(&mut self.counts, &same::<Self>(taken)?.counts, slots);
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.counts)?;
            *into += from;
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { counts: take_entries(&mut self.counts, slots, &0) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        column.numbers::<Int64Type>(picked, |slot| Some(self.counts[slot]))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.counts)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.counts = from_bytes(bytes)?;
        check_slots([self.counts.len()], slots)
    }
}
