//! The operator that aggregates over windows: rows in, one row for each window and key out when the watermark closes it.
//!
//! | in, windows of 10 s every 5 s | out |
//! | --- | --- |
//! | reading at 7 s | nothing yet; it belongs to `[0 s, 10 s)` and `[5 s, 15 s)` |
//! | watermark 10 s | the window `[0 s, 10 s)` with one reading |
//! | reading at 8 s | nothing; late for `[0 s, 10 s)`, it still joins `[5 s, 15 s)` |
//! | reading at 3 s | counted as late: its windows are closed |
//! | watermark 15 s | the window `[5 s, 15 s)` with two readings |
//!
//! It works for several queries at once, each a view of the same slices with an output of its own. A slice is a stretch of
//! time between two edges of windows that are open; when those that made an edge are closed, the slices on both sides of it are
//! put together. Each query's rows and books are what they would be if it were alone.

mod handover;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::TimestampMicrosecondType;
use lineside_model::{Error, Reason, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::assign::TIME_LIMIT;
use super::keys::{self, Keys};
use super::late;
use super::layout::Layout;
use super::output::Output;
use super::runs::{Located, Place, Runs, Stretch};
use super::slice::{Part, Slice, SliceState, Used};
use super::sliding::{Merged, stacked};
use super::view::{View, ViewState};
use crate::aggregate::{Partial, Rows};
use crate::{Emitter, HandedOver, Operator, Port, Snapshot};

const KIND: &str = "window";
const VERSION: u32 = 4;
/// So many keys may be remembered beyond twice those of open windows.
const KEYS_SPARE: usize = 1024;

/// Aggregates over windows.
#[derive(Debug)]
pub(super) struct WindowAggregate {
    layout: Arc<Layout>,
    /// The partials that are kept, empty.
    empty: Vec<Box<dyn Partial>>,
    keys: Box<dyn Keys>,
    /// Slices that have rows and belong to an open window, by their start.
    slices: BTreeMap<i64, Slice>,
    /// One for each output.
    views: Vec<View>,
    /// Keys in all slices, each counted once for each slice it is in,
    entries: usize,
    /// and how many they were when slices were last left by closed windows.
    entries_left: usize,
    /// Whether some were left since it was last looked which keys make room for others.
    left: bool,
    used: Used,
    scratch: Scratch,
}

/// Buffers that are used again for each batch.
#[derive(Debug, Default)]
struct Scratch {
    runs: Runs,
    ids: Vec<u32>,
    slots: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct WindowState {
    keys: Vec<u8>,
    views: Vec<ViewState>,
    slices: Vec<(i64, SliceState)>,
    entries_left: usize,
    left: bool,
}

impl WindowAggregate {
    pub(super) fn new(layout: Arc<Layout>) -> Result<Self> {
        Ok(Self {
            empty: layout.partials()?,
            keys: keys::keys(&layout.key_types)?,
            slices: BTreeMap::new(),
            views: layout.views.iter().map(|_| View::new()).collect(),
            entries: 0,
            entries_left: 0,
            left: false,
            used: Used::default(),
            scratch: Scratch::default(),
            layout,
        })
    }

    /// Takes a batch that was cut into runs.
    fn update(
        &mut self,
        runs: impl Iterator<Item = (Place, Range<usize>)>,
        batch: &Batch<'_>,
        slots: &mut Vec<u32>,
        out: &mut dyn Emitter,
    ) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        for (place, rows) in runs {
            let mut taken = false;
            for (n, (view, planned)) in self.views.iter_mut().zip(&layout.views).enumerate() {
                let refused = match place {
                    Place::Slice { cell, .. } => view.refuses(cell, &planned.windows),
                    Place::Nowhere(reason) => Some(reason),
                };
                match refused {
                    Some(reason) => out.dropped_from(n, reason, rows.len()),
                    None => {
                        view.rows += rows.len() as u64;
                        taken = true;
                    }
                }
            }
            let Place::Slice { slice: number, .. } = place else { continue };
            if !taken {
                continue;
            }
            if !self.slices.contains_key(&number) {
                let before = self.slices.range(..number).next_back().map(|(_, slice)| slice);
                let fresh = Slice::after(before, self.keys.len(), self.used.take(), &self.empty);
                self.slices.insert(number, fresh);
            }
            let Some(slice) = self.slices.get_mut(&number) else { continue };
            let live = slice.live();
            slice.update(&batch.ids[rows.clone()], self.keys.len(), slots, |partial, slots| Rows {
                slots,
                times: &batch.times.values()[rows.clone()],
                column: layout.shared.partials[partial].1.map(|at| batch.values[at].as_ref()),
                start: rows.start,
            })?;
            self.entries += slice.live() - live;
            self.views.iter_mut().for_each(|view| view.sliding.touched(number));
        }
        Ok(())
    }

    /// Hands on the rows that come too late for a view, where anybody reads them.
    fn tell_late(&self, rows: &RecordBatch, times: &TimestampMicrosecondArray, out: &mut dyn Emitter) -> Result<()> {
        for (n, (view, planned)) in self.views.iter().zip(&self.layout.views).enumerate() {
            if out.wants_late(n) {
                let is_late =
                    |time| time < view.horizon() && view.refuses(time, &planned.windows) == Some(Reason::Late);
                late::tell(is_late, rows, (self.layout.time, times), n, out)?;
            }
        }
        Ok(())
    }

    /// Where a time belongs.
    fn locate(&self, time: i64) -> Located {
        let cell = self.layout.cells.at(time);
        // A view that is alone removes what it does not need, so that its slices are its cells.
        let slice = if self.views.len() == 1 { None } else { self.slice_of(time) };
        Located { slice: slice.unwrap_or(cell.start), cell }
    }

    /// The slice that a time belongs to: it starts at the last edge of those views that have an open window there, or later.
    fn slice_of(&self, time: i64) -> Option<i64> {
        let open = self.views.iter().zip(&self.layout.views).filter(|(view, _)| time >= view.horizon());
        open.map(|(_, planned)| planned.windows.cell(time).start).max()
    }

    /// Puts out the windows of a view before `open`, skipping those without rows.
    fn close(&mut self, n: usize, open: i64, out: &mut dyn Emitter) -> Result<()> {
        let left = self.views[n].horizon();
        let mut view = std::mem::replace(&mut self.views[n], View::new());
        let told = self.put_out(&mut view, n, open, out);
        self.views[n] = view;
        told?;
        self.leave(n, left)
    }

    /// The rows of the windows of a view before `open`. The slices stay.
    pub(super) fn put_out(&self, view: &mut View, n: usize, open: i64, out: &mut dyn Emitter) -> Result<()> {
        let planned = &self.layout.views[n];
        let windows = &planned.windows;
        let stacked = stacked(&self.empty, &planned.wanted);
        let (like, wanted, results) = (&self.empty, &planned.wanted, &planned.results);
        let merged = Merged { windows, like, wanted, stacked: &stacked, results };
        let closed = Output::of_view(n, planned, self.keys.as_ref(), out);
        let mut closed = closed.after(std::mem::take(&mut view.latest));
        while let Some(window) = view.next_with_rows(&self.slices, windows)
            && window < open
        {
            let bounds = windows.bounds(window);
            let mut inside = self.slices.range(bounds.clone()).map(|(_, slice)| slice);
            match (inside.next(), inside.next()) {
                (Some(only), None) => closed.push(window, &only.whole(), planned)?,
                _ if windows.overlap() => {
                    closed.push(window, &view.sliding.window(&self.slices, bounds, merged)?, planned)?;
                }
                _ => {
                    let slices = self.slices.range(bounds).map(|(_, slice)| slice);
                    closed.push(window, &merged.fold(slices, Part::Whole)?.whole(), planned)?;
                }
            }
            view.closed_before(window + 1, windows);
            view.sliding.left(&self.slices, view.horizon());
        }
        if open > view.next() {
            view.closed_before(open, windows);
            view.sliding.left(&self.slices, view.horizon());
        }
        view.latest = closed.finish()?;
        Ok(())
    }

    /// Rids the slices from `left` on of what only the closed windows of a view needed: those that no other view needs are
    /// removed, and others are put together where only that view had cut them apart.
    fn leave(&mut self, n: usize, left: i64) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let windows = &layout.views[n].windows;
        let (mut from, now) = (left, self.views[n].horizon());
        while let Some((&number, _)) = self.slices.range(from..now).next() {
            let Some(mut slice) = self.slices.remove(&number) else { break };
            from = number + 1;
            self.entries -= slice.live();
            if windows.first(number) <= windows.last(number) {
                self.views[n].rows = self.views[n].rows.saturating_sub(slice.rows());
            }
            let Some(kept) = self.slice_of(number) else {
                self.used.put(slice, self.entries);
                continue;
            };
            let wanted = self.wanted(number);
            if let Some(before) = self.slices.get_mut(&kept) {
                self.entries -= before.live();
                before.absorb(&slice, &wanted)?;
                self.entries += before.live();
            } else {
                slice.keep(&wanted);
                self.entries += slice.live();
                self.slices.insert(kept, slice);
            }
        }
        Ok(())
    }

    /// Which partials the views need that have an open window at a time.
    fn wanted(&self, time: i64) -> Vec<bool> {
        let open = self.views.iter().zip(&self.layout.views).filter(|(view, _)| time >= view.horizon());
        let open = open.map(|(_, planned)| planned.wanted.as_slice()).collect::<Vec<_>>();
        (0..self.empty.len()).map(|n| open.iter().any(|wanted| wanted[n])).collect()
    }

    /// Forgets keys that are in no open window, once they are more than half of all, or if there is hardly room for others and that is
    /// `asked` for. If so, numbers are new ones: gives the old numbers of those that are left, in the order of the new ones.
    ///
    /// A window that has just closed counts as open here: mostly its keys come again, and to number them anew costs more than all else
    /// that is done for a row.
    pub(super) fn forget(&mut self, asked: bool) -> Result<Option<Vec<u32>>> {
        // Keys that were refused do not count: how many of them are remembered depends on how rows were batched.
        self.forget_of(self.keys.len().min(self.layout.max_groups), asked)
    }

    /// The same where so many keys count.
    fn forget_of(&mut self, known: usize, asked: bool) -> Result<Option<Vec<u32>>> {
        let max = self.layout.max_groups;
        // A damaged snapshot may hold any number.
        let lately = self.entries.max(self.entries_left);
        let many = known > lately.saturating_mul(2).saturating_add(KEYS_SPARE.min(max / 2));
        if !(many || asked && keys::is_near(known, max)) {
            return Ok(None);
        }
        let mut map = vec![0; self.keys.len()];
        self.slices.values().flat_map(Slice::keys).for_each(|id| map[id as usize] = 1);
        let live = (0u32..).zip(&map).filter(|(_, used)| **used == 1).map(|(id, _)| id).collect::<Vec<_>>();
        if !many && !keys::pays(live.len(), known) {
            return Ok(None);
        }
        self.keys = keys::numbered(&self.layout.key_types, &self.keys.columns(&live)?, live.len())?;
        for (new, old) in (0u32..).zip(&live) {
            map[*old as usize] = new;
        }
        self.slices.values_mut().for_each(|slice| slice.renumber(&map));
        self.views.iter_mut().for_each(View::renumbered);
        Ok(Some(live))
    }

    /// Closes the windows of all views that the watermark has passed; says whether slices were left by them.
    pub(super) fn close_all(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<bool> {
        let entries = self.entries;
        let watermark = self.behind(watermark);
        for n in 0..self.views.len() {
            let open = self.layout.views[n].windows.first_open(watermark);
            if open > self.views[n].next() {
                self.close(n, open, out)?;
            }
        }
        Ok(self.leave_behind(entries))
    }

    /// Notes that windows were closed when there were so many entries; says whether slices were left by them.
    fn leave_behind(&mut self, entries: usize) -> bool {
        let left = self.entries < entries;
        if left {
            self.entries_left = entries;
        }
        left
    }

    /// Takes rows of which some have keys that there is no room for: before the first of them, the keys that closed windows have left are
    /// forgotten.
    fn process_in_new_room(&mut self, port: Port, rows: &RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        self.left = false;
        let columns = self.layout.keys.iter().map(|column| ArrayRef::clone(rows.column(*column))).collect::<Vec<_>>();
        let mut ids = Vec::new();
        self.keys.intern(&columns, rows.num_rows(), &mut ids)?;
        let is_refused = |id: &u32| *id as usize >= self.layout.max_groups;
        let first = ids.iter().position(is_refused).unwrap_or(ids.len());
        self.process(port, rows.slice(0, first), out)?;
        self.forget(true)?;
        self.process(port, rows.slice(first, ids.len() - first), out)
    }

    /// The watermark of the column that windows are cut by.
    fn behind(&self, watermark: Timestamp) -> Timestamp {
        if watermark == Timestamp::MAX { watermark } else { watermark - self.layout.time_delay }
    }

    /// The batch that was taken last: its runs, and the number of each row's key.
    pub(super) fn latest(&self) -> (&Runs, &[u32]) {
        (&self.scratch.runs, &self.scratch.ids)
    }

    /// The slices that are held, by their start.
    pub(super) fn slices(&self) -> &BTreeMap<i64, Slice> {
        &self.slices
    }

    /// The first view.
    pub(super) fn view(&self) -> &View {
        &self.views[0]
    }

    /// The partials that are kept, empty.
    pub(super) fn empty(&self) -> &[Box<dyn Partial>] {
        &self.empty
    }

    /// The keys by their numbers.
    pub(super) fn interned(&self) -> &dyn Keys {
        self.keys.as_ref()
    }

    /// How many keys have numbers.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }
}

/// A batch as the slices take it.
struct Batch<'a> {
    ids: Cow<'a, [u32]>,
    times: TimestampMicrosecondArray,
    values: Vec<ArrayRef>,
}

