//! One column that `OVER` adds: what is remembered of every key, and how a run of rows is taken.

use std::fmt::Debug;

use arrow::array::ArrayRef;
use lineside_model::{Error, Result, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Rows in the order of event time; of equal times, in the order of arrival. All rows of one time come in one run.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    /// The number of each row's key.
    pub(super) ids: &'a [u32],
    /// The event time of each row.
    pub(super) times: &'a [i64],
    /// The arguments of the function, cast to the types it reads.
    pub(super) arguments: &'a [ArrayRef],
}

impl Sorted<'_> {
    /// How many keys a column must have room for.
    pub(super) fn keys(&self) -> usize {
        self.ids.iter().max().map_or(0, |id| *id as usize + 1)
    }
}

/// One column, for all keys.
pub(super) trait Column: Send + Debug {
    /// The word and the version of its saved state.
    fn kind(&self) -> (&'static str, u32);

    /// The values of these rows.
    fn run(&mut self, rows: &Sorted<'_>) -> Result<ArrayRef>;

    /// Forgets what no row at or after `before` needs of a key, and says whether nothing is left of it.
    fn forget(&mut self, key: usize, before: Timestamp) -> bool;

    /// Keeps these keys, in this order, and no others.
    fn retain(&mut self, keys: &[u32]);

    /// All keys as bytes, for a snapshot.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes over what [`Column::save`] gave; there are so many keys at most.
    ///
    /// # Errors
    /// If the bytes are not such a column.
    fn load(&mut self, bytes: &[u8], keys: usize) -> Result<()>;
}

/// Makes a column, as often as there are workers.
pub(super) type MakeColumn = Box<dyn Fn() -> Box<dyn Column> + Send + Sync>;

/// Moves the states of these keys (in rising order) to the front and drops all others.
pub(super) fn keep<S>(states: &mut Vec<S>, keys: &[u32]) {
    let known = keys.partition_point(|key| (*key as usize) < states.len());
    for (to, from) in keys[..known].iter().enumerate() {
        states.swap(to, *from as usize);
    }
    states.truncate(known);
}

pub(super) fn to_bytes(states: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(states).map_err(|e| Error::internal("a column of OVER was not saved").caused_by(e))
}

/// Reads states, of which there may be at most one for each key.
pub(super) fn from_bytes<S: DeserializeOwned>(bytes: &[u8], keys: usize, len: impl FnOnce(&S) -> usize) -> Result<S> {
    let damaged = || Error::data("saved state of OVER is damaged");
    let states = postcard::from_bytes(bytes).map_err(|e| damaged().caused_by(e))?;
    if len(&states) > keys { Err(damaged()) } else { Ok(states) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_are_kept_move_up() {
        let mut states = vec!["a", "b", "c", "d"];
        keep(&mut states, &[1, 3, 7]);
        assert_eq!(states, ["b", "d"]);
    }
}
