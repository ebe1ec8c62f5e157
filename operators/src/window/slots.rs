//! Which place a key has in one slice.
//!
//! Mostly all keys occur in every slice: sensors that report each second. Then the place of a key is its number, and nothing is
//! looked up. A slice in which few of many keys occur holds only those: their places are given in the order of appearance and
//! looked up, in an array where their numbers lie close together, else in a map, so that such a slice stays small.

use std::borrow::Cow;
use std::ops::Range;

use hashbrown::HashMap;

use super::keys::follow;
use crate::aggregate::Picked;

/// The key of a slot that has none, the slot of a key that has none.
pub(super) const NONE: u32 = u32::MAX;
/// The array has at most so many entries for each key that occurs or is expected, or is at most [`SPARSE_MIN`] long.
const ENTRIES_PER_KEY: usize = 16;
const SPARSE_MIN: usize = 256;
/// A slice of keys that are their own slots has at most so many slots for each key that occurs, beyond [`DIRECT_MIN`].
const SLOTS_PER_KEY: usize = 4;
const DIRECT_MIN: usize = 64;
/// So many slots are noted at a time where numbers follow one another.
const IDS_AT_ONCE: usize = 64;

/// Slots of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// The key of each slot, [`NONE`] where there is none.
    keys: Vec<u32>,
    /// How many slots have a key.
    live: usize,
    /// Whether every key is its own slot.
    direct: bool,
    /// How many keys are expected to occur.
    expected: usize,
    dense: Vec<u32>,
    sparse: HashMap<u32, u32>,
    /// The numbers of slots, see [`Slots::same`].
    same: Vec<u32>,
}

/// The numbers that keys have here which had others elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renumbered<'a> {
    /// The number of each, by the other one.
    pub(super) map: &'a [u32],
    /// How many keys there are here.
    pub(super) known: usize,
}

impl Slots {
    /// No slots yet. So many of `known` keys are expected to occur; `None` if nothing is known of that.
    pub(super) fn new(expected: Option<usize>, known: usize) -> Self {
        let direct = expected.is_none_or(|expected| many(expected, known));
        Self { direct, expected: expected.unwrap_or_default(), ..Self::default() }
    }

    /// The same, in the room that `used` ones have taken.
    pub(super) fn in_room_of(self, used: Self) -> Self {
        let Self { mut keys, mut dense, mut sparse, .. } = used;
        keys.clear();
        dense.clear();
        sparse.clear();
        Self { keys, dense, sparse, ..self }
    }

    /// Whether so many slots are about as many as there will be.
    pub(super) fn fits(&self, slots: usize, known: usize) -> bool {
        slots <= SLOTS_PER_KEY * DIRECT_MIN.max(if self.direct { known } else { self.expected })
    }

    /// No slots yet, where merged slices have at least so many keys.
    pub(super) fn expecting(expected: usize) -> Self {
        Self { direct: true, expected, ..Self::default() }
    }

    /// Slots as they were saved; `None` if a key has two.
    pub(super) fn of(keys: Vec<u32>) -> Option<Self> {
        let mut slots = Self { keys, ..Self::default() };
        slots.index();
        let distinct = slots.dense.iter().filter(|slot| **slot != NONE).count() + slots.sparse.len();
        (distinct == slots.live).then_some(slots)
    }

    /// The number of the key in each slot, [`NONE`] where there is none.
    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// How many slots have a key.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The slot of each key, giving new ones to new keys. `known` is how many keys there are, each less than that.
    pub(super) fn find<'a>(&mut self, ids: &'a [u32], known: usize, slots: &'a mut Vec<u32>) -> &'a [u32] {
        if self.direct && known > self.keys.len() && !many(self.live.max(ids.len()).max(self.expected), known) {
            self.direct = false;
            self.index();
        }
        if self.direct {
            self.claim(ids, known);
            return ids;
        }
        // Twice through: the first loop has no calls in it, and mostly finds everything.
        slots.clear();
        slots.extend(ids.iter().map(|id| self.dense.get(*id as usize).copied().unwrap_or(NONE)));
        if slots.contains(&NONE) {
            for (slot, id) in slots.iter_mut().zip(ids).filter(|(slot, _)| **slot == NONE) {
                // Where slices are short, most keys are new in each.
                *slot = match self.dense.get_mut(*id as usize) {
                    Some(place) if *place == NONE => {
                        *place = self.keys.len() as u32;
                        self.keys.push(*id);
                        self.live += 1;
                        *place
                    }
                    Some(place) => *place,
                    None => self.rare(*id),
                };
            }
        }
        slots
    }

