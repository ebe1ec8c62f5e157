//! One query's windows over slices that several queries may share: which of them is next, and the merges made for it.

use std::collections::BTreeMap;

use lineside_model::{Error, Reason, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::assign::{TIME_LIMIT, Windows};
use super::latest::Latest;
use super::slice::Slice;
use super::sliding::{Sliding, SlidingState};
use crate::aggregate::Partial;

/// How far a query's windows are closed.
#[derive(Debug)]
pub(super) struct View {
    /// The first window that is not closed.
    next: i64,
    /// Where that window starts: what is before is of no use to the view, and what is behind is cut by its windows.
    horizon: i64,
    /// Rows in its open windows.
    pub(super) rows: u64,
    pub(super) sliding: Sliding,
    /// What it put out last.
    pub(super) latest: Latest,
}

/// A view in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ViewState {
    next: i64,
    sliding: SlidingState,
}

impl View {
    /// No window is closed.
    pub(super) fn new() -> Self {
        Self { next: i64::MIN, horizon: i64::MIN, rows: 0, sliding: Sliding::new(i64::MIN), latest: Latest::default() }
    }

    /// The first window that is not closed.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// All windows before `next` are closed.
    pub(super) fn closed_before(&mut self, next: i64, windows: &Windows) {
        self.next = next;
        self.horizon = windows.bounds(next).start;
    }

    /// Forgets what goes by the numbers of keys, which are no longer the same.
    pub(super) fn renumbered(&mut self) {
        self.sliding = Sliding::new(self.sliding.middle());
        self.latest = Latest::default();
    }

    /// Where the first open window starts.
    pub(super) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Why a row of this time is of no use; `None` if it is in an open window.
    pub(super) fn refuses(&self, time: i64, windows: &Windows) -> Option<Reason> {
        let last = windows.last(time);
        if windows.first(time) > last {
            Some(Reason::Filtered)
        } else if last < self.next {
            Some(Reason::Late)
        } else {
            None
        }
    }

    /// Whether a slice has rows of its open windows.
    pub(super) fn holds(&self, slice: i64, windows: &Windows) -> bool {
        slice >= self.horizon && windows.first(slice) <= windows.last(slice)
    }

    /// The first open window that has rows.
    pub(super) fn next_with_rows(&self, slices: &BTreeMap<i64, Slice>, windows: &Windows) -> Option<i64> {
        let mut from = self.horizon;
        loop {
            let (time, _) = slices.range(from..).next()?;
            let first = windows.first(*time);
            if first <= windows.last(*time) {
                return Some(self.next.max(first));
            }
            // Rows of other views, between two windows of this one.
            from = windows.bounds(first).start;
        }
    }

    /// For a snapshot.
    pub(super) fn save(&self) -> Result<ViewState> {
        Ok(ViewState { next: self.next, sliding: self.sliding.save()? })
    }

    /// From a snapshot, for the aggregates of `like` and `keys` keys.
    pub(super) fn load(state: &ViewState, windows: &Windows, like: &[Box<dyn Partial>], keys: usize) -> Result<Self> {
        let mut view = Self { sliding: Sliding::load(&state.sliding, like, keys)?, ..Self::new() };
        let known = windows.first(-2 * TIME_LIMIT)..=windows.first_open(Timestamp::MAX);
        if known.contains(&state.next) {
            view.closed_before(state.next, windows);
        } else if state.next != i64::MIN {
            return Err(Error::data("saved state of a window is damaged: a window is beyond all time"));
        }
        Ok(view)
    }
}
