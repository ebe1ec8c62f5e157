//! Rows that wait for their turn: the watermark puts them into the order of event time before a window looks at them.
//!
//! Where a session ends or which reading is the hundredth can only be said of rows in their order. A row is handed on once the watermark has
//! passed it, since nothing earlier can come then; of equal times the one that arrived first goes first. What waits is the rows
//! of the source's allowed disorder and no more.
//!
//! Rows wait in sorted stretches, small ones merged with their neighbours, so that the cost per row stays the same whether rows
//! come one by one or by the thousand.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use lineside_model::{Error, Result};

use crate::window::assign::TIME_LIMIT;
use crate::window::keys;

/// Longer stretches than this are not merged any more.
const STRETCH_LONG: usize = 4096;

/// Rows with the number of their key, their event time and the columns that are needed of them.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) ids: Vec<u32>,
    pub(super) times: Vec<i64>,
    pub(super) columns: Vec<ArrayRef>,
}

impl Stretch {
    /// The rows in this order.
    pub(super) fn taken(&self, rows: &[u32]) -> Result<Self> {
        let indices = UInt32Array::from(rows.to_vec());
        let columns = self.columns.iter().map(|column| take(column, &indices, None));
        Ok(Self {
            ids: rows.iter().map(|row| self.ids[*row as usize]).collect(),
            times: rows.iter().map(|row| self.times[*row as usize]).collect(),
            columns: columns.collect::<std::result::Result<_, _>>()?,
        })
    }

    fn len(&self) -> usize {
        self.times.len()
    }

    /// The rows in the order of time, equal times in the order they are in.
    fn sorted(self) -> Result<Self> {
        if self.times.is_sorted() {
            return Ok(self);
        }
        let mut order = (0u32..).take(self.len()).collect::<Vec<_>>();
        order.sort_by_key(|row| self.times[*row as usize]);
        self.taken(&order)
    }

    /// Some of the rows, next to each other.
    fn part(&self, rows: Range<usize>) -> Self {
        Self {
            ids: self.ids[rows.clone()].to_vec(),
            times: self.times[rows.clone()].to_vec(),
            columns: self.columns.iter().map(|column| column.slice(rows.start, rows.len())).collect(),
        }
    }

    /// Several, one behind the other, in the order of time.
    fn joined(mut parts: Vec<Self>) -> Result<Self> {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        let width = parts.first().map_or(0, |part| part.columns.len());
        let column = |n: usize| concat(&parts.iter().map(|part| part.columns[n].as_ref()).collect::<Vec<&dyn Array>>());
        let columns = (0..width).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
        Self {
            ids: parts.iter().flat_map(|part| &part.ids).copied().collect(),
            times: parts.iter().flat_map(|part| &part.times).copied().collect(),
            columns,
        }
        .sorted()
    }
}

/// Rows that the watermark has not passed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Each in the order of time, and one behind the other in the order of arrival; and how many rows of each were handed on.
    stretches: Vec<(Stretch, usize)>,
    rows: usize,
}

