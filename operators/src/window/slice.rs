//! A stretch of time in which every reading belongs to the same windows: columnar partials of all keys present in it.
//!
//! A key has a number in the whole operator ([`super::keys`]) and, in each slice it occurs in, a slot ([`super::slots`]).

use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::ranked::Ranked;
pub(super) use super::slots::Renumbered;
use super::slots::{NONE, Rising, Slots};
use crate::aggregate::{Partial, Rows};

/// Used slices have at most one slot for so many entries in open ones.
const USED_PART: usize = 8;

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
    pub(super) rows: u64,
    /// The key of each slot.
    pub(super) keys: Vec<u32>,
    pub(super) partials: Vec<Vec<u8>>,
}

/// Slices that are not needed any more, for their room: one, and more where they are small beside those that are open.
#[derive(Debug, Default)]
pub(super) struct Used {
    slices: Vec<Slice>,
    slots: usize,
}

impl Used {
    /// Adds a slice. `entries` is how many keys there are in all open slices.
    pub(super) fn put(&mut self, slice: Slice, entries: usize) {
        self.slots += slice.slots.keys().len();
        self.slices.push(slice);
        while self.slices.len() > 1 && self.slots > entries / USED_PART {
            self.take();
        }
    }

    /// The one that was added last.
    pub(super) fn take(&mut self) -> Option<Slice> {
        let slice = self.slices.pop()?;
        self.slots -= slice.slots.keys().len();
        Some(slice)
    }
}

/// What a window has to say: its keys in rising order, and what their results are read off.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    pub(super) rising: Rising<'a>,
    pub(super) partials: &'a [Box<dyn Partial>],
    /// The results of some partials that are not read off them.
    pub(super) ranked: Option<&'a Ranked>,
    /// What is different in the window before, if that is little and known.
    pub(super) step: Option<Step<'a>>,
}

/// From one window to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The number of the window. The one before has the number before.
    pub(super) number: u64,
    /// How many slots there are,
    pub(super) slots: usize,
    /// and which of them are not what they were. Some may be here twice.
    pub(super) changed: &'a [u32],
}

/// Which aggregates a merge is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Those whose merged copies are kept.
    Combinable,
    /// Those too that are as large as their readings.
    Whole,
}

impl Part {
    /// Whether it is about this aggregate.
    pub(super) fn has(self, partial: &dyn Partial) -> bool {
        match self {
            Self::Combinable => !partial.is_holistic(),
            Self::Whole => true,
        }
    }
}

impl Slice {
    /// Nothing yet, for the aggregates of `like`.
    pub(super) fn empty(like: &[Box<dyn Partial>]) -> Self {
        Self { rows: 0, slots: Slots::default(), partials: like.iter().map(|partial| partial.fresh()).collect() }
    }

    /// Nothing yet, in a stretch of time like that of `before`: `known` is how many keys there are. It takes the room of a slice that
    /// is `used` up, if that is not far too much: the memory of a million keys is dear to ask for anew.
    pub(super) fn after(before: Option<&Self>, known: usize, used: Option<Self>, like: &[Box<dyn Partial>]) -> Self {
        let slots = Slots::new(before.map(Self::live), known);
        match used.filter(|used| slots.fits(used.slots.keys().len(), known)) {
            Some(used) => Self {
                rows: 0,
                slots: slots.in_room_of(used.slots),
                partials: used.partials.into_iter().map(|partial| partial.emptied()).collect(),
            },
            None => Self { slots, ..Self::empty(like) },
        }
    }

    /// Nothing yet, for these slices to be merged into.
    pub(super) fn expecting(live: usize, like: &[Box<dyn Partial>]) -> Self {
        Self { slots: Slots::expecting(live), ..Self::empty(like) }
    }

    /// Forgets all but the `wanted` aggregates.
    pub(super) fn keep(&mut self, wanted: &[bool]) {
        for (n, _) in wanted.iter().enumerate().filter(|(_, wanted)| !**wanted) {
            self.partials[n] = self.cleared(self.partials[n].as_ref());
        }
    }

    fn cleared(&self, partial: &dyn Partial) -> Box<dyn Partial> {
        let mut empty = partial.fresh();
        empty.resize(self.slots.keys().len());
        empty
    }

