//! Windows that overlap, put together from slices without adding any slice twice for each window.
//!
//! Two stacks (Tangwongsan, Hirzel and Schneider 2017): time is parted at a *middle*. For each slice before it the front
//! stack holds the merge of that slice with all that follow up to the middle; behind the middle one running merge, the back,
//! holds all slices so far. A window is the front entry of its first slice merged with the back. When windows have passed the
//! middle, it moves to the end of the present window. So each slice is merged twice and each window once, whatever the overlap and
//! whether or not an aggregate can be subtracted.
//!
//! The merges are made when a window closes, from the slices as they are then. A row that comes late for some of its
//! windows changes a slice that may have been merged already: [`Sliding::touched`] forgets just the merges that hold that
//! slice, and the next window makes them anew. Which merges there are is decided by the slices and the middle alone, so that
//! a restored operator computes the same to the last bit.

use std::collections::BTreeMap;
use std::ops::Range;

use lineside_model::Result;

use super::slice::{Part, Slice};
use crate::aggregate::Partial;

/// Merged slices of the windows that close next.
#[derive(Debug)]
pub(super) struct Sliding {
    middle: i64,
    /// From the slice before the middle down to the first slice of the next window.
    front: Vec<(i64, Slice)>,
    /// The merge of slices from the middle to before `back_end`.
    back: Option<Slice>,
    back_end: i64,
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
        while self.front.last().is_some_and(|(first, _)| *first <= slice) {
            self.front.pop();
        }
    }

    /// The merge of the slices of one window. Windows are asked for in rising order.
    pub(super) fn window(
        &mut self,
        slices: &BTreeMap<i64, Slice>,
        window: Range<i64>,
        like: &[Box<dyn Partial>],
    ) -> Result<Slice> {
        // The middle is behind the window only in a damaged snapshot.
        if self.middle <= window.start || self.middle > window.end {
            *self = Self::new(window.end);
        }
        while self.front.last().is_some_and(|(first, _)| *first < window.start) {
            self.front.pop();
        }
        let missing = self.front.last().map_or(self.middle, |(first, _)| *first);
        for (number, slice) in slices.range(window.start..missing).rev() {
            let mut merged = slice.combinable();
            if let Some((_, later)) = self.front.last() {
                merged.merge(later, Part::Combinable)?;
            }
            self.front.push((*number, merged));
        }
        for (_, slice) in slices.range(self.back_end..window.end) {
            match &mut self.back {
                Some(back) => back.merge(slice, Part::Combinable)?,
                None => self.back = Some(slice.combinable()),
            }
        }
        self.back_end = window.end;

        let mut whole = match self.front.last() {
            Some((_, front)) => front.combinable(),
            None => Slice::empty(like),
        };
        if let Some(back) = &self.back {
            whole.merge(back, Part::Combinable)?;
        }
        if like.iter().any(|partial| partial.is_holistic()) {
            for (_, slice) in slices.range(window) {
                whole.merge(slice, Part::Holistic)?;
            }
        }
        Ok(whole)
    }
}
