//! Numbers for strings of bytes, which lie one after another in one buffer.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use lineside_model::Result;

use super::next;

/// Numbers strings of bytes in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct Interner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// How many numbers were given.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string of a number.
    pub(super) fn get(&self, id: u32) -> &[u8] {
        bytes_of(&self.bytes, &self.ends, id)
    }

    /// The number of a string.
    pub(super) fn id(&mut self, key: &[u8]) -> Result<u32> {
        let Self { bytes, ends, table, hasher } = self;
        let hash = hasher.hash_one(key);
        if let Some(id) = table.find(hash, |id| bytes_of(bytes, ends, *id) == key) {
            return Ok(*id);
        }
        let id = next(ends.len())?;
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        table.insert_unique(hash, id, |id| hasher.hash_one(bytes_of(bytes, ends, *id)));
        Ok(id)
    }

    /// A number for what is no string.
    pub(super) fn nameless(&mut self) -> Result<u32> {
        let id = next(self.ends.len())?;
        self.ends.push(self.bytes.len());
        Ok(id)
    }
}

fn bytes_of<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = id.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start..ends[id]]
}