impl Batch<'_> {
    /// These rows, in this order.
    fn take(&self, order: Vec<u32>) -> Result<Batch<'static>> {
        let rows = UInt32Array::from(order);
        Ok(Batch {
            ids: rows.values().iter().map(|row| self.ids[*row as usize]).collect(),
            times: take(&self.times, &rows, None)?.as_primitive::<TimestampMicrosecondType>().clone(),
            values: self
                .values
                .iter()
                .map(|column| take(column, &rows, None))
                .collect::<std::result::Result<_, _>>()?,
        })
    }
}

impl Operator for WindowAggregate {
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let Scratch { mut runs, mut ids, mut slots } = std::mem::take(&mut self.scratch);
        let keyed_by = (layout.keys.as_slice(), layout.key_types.as_slice());
        let all = self.left.then(|| rows.clone());
        let (rows, refused) = keys::number_rows(&mut self.keys, keyed_by, rows, layout.max_groups, &mut ids)?;
        if let Some(all) = all.filter(|_| refused > 0) {
            return self.process_in_new_room(port, &all, out);
        }
        if refused > 0 {
            (0..self.views.len()).for_each(|n| out.dropped_from(n, Reason::TooManyKeys, refused));
        }
        let times = rows.column(layout.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times: TimestampMicrosecondArray =
            times.ok_or_else(|| Error::internal("the time column has no microseconds"))?.clone();
        self.tell_late(&rows, &times, out)?;
        runs.cut(&times, |time| self.locate(time));
        let values = layout.values_of(&rows)?;
        let batch = Batch { ids: Cow::Borrowed(&ids), times, values };
        for stretch in runs.stretches() {
            match stretch {
                Stretch::Straight(some) => self.update(runs.of(some), &batch, &mut slots, out)?,
                Stretch::Scattered(some) => {
                    let (order, few) = runs.regrouped(some);
                    self.update(few.into_iter(), &batch.take(order)?, &mut slots, out)?;
                }
            }
        }
        drop(batch);
        self.scratch = Scratch { runs, ids, slots };
        Ok(())
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        self.left |= self.close_all(watermark, out)?;
        self.forget(false)?;
        Ok(())
    }

