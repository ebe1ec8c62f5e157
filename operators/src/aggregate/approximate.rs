//! The approximate percentile: of each slot a digest of bounded size ([`super::tdigest`]) instead of every value.
//!
//! Ask for it where windows are long and memory is short. It is exact for up to 200 values, and beyond them about half a percent
//! of the ranks off in the middle, less at the ends. Values that are not finite are left out.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::Float64Type;
use lineside_model::Result;

use super::tdigest::{Digest, Room};
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// Digests per slot.
#[derive(Debug)]
pub(super) struct ApproxPercentile {
    fraction: f64,
    digests: Vec<Digest>,
    /// Room for the values of further slots, that of the next one last.
    room: Vec<Digest>,
}

impl ApproxPercentile {
    /// The percentile at a fraction from 0 to 1.
    pub(super) fn at(fraction: f64) -> Self {
        Self { fraction, digests: Vec::new(), room: Vec::new() }
    }
}

impl Partial for ApproxPercentile {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::at(self.fraction))
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.digests.iter_mut().for_each(Digest::clear);
        self.digests.reverse();
        Box::new(Self { fraction: self.fraction, digests: Vec::new(), room: self.digests })
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(Self { digests: self.digests.clone(), ..Self::at(self.fraction) })
    }

    fn resize(&mut self, slots: usize) {
        self.digests.resize_with(slots, || self.room.pop().unwrap_or_default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let digests = self.digests.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| digests[slot].add(value));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (digest, slot) in same::<Self>(other)?.digests.iter().zip(map) {
            self.digests[*slot as usize].merge(digest);
        }
        Ok(())
    }

    fn together(
        mut self: Box<Self>,
        one: &dyn Partial,
        next: &dyn Partial,
        same_slots: &[u32],
    ) -> Result<Box<dyn Partial>> {
        self.digests.resize_with(same_slots.len(), Digest::default);
        self.together_again(one, next, same_slots)?;
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        let (one, next) = (&same::<Self>(one)?.digests, &same::<Self>(next)?.digests);
        for slot in changed {
            let slot = *slot as usize;
            self.digests[slot].become_both(&one[slot], &next[slot]);
        }
        Ok(true)
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.digests)?;
            into.merge(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let digests = take_entries(&mut self.digests, slots, &Digest::default());
        Box::new(Self { digests, ..Self::at(self.fraction) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let mut room = Room::default();
        let at = |slot: usize| self.digests[slot].at(self.fraction, &mut room);
        column.piece(Arc::new(picked.collect::<_, Float64Array>(at)))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.digests)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.digests = from_bytes(bytes)?;
        check_slots([self.digests.len()], slots)
    }
}
