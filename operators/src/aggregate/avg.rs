//! The arithmetic mean of the values: their sum by their number.

use lineside_model::Result;

use super::sum::FloatSum;
use super::{Column, Pair, Partial, Picked, Rows, same};

/// Means per slot, kept as sums and counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Avg {
    sums: FloatSum,
}

impl Partial for Avg {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.sums.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.sums.update(rows)
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        self.sums.merge(&same::<Self>(other)?.sums, map)
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        self.sums.join(&same::<Self>(one)?.sums, &same::<Self>(next)?.sums);
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        self.sums.join_again(&same::<Self>(one)?.sums, &same::<Self>(next)?.sums, changed);
        Ok(true)
    }

    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        Ok(Box::new(Self { sums: self.sums.precede(&same::<Self>(other)?.sums, map) }))
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        self.sums.restore(&same::<Self>(taken)?.sums, slots);
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        self.sums.fold(pairs)
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { sums: self.sums.part(slots) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let (sums, counts) = self.sums.parts();
        column.means(picked, |slot| (sums[slot], counts[slot]))
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.sums.save()
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.sums.load(bytes, slots)
    }
}
