//! Windows that overlap, put together from slices without adding any slice twice for each window.
//!
//! Two stacks (Tangwongsan, Hirzel and Schneider 2017): time is parted at a *middle*. For each cell of the windows before it the
//! front stack holds the merge of the slices in that cell with all that follow up to the middle; behind the middle one running
//! merge, the back, holds all slices so far. A window is the front merge of its first cell put together with the back. When windows
//! have passed the middle, it moves to the end of the present window. So each slice is merged twice and each window once,
//! whatever the overlap and whether or not an aggregate can be subtracted. Of the front merges only that of the next window is
//! there as a whole; the others are told by what changes from one to the next ([`super::stack`]).
//!
//! The merges are made when a window closes, from the slices as they are then. A row that comes late for some of its
//! windows changes a slice that may have been merged already: [`Sliding::touched`] forgets just the merges that hold that
//! slice, and the next window makes them anew. Slices that are put together within a cell change no merge.

use std::collections::BTreeMap;
use std::ops::Range;

use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::assign::Windows;
use super::ranked::Ranked;
use super::slice::{Part, Slice, SliceState, Step, Whole};
use super::slots::{Rising, Slots};
use super::stack::{Change, Stack};
use crate::aggregate::{Partial, Statistic};

/// Where more than one slot in so many is changed from one window to the next, nothing is kept of the one before.
const CHANGED_PART: usize = 2;

/// Merged slices of the windows that close next.
#[derive(Debug)]
pub(super) struct Sliding {
    middle: i64,
    /// The places of keys in both stacks.
    slots: Slots,
    /// The merge of the slices from the last of `changes` to the middle.
    front: Option<Stack>,
    /// What merging each cell changed, from the cell before the middle down to the first cell of the next window.
    changes: Vec<Change>,
    /// Merges that hold a slice at or before this are of no use any more.
    touched: i64,
    /// The merge of slices from the middle to before `back_end`.
    back: Option<Stack>,
    back_end: i64,
    /// What is as large as the readings, and not merged.
    ranked: Ranked,
    window: Window,
    difference: Difference,
}

/// What a window is put together in.
#[derive(Debug, Default)]
struct Window {
    partials: Vec<Box<dyn Partial>>,
    order: Order,
}

/// What is different in the window before the present one.
#[derive(Debug, Default)]
struct Difference {
    /// The number of the present window.
    window: u64,
    /// The slots that were changed by taking slices out and putting others in.
    slots: Vec<u32>,
    /// What was there to be changed: how many slots, and whether there was a front and a back. `None` if merges were made anew.
    of: Option<(usize, bool, bool)>,
}

/// Slots by the order of their keys, where they have another one.
#[derive(Debug, Default)]
struct Order {
    slots: Vec<u32>,
    keys: Vec<u32>,
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
    /// Which of them the stacks hold, see [`stacked`].
    pub(super) stacked: &'a [bool],
    /// What is read off them.
    pub(super) results: &'a [(usize, Statistic)],
}

/// Which of the `wanted` aggregates merged copies are kept of.
pub(super) fn stacked(like: &[Box<dyn Partial>], wanted: &[bool]) -> Vec<bool> {
    let partials = like.iter().map(|partial| Part::Combinable.has(partial.as_ref()));
    partials.zip(wanted).map(|(combinable, wanted)| combinable && *wanted).collect()
}

impl Merged<'_> {
    /// These slices merged in the order of time.
    pub(super) fn fold<'s>(&self, slices: impl Iterator<Item = &'s Slice>, part: Part) -> Result<Slice> {
        let mut slices = slices.peekable();
        let mut whole = Slice::expecting(slices.peek().map_or(0, |first| first.live()), self.like);
        for slice in slices {
            whole.merge(slice, part, self.wanted)?;
        }
        Ok(whole)
    }
}

impl Sliding {
    /// Nothing merged, the middle where it was.
    pub(super) fn new(middle: i64) -> Self {
        Self {
            middle,
            slots: Slots::default(),
            front: None,
            changes: Vec::new(),
            touched: i64::MIN,
            back: None,
            back_end: middle,
            ranked: Ranked::default(),
            window: Window::default(),
            difference: Difference::default(),
        }
    }

    /// Where the two stacks meet.
    pub(super) fn middle(&self) -> i64 {
        self.middle
    }

