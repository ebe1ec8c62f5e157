//! At most so many keys at a time: the rows of more are refused, and counted by who asks, so that a plant that sends ever new names
//! cannot take all memory.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use lineside_model::Result;

use super::{Keys, numbered};

/// Refused keys are remembered until there are so many of them, for each 8 keys one more.
const REFUSED_SPARE: usize = 1024;

/// The numbers of the keys of rows, all below `max`, put into `ids`; the rows that have such a number, and how many have none. `at`
/// are the key columns, of these types. Numbers that were given stay.
pub(crate) fn number_rows(
    keys: &mut Box<dyn Keys>,
    (at, types): (&[usize], &[DataType]),
    mut rows: RecordBatch,
    max: usize,
    ids: &mut Vec<u32>,
) -> Result<(RecordBatch, usize)> {
    ids.clear();
    let columns = at.iter().map(|column| ArrayRef::clone(rows.column(*column))).collect::<Vec<_>>();
    keys.intern(&columns, rows.num_rows(), ids)?;
    if keys.len() <= max {
        return Ok((rows, 0));
    }
    let is_known = |id: &u32| (*id as usize) < max;
    let known = ids.iter().map(is_known).collect::<Vec<_>>();
    let refused = known.iter().filter(|known| !**known).count();
    if refused > 0 {
        rows = filter_record_batch(&rows, &BooleanArray::from(known))?;
        ids.retain(is_known);
    }
    if keys.len() > max + max / 8 + REFUSED_SPARE {
        let kept = (0u32..).take(max).collect::<Vec<_>>();
        *keys = numbered(types, &keys.columns(&kept)?, max)?;
    }
    Ok((rows, refused))
}

/// Whether there are so many keys that it is time to look for some that are not needed any more, before rows are refused.
pub(crate) fn is_near(known: usize, max: usize) -> bool {
    known > max - max / 4
}

/// Whether forgetting all keys but the `live` ones is worth giving those new numbers: each key that comes pays for a few of them.
pub(crate) fn pays(live: usize, known: usize) -> bool {
    live < known - known / 8
}