    fn hand_over(&mut self, watermark: Timestamp) -> Result<Option<HandedOver>> {
        self.give_complete(watermark)
    }

    fn take_over(&mut self, part: HandedOver) -> Result<()> {
        self.gather(part)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let slices = self.slices.iter().map(|(number, slice)| Ok((*number, slice.save()?)));
        let state = WindowState {
            keys: keys::save(self.keys.as_ref(), &self.layout.key_types)?,
            views: self.views.iter().map(View::save).collect::<Result<_>>()?,
            slices: slices.collect::<Result<_>>()?,
            entries_left: self.entries_left,
            left: self.left,
        };
        Snapshot::save(KIND, VERSION, &state)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<WindowState>(KIND, VERSION)?;
        let layout = Arc::clone(&self.layout);
        let mut fresh = Self { entries_left: state.entries_left, left: state.left, ..Self::new(Arc::clone(&layout))? };
        fresh.keys = keys::load(&state.keys, &layout.key_types)?;
        if state.views.len() != layout.views.len() {
            let message = format!(
                "saved state is of {} queries over one input, expected {}",
                state.views.len(),
                layout.views.len()
            );
            return Err(Error::user(message).hint("start with an empty state directory"));
        }
        for ((view, planned), state) in fresh.views.iter_mut().zip(&layout.views).zip(&state.views) {
            *view = View::load(state, &planned.windows, &fresh.empty, fresh.keys.len())?;
        }
        for (number, slice) in &state.slices {
            if number.abs() > 2 * TIME_LIMIT {
                return Err(Error::data("saved state of a window is damaged: a slice is beyond all time"));
            }
            let slice = Slice::load(slice, &fresh.empty, fresh.keys.len())?;
            fresh.entries += slice.live();
            for (view, planned) in fresh.views.iter_mut().zip(&layout.views) {
                if view.holds(*number, &planned.windows) {
                    view.rows = view.rows.saturating_add(slice.rows());
                }
            }
            fresh.slices.insert(*number, slice);
        }
        *self = fresh;
        Ok(())
    }

    fn oldest_open(&self) -> Option<(Timestamp, Timestamp)> {
        self.oldest_open_of(0)
    }

    fn oldest_open_of(&self, output: usize) -> Option<(Timestamp, Timestamp)> {
        let windows = &self.layout.views.get(output)?.windows;
        let bounds = windows.bounds(self.views.get(output)?.next_with_rows(&self.slices, windows)?);
        Some((Timestamp(bounds.start), Timestamp(bounds.end)))
    }

    fn open_rows(&self) -> u64 {
        self.open_rows_of(0)
    }

    fn open_rows_of(&self, output: usize) -> u64 {
        self.views.get(output).map_or(0, |view| view.rows)
    }
}