    /// Forgets what was merged with slice `slice`, which has changed.
    pub(super) fn touched(&mut self, slice: i64) {
        self.ranked.touched(slice);
        if slice < self.back_end {
            self.difference.of = None;
        }
        if slice < self.middle {
            self.touched = self.touched.max(slice);
        } else if slice < self.back_end {
            self.back = None;
            self.back_end = self.middle;
        }
    }

    /// The merge of the slices of one window. Windows are asked for in rising order.
    pub(super) fn window(
        &mut self,
        slices: &BTreeMap<i64, Slice>,
        window: Range<i64>,
        merged: Merged<'_>,
    ) -> Result<Whole<'_>> {
        // The middle is behind the window, or the back beyond it, only in a damaged snapshot.
        let damaged = self.middle > window.end || self.back_end < self.middle || self.back_end > window.end;
        if self.middle <= window.start || damaged {
            let expected = self.slots.live().max(many_keys(slices.range(window.start..).map(|(_, slice)| slice)));
            let mut slots = Slots::expecting(expected);
            self.ranked.renumber(&self.slots, &mut slots);
            let difference = Difference { of: None, ..std::mem::take(&mut self.difference) };
            *self = Self { slots, ranked: std::mem::take(&mut self.ranked), difference, ..Self::new(window.end) };
        }
        self.difference.window += 1;
        self.difference.slots.clear();
        while let Some(change) = self.changes.pop_if(|change| change.cell < window.start || change.cell <= self.touched)
        {
            if let Some(front) = &mut self.front {
                self.difference.slots.extend_from_slice(change.slots());
                front.undo(change)?;
            }
        }
        self.touched = i64::MIN;
        let mut missing = self.changes.last().map_or(self.middle, |change| change.cell);
        while let Some((last, slice)) = slices.range(window.start..missing).next_back() {
            let cell = merged.windows.cell(*last).start.max(window.start);
            let front = self.front.get_or_insert_with(|| Stack::empty(merged.like));
            self.difference.of = None;
            let change = match slices.range(cell..missing).next() {
                Some((first, _)) if first == last => front.put_before(cell, slice, &mut self.slots, merged.stacked)?,
                _ => {
                    let cells = merged.fold(slices.range(cell..missing).map(|(_, slice)| slice), Part::Combinable)?;
                    front.put_before(cell, &cells, &mut self.slots, merged.stacked)?
                }
            };
            self.changes.push(change);
            missing = cell;
        }
        if self.changes.is_empty() {
            self.front = None;
        }
        for (_, slice) in slices.range(self.back_end..window.end) {
            let back = self.back.get_or_insert_with(|| Stack::empty(merged.like));
            let slots = back.put_behind(slice, &mut self.slots, merged.stacked)?;
            self.difference.slots.extend_from_slice(slots);
        }
        self.back_end = window.end;
        if merged.stacked != merged.wanted {
            self.ranked.enter(slices, &window, &mut self.slots, merged);
        }
        self.put_together(merged)
    }

    /// Windows that start before `start` are closed, and their slices are still there.
    pub(super) fn left(&mut self, slices: &BTreeMap<i64, Slice>, start: i64) {
        self.ranked.leave(slices, start, &mut self.slots);
    }

    /// Front and back together.
    fn put_together(&mut self, merged: Merged<'_>) -> Result<Whole<'_>> {
        let Self { slots, front, back, ranked, window: Window { partials: together, order }, difference, .. } = self;
        let places = slots.keys().len();
        let of = (places, front.is_some(), back.is_some());
        // What is not kept in the stacks is read from the slices each time, and where most changes all is read as fast.
        let few = merged.stacked == merged.wanted && CHANGED_PART * difference.slots.len() <= places;
        let step = (difference.of.replace(of) == Some(of) && few).then_some(Step {
            number: difference.window,
            slots: places,
            changed: &difference.slots,
        });
        front.iter_mut().chain(back.iter_mut()).for_each(|stack| stack.resize(places));
        let partials = match (&*front, &*back) {
            (Some(only), None) | (None, Some(only)) => only.partials(),
            _ => {
                let mut rooms = std::mem::take(together).into_iter();
                for (n, like) in merged.like.iter().enumerate() {
                    let mut room = rooms.next().unwrap_or_else(|| like.fresh());
                    let mut parts = [&*front, &*back].into_iter().flatten();
                    together.push(match (parts.next(), parts.next()) {
                        // It is read elsewhere, and stays empty.
                        _ if !merged.stacked[n] => {
                            room.resize(places);
                            room
                        }
                        (Some(one), Some(next)) => {
                            let (one, next) = (one.partials()[n].as_ref(), next.partials()[n].as_ref());
                            match step {
                                Some(step) if room.together_again(one, next, step.changed)? => room,
                                _ => room.together(one, next, slots.same())?,
                            }
                        }
                        (Some(only), None) => only.partials()[n].copy(),
                        (None, _) => {
                            let mut empty = like.fresh();
                            empty.resize(places);
                            empty
                        }
                    });
                }
                together.as_slice()
            }
        };
        let occur = |slot: usize| [&*front, &*back].into_iter().flatten().any(|stack| stack.has(slot));
        let all = match (&*front, &*back) {
            (Some(front), Some(back)) => front.has_all_with(back),
            _ => (0..places).all(occur),
        };
        let rising = match (slots.is_direct(), all) {
            (true, true) => Rising::first(slots.keys()),
            (true, false) => Rising::of_keys((0..places as u32).filter(|slot| occur(*slot as usize)).collect()),
            (false, all) => {
                order.update(slots.keys());
                let order = Rising::of(&order.keys, &order.slots);
                if all { order } else { order.only(|_, slot| occur(slot as usize)) }
            }
        };
        Ok(Whole { rising, partials, ranked: Some(ranked), step })
    }

    /// For a snapshot.
    pub(super) fn save(&self) -> Result<SlidingState> {
        let mut front = Vec::new();
        let mut stack = self.front.as_ref().map(Stack::copy);
        for change in self.changes.iter().rev() {
            let Some(stack) = &mut stack else { break };
            if change.cell > self.touched {
                front.push((change.cell, stack.save(self.slots.keys())?));
            }
            stack.undo_copy(change)?;
        }
        front.reverse();
        let back = self.back.as_ref().map(|back| back.save(self.slots.keys())).transpose()?;
        Ok(SlidingState { middle: self.middle, front, back, back_end: self.back_end })
    }

    /// From a snapshot, for the aggregates of `like` and `keys` keys.
    pub(super) fn load(state: &SlidingState, like: &[Box<dyn Partial>], keys: usize) -> Result<Self> {
        let cells = || state.front.iter().map(|(cell, _)| *cell);
        if !cells().rev().is_sorted() || cells().next().is_some_and(|cell| cell >= state.middle) {
            return Err(Error::data("saved state of a window is damaged: its merges are out of order"));
        }
        let mut sliding = Self { back_end: state.back_end, ..Self::new(state.middle) };
        for (cell, merge) in &state.front {
            let merge = Slice::load(merge, like, keys)?;
            let front = sliding.front.get_or_insert_with(|| Stack::empty(like));
            sliding.changes.push(front.replace(*cell, &merge, &mut sliding.slots)?);
        }
        if let Some(merge) = &state.back {
            let back = sliding.back.insert(Stack::empty(like));
            back.replace(state.middle, &Slice::load(merge, like, keys)?, &mut sliding.slots)?;
        }
        Ok(sliding)
    }
}

/// How many keys occur in slices that follow one another, as far as it takes to see that they are at least half of those there are.
/// Each of these slices may have but a few.
fn many_keys<'s>(slices: impl Iterator<Item = &'s Slice>) -> usize {
    let (mut occurs, mut keys) = (Vec::new(), 0);
    for slice in slices {
        for key in slice.keys() {
            let key = key as usize;
            if key >= occurs.len() {
                occurs.resize(key + 1, false);
            }
            keys += usize::from(!std::mem::replace(&mut occurs[key], true));
        }
        if 2 * keys >= occurs.len() {
            break;
        }
    }
    keys
}

impl Order {
    /// Puts slots into the order of their keys. Few are new since the last time, and the sort goes over sorted stretches once.
    fn update(&mut self, keys: &[u32]) {
        if self.slots.len() < keys.len() {
            self.slots.extend(self.slots.len() as u32..keys.len() as u32);
            self.slots.sort_by_key(|slot| keys[*slot as usize]);
            self.keys.clear();
            self.keys.extend(self.slots.iter().map(|slot| keys[*slot as usize]));
        }
    }
}