    /// How many rows went in.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many keys occur.
    pub(super) fn live(&self) -> usize {
        self.slots.live()
    }

    /// The numbers of the keys that occur.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        self.slots.keys().iter().copied().filter(|key| *key != NONE)
    }

    /// The places of its keys.
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// What is known of each aggregate.
    pub(super) fn partials(&self) -> &[Box<dyn Partial>] {
        &self.partials
    }

    /// All of it, as a window puts it out.
    pub(super) fn whole(&self) -> Whole<'_> {
        Whole { rising: self.slots.rising(), partials: &self.partials, ranked: None, step: None }
    }

    /// Takes rows: finds the slots of their keys and hands each aggregate its column through `rows_of(aggregate, slots)`.
    /// `known` is how many keys there are.
    pub(super) fn update<'a>(
        &mut self,
        ids: &'a [u32],
        known: usize,
        slots: &'a mut Vec<u32>,
        rows_of: impl Fn(usize, &'a [u32]) -> Rows<'a>,
    ) -> Result<()> {
        let slots = self.slots.find(ids, known, slots);
        self.rows += ids.len() as u64;
        for (n, partial) in self.partials.iter_mut().enumerate() {
            partial.resize(self.slots.keys().len());
            partial.update(&rows_of(n, slots))?;
        }
        Ok(())
    }

    /// Takes `part` of the `wanted` aggregates of another slice.
    pub(super) fn merge(&mut self, other: &Self, part: Part, wanted: &[bool]) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        let mut map = Vec::new();
        let Some(map) = self.slots.find_all(&other.slots, &mut map) else { return Ok(()) };
        for ((mine, other), wanted) in self.partials.iter_mut().zip(&other.partials).zip(wanted) {
            mine.resize(self.slots.keys().len());
            if *wanted && part.has(mine.as_ref()) {
                mine.merge(other.as_ref(), map)?;
            }
        }
        Ok(())
    }

    /// Takes a slice of the same stretch of time that was filled elsewhere, where keys had other numbers.
    pub(super) fn gather(&mut self, other: &Self, numbers: Renumbered<'_>) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        let Some(map) = self.slots.find_renumbered(&other.slots, numbers) else { return Ok(()) };
        for (mine, other) in self.partials.iter_mut().zip(&other.partials) {
            mine.resize(self.slots.keys().len());
            mine.merge(other.as_ref(), &map)?;
        }
        Ok(())
    }

    /// Takes the `wanted` aggregates of a slice right behind, to be one slice with it from now on.
    pub(super) fn absorb(&mut self, other: &Self, wanted: &[bool]) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        let mut map = Vec::new();
        let Some(map) = self.slots.find_all(&other.slots, &mut map) else { return Ok(()) };
        for ((mine, other), wanted) in self.partials.iter_mut().zip(&other.partials).zip(wanted) {
            mine.resize(self.slots.keys().len());
            if *wanted {
                mine.absorb(other.as_ref(), map)?;
            }
        }
        Ok(())
    }

    /// Gives every key the number `map` has for it.
    pub(super) fn renumber(&mut self, map: &[u32]) {
        self.slots.renumber(map);
    }

    /// For a snapshot.
    pub(super) fn save(&self) -> Result<SliceState> {
        let partials = self.partials.iter().map(|partial| partial.save()).collect::<Result<_>>()?;
        Ok(SliceState { rows: self.rows, keys: self.slots.keys().to_vec(), partials })
    }

    /// From a snapshot, for the aggregates of `like` and `keys` keys.
    pub(super) fn load(state: &SliceState, like: &[Box<dyn Partial>], keys: usize) -> Result<Self> {
        let slots = Slots::of(state.keys.clone());
        let known = state.keys.iter().all(|key| *key == NONE || (*key as usize) < keys);
        let (Some(slots), true, true) = (slots, known, state.partials.len() == like.len()) else {
            return Err(Error::data("saved state of a window is damaged: its keys do not fit"));
        };
        let mut slice = Self { rows: state.rows, slots, ..Self::empty(like) };
        for (partial, bytes) in slice.partials.iter_mut().zip(&state.partials) {
            partial.load(bytes, state.keys.len())?;
        }
        Ok(slice)
    }
}
