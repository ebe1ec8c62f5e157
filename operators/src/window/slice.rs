//! A stretch of time in which every reading belongs to the same windows: columnar partials of all keys present in it.
//!
//! Only keys that occur take room. A key has a number in the whole operator ([`super::keys`]) and, in each slice it occurs in,
//! a slot, given in the order of first appearance.

use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::slots::Slots;
use crate::aggregate::{Partial, Rows};

/// Partials of a stretch of time.
#[derive(Debug)]
pub(super) struct Slice {
    rows: u64,
    slots: Slots,
    partials: Vec<Box<dyn Partial>>,
}

/// A slice in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SliceState {
    rows: u64,
    keys: Vec<u32>,
    partials: Vec<Vec<u8>>,
}

/// Which aggregates a merge is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Those whose merged copies are kept.
    Combinable,
    /// Those that are as large as their readings, gathered only when a window closes.
    Holistic,
}

impl Slice {
    /// Nothing yet, for the aggregates of `like`.
    pub(super) fn empty(like: &[Box<dyn Partial>]) -> Self {
        Self { rows: 0, slots: Slots::default(), partials: like.iter().map(|partial| partial.fresh()).collect() }
    }

    /// A copy of all but the holistic aggregates.
    pub(super) fn combinable(&self) -> Self {
        let copy = |partial: &dyn Partial| {
            if !partial.is_holistic() {
                return partial.copy();
            }
            let mut empty = partial.fresh();
            empty.resize(self.slots.keys().len());
            empty
        };
        Self {
            rows: self.rows,
            slots: self.slots.clone(),
            partials: self.partials.iter().map(AsRef::as_ref).map(copy).collect(),
        }
    }

    /// How many rows went in.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the key of each slot.
    pub(super) fn keys(&self) -> &[u32] {
        self.slots.keys()
    }

    /// The aggregates.
    pub(super) fn partials(&self) -> &[Box<dyn Partial>] {
        &self.partials
    }

    /// Takes rows: finds the slots of their keys and hands each aggregate its column through `rows_of(aggregate, slots)`.
    pub(super) fn update<'a>(
        &mut self,
        ids: &[u32],
        slots: &'a mut Vec<u32>,
        rows_of: impl Fn(usize, &'a [u32]) -> Rows<'a>,
    ) -> Result<()> {
        self.slots.find(ids, slots);
        self.rows += ids.len() as u64;
        let slots: &'a [u32] = slots;
        for (n, partial) in self.partials.iter_mut().enumerate() {
            partial.resize(self.slots.keys().len());
            partial.update(&rows_of(n, slots))?;
        }
        Ok(())
    }

    /// Takes `part` of the aggregates of another slice.
    pub(super) fn merge(&mut self, other: &Self, part: Part) -> Result<()> {
        let mut map = Vec::new();
        self.slots.find(other.slots.keys(), &mut map);
        if part == Part::Combinable {
            self.rows = self.rows.saturating_add(other.rows);
        }
        for (mine, other) in self.partials.iter_mut().zip(&other.partials) {
            mine.resize(self.slots.keys().len());
            if mine.is_holistic() == (part == Part::Holistic) {
                mine.merge(other.as_ref(), &map)?;
            }
        }
        Ok(())
    }

    /// Gives every key the number `map` has for it.
    pub(super) fn renumber(&mut self, map: &[u32]) {
        let keys = self.slots.keys().iter().map(|id| map[*id as usize]).collect::<Vec<_>>();
        self.slots = Slots::default();
        self.slots.find(&keys, &mut Vec::new());
    }

    /// For a snapshot.
    pub(super) fn save(&self) -> Result<SliceState> {
        let partials = self.partials.iter().map(|partial| partial.save()).collect::<Result<_>>()?;
        Ok(SliceState { rows: self.rows, keys: self.slots.keys().to_vec(), partials })
    }

    /// From a snapshot, for the aggregates of `like` and `keys` keys.
    pub(super) fn load(state: &SliceState, like: &[Box<dyn Partial>], keys: usize) -> Result<Self> {
        let mut slice = Self::empty(like);
        slice.rows = state.rows;
        slice.slots.find(&state.keys, &mut Vec::new());
        let sound = state.keys.iter().all(|key| (*key as usize) < keys)
            && slice.slots.keys().len() == state.keys.len()
            && state.partials.len() == like.len();
        if !sound {
            return Err(Error::data("saved state of a window is damaged: its keys do not fit"));
        }
        for (partial, bytes) in slice.partials.iter_mut().zip(&state.partials) {
            partial.load(bytes, state.keys.len())?;
        }
        Ok(slice)
    }
}
