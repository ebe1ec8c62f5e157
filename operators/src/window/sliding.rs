//! Windows that overlap, put together from slices without adding any slice twice for each window.
//!
//! Two stacks (Tangwongsan, Hirzel and Schneider 2017): time is parted at a *middle*. For each cell of the windows before it the
//! front stack holds the merge of the slices in that cell with all that follow up to the middle; behind the middle one running
//! merge, the back, holds all slices so far. A window is the front entry of its first cell merged with the back. When windows
//! have passed the middle, it moves to the end of the present window. So each slice is merged twice and each window once,
//! whatever the overlap and whether or not an aggregate can be subtracted.
//!
//! The merges are made when a window closes, from the slices as they are then. A row that comes late for some of its
//! windows changes a slice that may have been merged already: [`Sliding::touched`] forgets just the merges that hold that
//! slice, and the next window makes them anew. Slices that are put together within a cell change no merge.

use std::collections::BTreeMap;
use std::ops::Range;

use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::assign::Windows;
use super::slice::{Part, Slice, SliceState};
use crate::aggregate::Partial;

/// Merged slices of the windows that close next.
#[derive(Debug)]
pub(super) struct Sliding {
    middle: i64,
    /// From the cell before the middle down to the first cell of the next window, each by its start.
    front: Vec<(i64, Slice)>,
    /// The merge of slices from the middle to before `back_end`.
    back: Option<Slice>,
    back_end: i64,
}

/// Merges in a snapshot. They are saved and not made anew, since slices may have been put together since: the sums of floats
/// would not be the same to the last bit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SlidingState {
    middle: i64,
    front: Vec<(i64, SliceState)>,
    back: Option<SliceState>,
    back_end: i64,
}

/// What is merged: slices that have these aggregates, of which some are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merged<'a> {
    pub(super) windows: &'a Windows,
    /// One empty partial for each aggregate.
    pub(super) like: &'a [Box<dyn Partial>],
    pub(super) wanted: &'a [bool],
}

impl Merged<'_> {
    /// These slices merged in the order of time.
    pub(super) fn fold<'s>(&self, slices: impl Iterator<Item = &'s Slice>, part: Part) -> Result<Slice> {
        let mut whole = Slice::empty(self.like);
        for slice in slices {
            whole.merge(slice, part, self.wanted)?;
        }
        Ok(whole)
    }
}

impl Sliding {
    /// Nothing merged, the middle where it was.
    pub(super) fn new(middle: i64) -> Self {
        Self { middle, front: Vec::new(), back: None, back_end: middle }
    }

    /// Where the two stacks meet.
    pub(super) fn middle(&self) -> i64 {
        self.middle
    }

    /// Forgets what was merged with slice `slice`, which has changed.
    pub(super) fn touched(&mut self, slice: i64) {
        if slice >= self.middle {
            if slice < self.back_end {
                self.back = None;
                self.back_end = self.middle;
            }
            return;
        }
        while self.front.last().is_some_and(|(cell, _)| *cell <= slice) {
            self.front.pop();
        }
    }

    /// The merge of the slices of one window. Windows are asked for in rising order.
    pub(super) fn window(
        &mut self,
        slices: &BTreeMap<i64, Slice>,
        window: Range<i64>,
        merged: Merged<'_>,
    ) -> Result<Slice> {
        // The middle is behind the window, or the back beyond it, only in a damaged snapshot.
        let damaged = self.middle > window.end || self.back_end < self.middle || self.back_end > window.end;
        if self.middle <= window.start || damaged {
            *self = Self::new(window.end);
        }
        while self.front.last().is_some_and(|(cell, _)| *cell < window.start) {
            self.front.pop();
        }
        let mut missing = self.front.last().map_or(self.middle, |(cell, _)| *cell);
        while let Some((last, _)) = slices.range(window.start..missing).next_back() {
            let cell = merged.windows.cell(*last).start.max(window.start);
            let mut whole = match slices.range(cell..missing).next() {
                Some((first, only)) if first == last => only.combinable(merged.wanted),
                _ => merged.fold(slices.range(cell..missing).map(|(_, slice)| slice), Part::Combinable)?,
            };
            if let Some((_, later)) = self.front.last() {
                whole.merge(later, Part::Combinable, merged.wanted)?;
            }
            self.front.push((cell, whole));
            missing = cell;
        }
        for (_, slice) in slices.range(self.back_end..window.end) {
            match &mut self.back {
                Some(back) => back.merge(slice, Part::Combinable, merged.wanted)?,
                None => self.back = Some(slice.combinable(merged.wanted)),
            }
        }
        self.back_end = window.end;

        let mut whole = match self.front.last() {
            Some((_, front)) => front.combinable(merged.wanted),
            None => Slice::empty(merged.like),
        };
        if let Some(back) = &self.back {
            whole.merge(back, Part::Combinable, merged.wanted)?;
        }
        if merged.like.iter().zip(merged.wanted).any(|(partial, wanted)| *wanted && partial.is_holistic()) {
            for (_, slice) in slices.range(window) {
                whole.merge(slice, Part::Holistic, merged.wanted)?;
            }
        }
        Ok(whole)
    }

    /// For a snapshot.
    pub(super) fn save(&self) -> Result<SlidingState> {
        let front = self.front.iter().map(|(cell, slice)| Ok((*cell, slice.save()?))).collect::<Result<_>>()?;
        let back = self.back.as_ref().map(Slice::save).transpose()?;
        Ok(SlidingState { middle: self.middle, front, back, back_end: self.back_end })
    }

    /// From a snapshot, for the aggregates of `like` and `keys` keys.
    pub(super) fn load(state: &SlidingState, like: &[Box<dyn Partial>], keys: usize) -> Result<Self> {
        let load = |slice: &SliceState| Slice::load(slice, like, keys);
        let front = state.front.iter().map(|(cell, slice)| Ok((*cell, load(slice)?))).collect::<Result<Vec<_>>>()?;
        if !front.iter().rev().is_sorted_by_key(|(cell, _)| *cell)
            || front.first().is_some_and(|(cell, _)| *cell >= state.middle)
        {
            return Err(Error::data("saved state of a window is damaged: its merges are out of order"));
        }
        Ok(Self {
            middle: state.middle,
            front,
            back: state.back.as_ref().map(load).transpose()?,
            back_end: state.back_end,
        })
    }
}
