//! Memory for what is known of each slot: entries of 32 bytes, all zero as long as nothing is known.
//!
//! A million sensors take 32 MB in each slice, which is 8,000 pages that the system would hand out one by one, each when it is first
//! touched. So entries that are many lie in memory of their own, for which the system is asked to hand out pages of 2 MB. It hands
//! them out zeroed: a new entry is empty without being written. Addresses are taken for eight times as many, so that entries seldom
//! move while sensors are still coming; addresses cost nothing, and what was not touched takes no memory.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// What is known of one slot: four numbers of eight bytes each, the least byte first.
pub(super) type Entry = [[u8; 8]; 4];

/// An entry of which nothing is known.
pub(super) const EMPTY: Entry = [[0; 8]; 4];
/// More entries than these, which are 4 MB, lie in memory of their own.
const FEW: usize = 1 << 17;
/// Addresses are taken for so many times the entries there are.
const ROOM: usize = 8;

/// Entries, one for each slot.
#[derive(Debug)]
pub(super) enum Entries {
    /// As any other list.
    Few(Vec<Entry>),
    /// In memory of their own.
    Many(Mapped),
}

/// Entries in memory of their own.
#[derive(Debug)]
pub(super) struct Mapped {
    memory: MmapMut,
    len: usize,
    /// From this one on entries were never written.
    written: usize,
}

impl Entries {
    /// Makes room for slots up to `slots`; new ones are empty.
    pub(super) fn resize(&mut self, slots: usize) {
        if slots <= self.len() {
            return;
        }
        match self {
            Self::Few(entries) if slots <= entries.capacity().max(FEW) => grow(entries, slots, EMPTY),
            Self::Many(mapped) if slots <= mapped.room() => mapped.resize(slots),
            // Without memory of their own, which the system may refuse, entries are a list as others.
            _ => match Mapped::new(slots) {
                Some(mut mapped) => {
                    mapped.entries_mut()[..self.len()].copy_from_slice(self);
                    *self = Self::Many(mapped);
                }
                None => {
                    let mut entries = match std::mem::take(self) {
                        Self::Few(entries) => entries,
                        Self::Many(mapped) => mapped.entries().to_vec(),
                    };
                    grow(&mut entries, slots, EMPTY);
                    *self = Self::Few(entries);
                }
            },
        }
    }

    /// Forgets all and keeps their room.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Few(entries) => entries.clear(),
            Self::Many(mapped) => mapped.len = 0,
        }
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Clone for Entries {
    fn clone(&self) -> Self {
        let mut entries = Self::default();
        entries.resize(self.len());
        entries.copy_from_slice(self);
        entries
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        Self::Few(entries)
    }
}

impl Deref for Entries {
    type Target = [Entry];

    #[inline]
    fn deref(&self) -> &[Entry] {
        match self {
            Self::Few(entries) => entries,
            Self::Many(mapped) => mapped.entries(),
        }
    }
}

impl DerefMut for Entries {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::Few(entries) => entries,
            Self::Many(mapped) => mapped.entries_mut(),
        }
    }
}

impl Mapped {
    /// So many empty ones; `None` if the system has no memory to map.
    fn new(len: usize) -> Option<Self> {
        let memory = MmapMut::map_anon(len.checked_mul(ROOM * size_of::<Entry>())?).ok()?;
        // It is a wish: a system without large pages gives small ones.
        #[cfg(target_os = "linux")]
        drop(memory.advise(memmap2::Advice::HugePage));
        Some(Self { memory, len, written: len })
    }

    fn room(&self) -> usize {
        self.memory.len() / size_of::<Entry>()
    }

    fn resize(&mut self, len: usize) {
        let used = self.len..len.min(self.written);
        self.len = len;
        // What was there before they were cleared. Zeros are written faster than anything else.
        self.entries_mut()[used].fill(EMPTY);
        self.written = self.written.max(len);
    }

    #[inline]
    fn entries(&self) -> &[Entry] {
        &self.memory.as_chunks::<8>().0.as_chunks::<4>().0[..self.len]
    }

    #[inline]
    fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.memory.as_chunks_mut::<8>().0.as_chunks_mut::<4>().0[..self.len]
    }
}

/// Makes room for slots, with half of it to spare rather than as much again: for a hundred thousand sensors that is 1.6 MB and not 3.2.
pub(super) fn grow<T: Copy>(column: &mut Vec<T>, slots: usize, empty: T) {
    if slots > column.capacity() {
        let room = slots.max(column.capacity() + column.capacity() / 2);
        column.reserve_exact(room - column.len());
    }
    column.resize(slots, empty);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: usize) -> Entry {
        [(n as u64 + 1).to_le_bytes(); 4]
    }

    #[test]
    fn entries_stay_while_others_come_and_are_empty_when_they_come() {
        let mut entries = Entries::default();
        for slots in [3, FEW, FEW + 1, FEW + 5_000, 9 * FEW, 9 * FEW + 1] {
            let before = entries.len();
            entries.resize(slots);
            assert!(entries[..before].iter().enumerate().all(|(n, found)| *found == entry(n)), "{slots} slots");
            assert!(entries[before..].iter().all(|found| *found == EMPTY), "{slots} slots");
            entries.iter_mut().enumerate().for_each(|(n, place)| *place = entry(n));
        }
        assert!(matches!(entries, Entries::Many(_)));
        assert_eq!(*entries.clone(), *entries);
    }

    #[test]
    fn cleared_entries_are_empty_in_the_room_of_the_old_ones() {
        for many in [1_000, 2 * FEW] {
            let mut entries = Entries::default();
            for slots in [many, many / 2, many + many / 2] {
                entries.clear();
                entries.resize(slots / 3);
                entries.resize(slots);
                assert!(entries.len() == slots && entries.iter().all(|found| *found == EMPTY), "{slots} slots");
                entries.fill(entry(7));
            }
        }
    }

    #[test]
    fn an_entry_takes_at_most_48_bytes_however_slots_were_added() {
        let mut entries = Entries::default();
        for slots in (0..300_000).step_by(777) {
            entries.resize(slots);
            let bytes = match &entries {
                Entries::Few(few) => few.capacity() * size_of::<Entry>(),
                // In pages of 2 MB, as far as they were written.
                Entries::Many(mapped) => (mapped.written * size_of::<Entry>()).next_multiple_of(2 << 20),
            };
            assert!(bytes <= 48 * slots, "{bytes} bytes for {slots} slots");
        }
    }
}
