//! Which place a key has in one slice.
//!
//! A slice holds only the keys that occur in it. Where their numbers lie close together they are looked up in an array,
//! the rest in a map, so that a slice with a few of very many keys stays small.

use hashbrown::HashMap;

const NONE: u32 = u32::MAX;
/// The array has at least so many entries for each key that occurs, or is at most [`SPARSE_MIN`] long.
const ENTRIES_PER_KEY: usize = 16;
const SPARSE_MIN: usize = 256;

/// Slots of keys, in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    keys: Vec<u32>,
    dense: Vec<u32>,
    sparse: HashMap<u32, u32>,
}

impl Slots {
    /// The number of the key in each slot.
    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// The slot of each key, giving new ones to new keys.
    pub(super) fn find(&mut self, ids: &[u32], slots: &mut Vec<u32>) {
        // Twice through: the first loop has no calls in it, and mostly finds everything.
        slots.clear();
        slots.extend(ids.iter().map(|id| self.dense.get(*id as usize).copied().unwrap_or(NONE)));
        if slots.contains(&NONE) {
            for (slot, id) in slots.iter_mut().zip(ids).filter(|(slot, _)| **slot == NONE) {
                *slot = self.rare(*id);
            }
        }
    }

    /// The slot of a key that is new or not in the array.
    fn rare(&mut self, id: u32) -> u32 {
        let dense = self.dense.get(id as usize).filter(|slot| **slot != NONE);
        if let Some(slot) = dense.or_else(|| self.sparse.get(&id)) {
            return *slot;
        }
        // There are never more slots than keys, whose numbers are 32 bits.
        let slot = self.keys.len() as u32;
        self.keys.push(id);
        let needed = (id as usize + 1).next_power_of_two();
        if needed > self.dense.len() && needed <= SPARSE_MIN.max(ENTRIES_PER_KEY * self.keys.len()) {
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
        slot
    }
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
            slots.find(&[*id], &mut found);
        }
        assert!(slots.sparse.len() < 5000 && !slots.dense.is_empty());
        slots.find(&ids, &mut found);
        assert!(found.iter().copied().eq(0..5001));
        assert_eq!(slots.keys(), ids);
    }

    #[test]
    fn a_few_of_many_keys_take_little_room() {
        let mut slots = Slots::default();
        slots.find(&[3, 40_000_000, 2_000_000_000], &mut Vec::new());
        assert!(slots.dense.len() <= SPARSE_MIN);
    }
}
