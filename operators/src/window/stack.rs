//! Slices merged one before the other, such that the last can be taken out again: a merge of all, and for each slice what it changed.
//!
//! A slice of which a few keys occur among many changes only the places of those. So the stack takes as much room as the slices in it
//! and one merge, and going from one window to the next costs what changes between them, not what stays as it is.

use lineside_model::Result;

use super::slice::{Slice, SliceState};
use super::slots::{NONE, Slots};
use crate::aggregate::Partial;

/// Merged slices.
#[derive(Debug)]
pub(super) struct Stack {
    rows: u64,
    /// In how many of the slices the key of each slot occurs.
    times: Vec<u32>,
    partials: Vec<Box<dyn Partial>>,
    /// A buffer that is used again.
    map: Vec<u32>,
}

/// What putting a slice before the others changed.
#[derive(Debug)]
pub(super) struct Change {
    /// The cell of the slice.
    pub(super) cell: i64,
    rows: u64,
    /// The slots of the slice.
    slots: Vec<u32>,
    /// Whether `before` is about all slots and not just those.
    all: bool,
    /// What was in the slots, of the aggregates that are merged.
    before: Vec<Option<Box<dyn Partial>>>,
}

impl Change {
    /// The slots of which something else was known before.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    fn copy(&self) -> Self {
        let before = self.before.iter().map(|before| before.as_ref().map(|before| before.copy())).collect();
        Self { slots: self.slots.clone(), before, ..*self }
    }
}

impl Stack {
    /// Nothing merged, for the aggregates of `like`.
    pub(super) fn empty(like: &[Box<dyn Partial>]) -> Self {
        Self {
            rows: 0,
            times: Vec::new(),
            partials: like.iter().map(|partial| partial.fresh()).collect(),
            map: Vec::new(),
        }
    }

    /// A copy.
    pub(super) fn copy(&self) -> Self {
        let partials = self.partials.iter().map(|partial| partial.copy()).collect();
        Self { rows: self.rows, times: self.times.clone(), partials, map: Vec::new() }
    }

    /// What is known of each aggregate.
    pub(super) fn partials(&self) -> &[Box<dyn Partial>] {
        &self.partials
    }

    /// Whether the key of a slot occurs.
    #[inline]
    pub(super) fn has(&self, slot: usize) -> bool {
        self.times[slot] > 0
    }

    /// Whether the key of every slot occurs, here or in another stack of as many slots.
    pub(super) fn has_all_with(&self, other: &Self) -> bool {
        // To the end in any case: without a branch the loop does many slots at a time.
        self.times.iter().zip(&other.times).fold(true, |all, (one, other)| all & (one | other > 0))
    }

    /// Makes room for slots.
    pub(super) fn resize(&mut self, slots: usize) {
        if self.times.len() < slots {
            self.times.resize(slots, 0);
            self.partials.iter_mut().for_each(|partial| partial.resize(slots));
        }
    }

    /// Puts a slice behind the others; gives the slots it went into. `stacked` are the aggregates that are merged.
    pub(super) fn put_behind(&mut self, slice: &Slice, slots: &mut Slots, stacked: &[bool]) -> Result<&[u32]> {
        self.rows = self.rows.saturating_add(slice.rows());
        let (map, live) = self.places(slice, slots);
        self.count(live.as_ref().unwrap_or(&map));
        for (n, partial) in self.partials.iter_mut().enumerate().filter(|(n, _)| stacked[*n]) {
            partial.merge(slice.partials()[n].as_ref(), &map)?;
        }
        self.map = map;
        Ok(&self.map)
    }

    /// Puts the slice of a cell before the others.
    pub(super) fn put_before(
        &mut self,
        cell: i64,
        slice: &Slice,
        slots: &mut Slots,
        stacked: &[bool],
    ) -> Result<Change> {
        let rows = self.rows;
        self.rows = rows.saturating_add(slice.rows());
        self.change(cell, rows, slice, slots, |n| stacked[n], true)
    }

    /// Takes over a merge that was saved: of the slice of a cell and all that this stack has.
    pub(super) fn replace(&mut self, cell: i64, merge: &Slice, slots: &mut Slots) -> Result<Change> {
        let rows = std::mem::replace(&mut self.rows, merge.rows());
        self.change(cell, rows, merge, slots, |_| true, false)
    }

    /// Puts a slice into its slots, and with it what was there if that is `kept`.
    fn change(
        &mut self,
        cell: i64,
        rows: u64,
        slice: &Slice,
        slots: &mut Slots,
        stacked: impl Fn(usize) -> bool,
        kept: bool,
    ) -> Result<Change> {
        let (map, live) = self.places(slice, slots);
        let complete = live.is_none();
        let live = live.unwrap_or_else(|| map.clone());
        self.count(&live);
        // Where most keys occur the rest is not worth picking out.
        let all = 2 * live.len() >= self.times.len();
        let direct = slots.is_direct() && slice.slots().is_direct();
        let in_place = all && direct && slice.slots().keys().len() <= self.times.len();
        let mut before = Vec::with_capacity(self.partials.len());
        for (n, partial) in self.partials.iter_mut().enumerate() {
            if !stacked(n) {
                before.push(None);
                continue;
            }
            let from = slice.partials()[n].as_ref();
            if in_place && kept && slice.slots().keys().len() == self.times.len() {
                let now = partial.fresh().together(from, partial.as_ref(), slots.same())?;
                before.push(Some(std::mem::replace(partial, now)));
                continue;
            }
            if !all && complete && kept {
                before.push(Some(partial.put_before(from, &map)?));
                continue;
            }
            let was = if all {
                let mut now = if in_place { from.copy() } else { partial.fresh() };
                now.resize(self.times.len());
                std::mem::replace(partial, now)
            } else {
                partial.take(&live)
            };
            if !in_place {
                partial.merge(from, &map)?;
            }
            if kept {
                partial.merge(was.as_ref(), if all { slots.same() } else { &live })?;
            }
            before.push(Some(was));
        }
        self.map = map;
        Ok(Change { cell, rows, slots: live, all, before })
    }