    /// Whether every key is its own slot.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// For each slot itself: where slots go that are the same ones.
    pub(super) fn same(&mut self) -> &[u32] {
        self.same.extend(self.same.len() as u32..self.keys.len() as u32);
        &self.same
    }

    /// Puts into `map` for each slot of another slice the slot of the same key; where it has none, any. `None` if it has none at all.
    pub(super) fn find_all<'a>(&mut self, other: &Self, map: &'a mut Vec<u32>) -> Option<&'a [u32]> {
        // Without a branch: what is no key would be the greatest, and is the least when one is added.
        let known = other.keys.iter().fold(0, |known, key| known.max(key.wrapping_add(1))) as usize;
        if known == 0 {
            return None;
        }
        map.clear();
        if other.live == other.keys.len() {
            self.find(&other.keys, known, map);
            if self.direct {
                map.extend_from_slice(&other.keys);
            }
            return Some(map);
        }
        let mut slots = Vec::new();
        let live = other.keys.iter().copied().filter(|key| *key != NONE);
        let live = live.collect::<Vec<_>>();
        let mut found = self.find(&live, known, &mut slots).iter().copied();
        map.extend(other.keys.iter().map(|key| if *key == NONE { 0 } else { found.next().unwrap_or(0) }));
        Some(map)
    }

    /// The same for slots of keys that had other numbers.
    pub(super) fn find_renumbered(&mut self, other: &Self, numbers: Renumbered<'_>) -> Option<Vec<u32>> {
        let Renumbered { map, known } = numbers;
        let live = other.keys.iter().filter(|key| **key != NONE).map(|key| map[*key as usize]).collect::<Vec<_>>();
        if live.is_empty() {
            return None;
        }
        let mut slots = Vec::new();
        let mut found = self.find(&live, known, &mut slots).iter().copied();
        Some(other.keys.iter().map(|key| if *key == NONE { 0 } else { found.next().unwrap_or(0) }).collect())
    }

    /// The keys that occur, rising.
    pub(super) fn rising(&self) -> Rising<'_> {
        if self.live == self.keys.len() && self.keys.is_sorted() {
            return Rising::first(&self.keys);
        }
        let live = (0u32..).zip(&self.keys).filter(|(_, key)| **key != NONE).map(|(slot, _)| slot);
        if self.direct {
            return Rising::of_keys(live.collect());
        }
        let mut slots = live.collect::<Vec<_>>();
        let key = |slot: &u32| self.keys[*slot as usize];
        slots.sort_unstable_by_key(key);
        Rising { keys: slots.iter().map(key).collect(), slots: Places::These(Cow::Owned(slots)) }
    }

    /// Gives every key the number `map` has for it.
    pub(super) fn renumber(&mut self, map: &[u32]) {
        let key = |key: &u32| if *key == NONE { NONE } else { map[*key as usize] };
        *self = Self { keys: self.keys.iter().map(key).collect(), ..Self::default() };
        self.index();
    }

    /// Notes which keys occur that are their own slots. Once all do there is nothing to note.
    fn claim(&mut self, ids: &[u32], known: usize) {
        if known > self.keys.len() {
            self.keys.resize(known, NONE);
        }
        if self.live == self.keys.len() {
            return;
        }
        // Devices polled one after the other have numbers that follow one another: then it takes no step for each row.
        let mut some = ids.chunks_exact(IDS_AT_ONCE);
        for ids in &mut some {
            let first = ids[0] as usize;
            match self.keys.get_mut(first..first + IDS_AT_ONCE).filter(|_| follow(ids)) {
                Some(slots) => {
                    self.live += slots.iter().filter(|slot| **slot == NONE).count();
                    slots.copy_from_slice(ids);
                }
                None => self.claim_each(ids),
            }
        }
        self.claim_each(some.remainder());
    }

    fn claim_each(&mut self, ids: &[u32]) {
        for id in ids {
            let slot = &mut self.keys[*id as usize];
            self.live += usize::from(*slot == NONE);
            *slot = *id;
        }
    }

    /// Looks up slots from the keys they have.
    fn index(&mut self) {
        self.live = 0;
        let keys = std::mem::take(&mut self.keys);
        for (slot, key) in (0u32..).zip(&keys).filter(|(_, key)| **key != NONE) {
            self.enter(*key, slot);
        }
        self.keys = keys;
    }

    /// The slot of a key that is not in the array.
    fn rare(&mut self, id: u32) -> u32 {
        if let Some(slot) = self.sparse.get(&id) {
            return *slot;
        }
        // There are never more slots than keys, whose numbers are 32 bits.
        let slot = self.keys.len() as u32;
        self.keys.push(id);
        self.enter(id, slot);
        slot
    }

    fn enter(&mut self, id: u32, slot: u32) {
        self.live += 1;
        let needed = (id as usize + 1).next_power_of_two();
        if needed > self.dense.len() && needed <= SPARSE_MIN.max(ENTRIES_PER_KEY * self.live.max(self.expected)) {
            self.dense.resize(needed, NONE);
            let dense = &mut self.dense;
            self.sparse.retain(|id, slot| match dense.get_mut(*id as usize) {
                Some(place) => {
                    *place = *slot;
                    false
                }
                None => true,
            });
        }
        match self.dense.get_mut(id as usize) {
            Some(place) => *place = slot,
            None => drop(self.sparse.insert(id, slot)),
        }
    }
}

