//! The open windows of all keys: each has a slot in the partials, which is empty again and free for another when it has closed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lineside_model::{Error, Result};

use super::operator::Layout;
use super::order::Stretch;
use crate::Emitter;
use crate::aggregate::{Pair, Partial, Rows, Shared};
use crate::window::keys::Keys;
use crate::window::output::Output;

/// So many slots may be free beyond those in use.
const SLOTS_SPARE: usize = 1024;

/// A window that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// The number of its key.
    pub(super) key: u32,
    /// What it says about its rows.
    pub(super) slot: u32,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// What the rows at hand do to slots. Nothing is computed until all rows have their slot; then for all at once.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// How many slots there are, free ones among them.
    slots: u32,
    /// The lowest come first, so that slots in use stay close together.
    free: BinaryHeap<Reverse<u32>>,
    /// Whether some aggregates are as large as their readings.
    holistic: bool,
    closed: Vec<Closed>,
    folds: Vec<Pair>,
    gathers: Vec<Pair>,
    released: Vec<u32>,
    /// Rows that are in open windows and have not come out with any window yet.
    pub(super) rows: u64,
}

impl Book {
    /// No windows.
    pub(super) fn new(partials: &[Box<dyn Partial>]) -> Self {
        Self { holistic: partials.iter().any(|partial| partial.is_holistic()), ..Self::default() }
    }

    /// With these slots in use out of so many.
    ///
    /// # Errors
    /// If they cannot be.
    pub(super) fn with(partials: &[Box<dyn Partial>], slots: u32, used: impl Iterator<Item = u32>) -> Result<Self> {
        let damaged = || Error::data("saved state of a window is damaged: its slots do not fit");
        let used = used.collect::<Vec<_>>();
        if is_sparse(slots, used.len()) {
            return Err(damaged());
        }
        let mut taken = vec![false; slots as usize];
        for slot in used {
            match taken.get_mut(slot as usize) {
                Some(taken) if !*taken => *taken = true,
                _ => return Err(damaged()),
            }
        }
        let free = (0..slots).zip(taken).filter(|(_, taken)| !taken).map(|(slot, _)| Reverse(slot)).collect();
        Ok(Self { slots, free, ..Self::new(partials) })
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// How many slots are in use.
    pub(super) fn used(&self) -> usize {
        self.slots as usize - self.free.len()
    }

    /// Whether most slots are free, so that it pays to move the others together.
    pub(super) fn is_sparse(&self) -> bool {
        is_sparse(self.slots, self.used())
    }

    /// The slots in use are now the first so many, and there are no others.
    pub(super) fn shrink(&mut self, used: usize) {
        self.slots = used as u32;
        self.free.clear();
    }

    /// A slot for a new window.
    pub(super) fn open(&mut self) -> u32 {
        if let Some(Reverse(slot)) = self.free.pop() {
            return slot;
        }
        self.slots += 1;
        self.slots - 1
    }

    /// A window of so many rows is over, of which `fresh` are in no window that came out before. Its slot is free when it has
    /// come out, at once if it has no rows.
    pub(super) fn close(&mut self, closed: Closed, rows: u64, fresh: u64) {
        self.rows = self.rows.saturating_sub(fresh);
        match rows {
            0 => self.release(closed.slot),
            _ => self.closed.push(closed),
        }
    }

    /// A slot is not needed any more.
    pub(super) fn release(&mut self, slot: u32) {
        self.released.push(slot);
    }

    /// Slot `from`, of later rows, goes into slot `into`, for aggregates whose merged copies are kept.
    pub(super) fn fold(&mut self, from: u32, into: u32) {
        self.folds.push(Pair { from, into });
    }

    /// The same, for aggregates that are as large as their readings.
    pub(super) fn gather(&mut self, from: u32, into: u32) {
        if self.holistic {
            self.gathers.push(Pair { from, into });
        }
    }

    /// Makes room for all slots and puts each row into its own.
    pub(super) fn update(
        &self,
        partials: &mut [Box<dyn Partial>],
        rows: &Stretch,
        slots: &[u32],
        shared: &Shared,
    ) -> Result<()> {
        for (partial, (_, column)) in partials.iter_mut().zip(&shared.partials) {
            partial.resize(self.slots as usize);
            let column = column.map(|at| rows.columns[at].as_ref());
            partial.update(&Rows { slots, times: &rows.times, column, start: 0 })?;
        }
        Ok(())
    }

    /// Puts closed windows out, in the order of their end and start, and frees slots.
    pub(super) fn settle(
        &mut self,
        partials: &mut [Box<dyn Partial>],
        layout: &Layout,
        keys: &dyn Keys,
        out: &mut dyn Emitter,
    ) -> Result<()> {
        for partial in partials.iter_mut() {
            partial.resize(self.slots as usize);
            partial.fold(if partial.is_holistic() { &self.gathers } else { &self.folds })?;
        }
        self.folds.clear();
        self.gathers.clear();
        if !self.closed.is_empty() {
            self.closed.sort_by_key(|closed| (closed.end, closed.start, closed.key));
            let slots = self.closed.iter().map(|closed| closed.slot).collect::<Vec<_>>();
            let taken = partials.iter_mut().map(|partial| partial.take(&slots)).collect::<Vec<_>>();
            let windows =
                self.closed.drain(..).map(|closed| (closed.key, closed.start..closed.end)).collect::<Vec<_>>();
            let mut output = Output::new(&layout.output, &layout.shared.results, keys, out);
            output.push_each(&windows, &taken)?;
            output.flush()?;
            self.free.extend(slots.into_iter().map(Reverse));
        }
        if !self.released.is_empty() {
            partials.iter_mut().for_each(|partial| drop(partial.take(&self.released)));
            self.free.extend(self.released.drain(..).map(Reverse));
        }
        Ok(())
    }
}

fn is_sparse(slots: u32, used: usize) -> bool {
    slots as usize > 2 * used + SLOTS_SPARE
}