impl Waiting {
    /// How many rows wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The earliest time among them.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.stretches.iter().filter_map(|(stretch, passed)| stretch.times.get(*passed)).min().copied()
    }

    /// The keys of the rows that wait.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.stretches.iter().flat_map(|(stretch, passed)| &stretch.ids[*passed..]).copied()
    }

    /// Gives every key the number `map` has for it.
    pub(super) fn renumber(&mut self, map: &[u32]) {
        self.stretches.iter_mut().flat_map(|(stretch, _)| &mut stretch.ids).for_each(|id| *id = map[*id as usize]);
    }

    /// Takes rows, in the order of arrival.
    pub(super) fn push(&mut self, rows: Stretch) -> Result<()> {
        if rows.len() == 0 {
            return Ok(());
        }
        self.rows += rows.len();
        let mut last = rows.sorted()?;
        let short =
            |(before, passed): &(Stretch, usize), last: &Stretch| before.len() - passed <= last.len().min(STRETCH_LONG);
        while let Some((before, passed)) = self.stretches.pop_if(|before| short(before, &last)) {
            last = Stretch::joined(vec![before.part(passed..before.len()), last])?;
        }
        self.stretches.push((last, 0));
        Ok(())
    }

    /// Hands on the rows before `watermark`, in the order of time.
    pub(super) fn pass(&mut self, watermark: i64) -> Result<Option<Stretch>> {
        let mut parts = Vec::new();
        for (stretch, passed) in &mut self.stretches {
            let rows = stretch.times[*passed..].partition_point(|time| *time < watermark);
            if rows > 0 {
                parts.push(stretch.part(*passed..*passed + rows));
                *passed += rows;
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        self.stretches.retain(|(stretch, passed)| stretch.len() > *passed);
        let passed = Stretch::joined(parts)?;
        self.rows -= passed.len();
        Ok(Some(passed))
    }

    /// For a snapshot.
    pub(super) fn save(&self, types: &[DataType]) -> Result<Vec<u8>> {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        let parts = self.stretches.iter().map(|(stretch, passed)| stretch.part(*passed..stretch.len()));
        let all = Stretch::joined(parts.collect())?;
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(UInt32Array::from(all.ids)), Arc::new(Int64Array::from(all.times))];
        columns.extend(all.columns);
        keys::save_columns(&columns, &saved_types(types))
    }

    /// From a snapshot, for `keys` keys.
    pub(super) fn load(bytes: &[u8], types: &[DataType], keys: usize) -> Result<Self> {
        let mut waiting = Self::default();
        if bytes.is_empty() {
            return Ok(waiting);
        }
        let mut columns = keys::load_columns(bytes, &saved_types(types))?;
        let rest = columns.split_off(2);
        let ids = columns[0].as_primitive::<UInt32Type>().values().to_vec();
        let times = columns[1].as_primitive::<Int64Type>().values().to_vec();
        if ids.iter().any(|id| *id as usize >= keys)
            || !times.iter().all(|time| (-TIME_LIMIT..=TIME_LIMIT).contains(time))
        {
            return Err(Error::data("saved state of a window is damaged: its waiting rows do not fit"));
        }
        waiting.push(Stretch { ids, times, columns: rest })?;
        Ok(waiting)
    }
}

fn saved_types(types: &[DataType]) -> Vec<DataType> {
    [DataType::UInt32, DataType::Int64].into_iter().chain(types.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stretch(rows: &[(i64, u32)]) -> Stretch {
        let column = UInt32Array::from_iter_values(rows.iter().map(|(_, id)| *id));
        Stretch {
            ids: rows.iter().map(|(_, id)| *id).collect(),
            times: rows.iter().map(|(time, _)| *time).collect(),
            columns: vec![Arc::new(column)],
        }
    }

    fn rows(stretch: &Stretch) -> Vec<(i64, u32)> {
        let column = stretch.columns[0].as_primitive::<UInt32Type>().values();
        assert_eq!(column, stretch.ids.as_slice());
        stretch.times.iter().copied().zip(stretch.ids.iter().copied()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_pass_in_the_order_of_time_and_then_of_arrival(
            times in prop::collection::vec(0..50i64, 0..80), batch in 1..20usize, watermarks in prop::collection::vec(0..60i64, 3),
        ) {
            let all = times.iter().copied().zip(0u32..).collect::<Vec<_>>();
            let mut waiting = Waiting::default();
            all.chunks(batch).for_each(|rows| waiting.push(stretch(rows)).expect("sorts"));
            prop_assert!(waiting.stretches.len() <= 8, "{} stretches", waiting.stretches.len());
            let mut found = Vec::new();
            let mut before = i64::MIN;
            for watermark in watermarks.into_iter().chain([i64::MAX]) {
                let saved = waiting.save(&[DataType::UInt32]).expect("saves");
                waiting = Waiting::load(&saved, &[DataType::UInt32], 80).expect("loads");
                let passed = waiting.pass(watermark).expect("sorts").map_or(Vec::new(), |passed| rows(&passed));
                let due = before..watermark.max(before);
                prop_assert!(passed.iter().all(|(time, _)| due.contains(time)));
                before = due.end;
                found.extend(passed);
            }
            let mut expected = all;
            expected.sort();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(waiting.rows(), 0);
        }
    }
}