/// Keys in rising order and where they are: the order in which a window puts them out.
#[derive(Debug)]
pub(super) struct Rising<'a> {
    keys: Cow<'a, [u32]>,
    slots: Places<'a>,
}

/// The slots of keys.
#[derive(Debug)]
enum Places<'a> {
    /// The first key is in slot 0, the next in slot 1.
    InOrder,
    /// Every key is its own slot.
    OfKeys,
    /// These, one for each key.
    These(Cow<'a, [u32]>),
}

impl<'a> Rising<'a> {
    /// These keys in these slots.
    pub(super) fn of(keys: &'a [u32], slots: &'a [u32]) -> Self {
        Self { keys: Cow::Borrowed(keys), slots: Places::These(Cow::Borrowed(slots)) }
    }

    /// These keys, in slots that follow one another from 0 on.
    pub(super) fn first(keys: &'a [u32]) -> Self {
        Self { keys: Cow::Borrowed(keys), slots: Places::InOrder }
    }

    /// These keys, each of which is its own slot.
    pub(super) fn of_keys(keys: Vec<u32>) -> Self {
        Self { keys: Cow::Owned(keys), slots: Places::OfKeys }
    }

    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Some of the keys.
    pub(super) fn keys(&self, some: Range<usize>) -> &[u32] {
        &self.keys[some]
    }

    /// The slots of these keys.
    pub(super) fn picked(&self, some: Range<usize>) -> Picked<'_> {
        match &self.slots {
            Places::InOrder => Picked::Run(some),
            Places::OfKeys => Picked::Each(&self.keys[some]),
            Places::These(slots) => Picked::Each(&slots[some]),
        }
    }

    /// Only the keys that are wanted, by key and slot.
    pub(super) fn only(&self, wanted: impl Fn(u32, u32) -> bool) -> Rising<'static> {
        let slot = |n: usize| match &self.slots {
            Places::InOrder => n as u32,
            Places::OfKeys => self.keys[n],
            Places::These(slots) => slots[n],
        };
        let all = self.keys.iter().enumerate().map(|(n, key)| (*key, slot(n)));
        let (keys, slots) = all.filter(|(key, slot)| wanted(*key, *slot)).unzip::<_, _, Vec<_>, Vec<_>>();
        Rising { keys: Cow::Owned(keys), slots: Places::These(Cow::Owned(slots)) }
    }
}

fn many(live: usize, known: usize) -> bool {
    known <= DIRECT_MIN.max(SLOTS_PER_KEY * live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_keeps_its_slot_while_the_array_grows() {
        let mut slots = Slots::default();
        let ids = (0..5000u32).map(|n| n * 7919 % 5000).chain([1_000_000]).collect::<Vec<_>>();
        let mut found = Vec::new();
        for id in &ids {
            slots.find(&[*id], 1_000_001, &mut found);
        }
        assert!(slots.sparse.len() < 5000 && !slots.dense.is_empty());
        assert!(slots.find(&ids, 1_000_001, &mut found).iter().copied().eq(0..5001));
        assert_eq!(slots.keys(), ids);
    }

    #[test]
    fn a_few_of_many_keys_take_little_room() {
        let mut slots = Slots::new(None, 2_000_000_001);
        slots.find(&[3, 40_000_000, 2_000_000_000], 2_000_000_001, &mut Vec::new());
        assert!(slots.dense.len() <= SPARSE_MIN && slots.keys.len() == 3);
    }

    #[test]
    fn keys_that_were_their_own_slots_stay_there_when_many_more_come() {
        let mut slots = Slots::new(None, 10);
        assert_eq!(slots.find(&[7, 2, 7], 10, &mut Vec::new()), [7, 2, 7]);
        assert_eq!((slots.keys().len(), slots.live()), (10, 2));
        assert_eq!(slots.find(&[2, 90_000, 7], 100_000, &mut Vec::new()), [2, 10, 7]);
        slots.renumber(&(0..100_000).map(|key| key / 2).collect::<Vec<_>>());
        assert_eq!(slots.find(&[1, 45_000, 3], 100_000, &mut Vec::new()), [2, 10, 7]);
    }
}