    /// Takes the slice out that was put before the others last.
    pub(super) fn undo(&mut self, change: Change) -> Result<()> {
        self.rows = change.rows;
        change.slots.iter().for_each(|slot| self.times[*slot as usize] -= 1);
        for (partial, before) in self.partials.iter_mut().zip(change.before) {
            match before {
                None => {}
                Some(mut before) if change.all => {
                    before.resize(self.times.len());
                    *partial = before;
                }
                Some(before) => partial.put_back(before.as_ref(), &change.slots)?,
            }
        }
        Ok(())
    }

    /// The same, if the change is needed further on.
    pub(super) fn undo_copy(&mut self, change: &Change) -> Result<()> {
        self.undo(change.copy())
    }

    /// The slot of each of a slice's slots, and only those that have a key if some have none.
    fn places(&mut self, slice: &Slice, slots: &mut Slots) -> (Vec<u32>, Option<Vec<u32>>) {
        let mut map = std::mem::take(&mut self.map);
        if slots.find_all(slice.slots(), &mut map).is_none() {
            map.clear();
            return (map, Some(Vec::new()));
        }
        self.resize(slots.keys().len());
        let keys = slice.slots().keys();
        let live = || keys.iter().zip(&map).filter(|(key, _)| **key != NONE).map(|(_, slot)| *slot).collect();
        let live = (slice.live() < keys.len()).then(live);
        (map, live)
    }

    fn count(&mut self, live: &[u32]) {
        live.iter().for_each(|slot| self.times[*slot as usize] += 1);
    }

    /// For a snapshot, as a slice. `keys` are those of the slots.
    pub(super) fn save(&self, keys: &[u32]) -> Result<SliceState> {
        let keys = self.times.iter().zip(keys).map(|(times, key)| if *times > 0 { *key } else { NONE }).collect();
        let partials = self.partials.iter().map(|partial| partial.save()).collect::<Result<_>>()?;
        Ok(SliceState { rows: self.rows, keys, partials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{AggregateFunction, Column, Interpolation, Picked, Rows, Smoothing, Statistic, partial};
    use arrow::array::{ArrayRef, Float64Array};
    use arrow::datatypes::DataType;

    const KEYS: u32 = 100;

    fn slice(like: &[Box<dyn Partial>], number: u32, keys: u32) -> Slice {
        let ids = (0..keys).map(|n| (n * 37 + number * 11) % KEYS).collect::<Vec<_>>();
        let times = ids.iter().map(|id| i64::from(number * 1000 + id)).collect::<Vec<_>>();
        let values = ids.iter().map(|id| f64::from(id * 7 + number) / 3.0).collect::<Float64Array>();
        let mut slice = Slice::empty(like);
        let rows = |_, slots| Rows { slots, times: &times, column: Some(&values), start: 0 };
        slice.update(&ids, KEYS as usize, &mut Vec::new(), rows).expect("they are numbers");
        slice
    }

    /// The keys that occur, each its own slot, and all results.
    fn told(stack: &Stack) -> (Vec<u32>, Vec<ArrayRef>) {
        let live = (0..stack.times.len() as u32).filter(|slot| stack.has(*slot as usize)).collect::<Vec<_>>();
        let result = |partial: &dyn Partial| {
            let mut column = Column::new(live.len());
            partial.emit_statistic(Statistic::Whole, &Picked::Each(&live), &mut column).expect("it has one result");
            column.finish().expect("it has rows")
        };
        let results = if live.is_empty() {
            Vec::new()
        } else {
            stack.partials.iter().map(|partial| result(partial.as_ref())).collect()
        };
        (live, results)
    }

    #[test]
    fn what_was_put_before_is_taken_out_to_the_last_bit() {
        use AggregateFunction::{Avg, Ewma, FirstValue, Max, Mode, Percentile, Slope, StddevSample, TimeWeightedAvg};
        let functions = [
            Avg,
            Max,
            FirstValue,
            StddevSample,
            Slope,
            Mode,
            Percentile { fraction: 0.5, exact: false },
            TimeWeightedAvg(Interpolation::Hold),
            Ewma(Smoothing::Alpha(0.5)),
        ];
        let like =
            functions.iter().map(|function| partial(function, Some(&DataType::Float64)).expect("they go with it"));
        let like = like.collect::<Vec<_>>();
        let (mut stack, mut slots) = (Stack::empty(&like), Slots::expecting(KEYS as usize));
        let (mut states, mut changes) = (Vec::new(), Vec::new());
        // One key, a few and nearly all: what is remembered is picked out or whole.
        for (number, keys) in [90, 3, 60, 1, 95, 40].into_iter().enumerate().rev() {
            states.push(told(&stack));
            let slice = slice(&like, number as u32, keys);
            changes.push(stack.put_before(number as i64, &slice, &mut slots, &[true; 9]).expect("they are alike"));
        }
        while let Some(change) = changes.pop() {
            stack.undo(change).expect("it was put in");
            assert_eq!(Some(told(&stack)), states.pop(), "{} changes are left", changes.len());
        }
    }
}
