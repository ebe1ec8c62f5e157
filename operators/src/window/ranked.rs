//! Exact percentiles of windows that overlap: which slices are in the window whose ranks are followed.
//!
//! The stacks do not hold them, since their partials are as large as the readings. Instead slices enter the window when they are
//! complete and leave it when the next window starts behind them, which is told before they are removed. A row that comes late for some
//! of its windows changes a slice that has entered: then all is forgotten, and the next window enters all its slices anew.

use std::collections::BTreeMap;
use std::ops::Range;

use super::slice::Slice;
use super::sliding::Merged;
use super::slots::{NONE, Slots};
use crate::aggregate::Ranks;

/// Ranks that are followed from one window to the next.
#[derive(Debug)]
pub(super) struct Ranked {
    /// Slices from here,
    from: i64,
    /// to before here have entered and not left.
    upto: i64,
    /// One for each partial that is ranked.
    ranks: Vec<Option<Ranks>>,
    /// A buffer that is used again.
    map: Vec<u32>,
}

impl Default for Ranked {
    fn default() -> Self {
        Self { from: i64::MIN, upto: i64::MIN, ranks: Vec::new(), map: Vec::new() }
    }
}

impl Ranked {
    /// What is known of a partial.
    pub(super) fn get(&self, partial: usize) -> Option<&Ranks> {
        self.ranks.get(partial)?.as_ref()
    }

    /// A slice has changed.
    pub(super) fn touched(&mut self, slice: i64) {
        if (self.from..self.upto).contains(&slice) {
            *self = Self::default();
        }
    }

    /// The slices of a window that are not in yet come, and those before it go.
    pub(super) fn enter(
        &mut self,
        slices: &BTreeMap<i64, Slice>,
        window: &Range<i64>,
        slots: &mut Slots,
        merged: Merged<'_>,
    ) {
        self.leave(slices, window.start, slots);
        if self.ranks.is_empty() {
            let wanted = |n: usize| merged.results.iter().filter(move |(partial, _)| *partial == n);
            let ranks = |n: usize| merged.like[n].ranks(&mut wanted(n).map(|(_, statistic)| *statistic));
            self.ranks = (0..merged.like.len()).map(ranks).collect();
        }
        for (_, slice) in slices.range(self.upto.max(window.start)..window.end) {
            let Some(map) = slots.find_all(slice.slots(), &mut self.map) else { continue };
            for (n, ranks) in followed(&mut self.ranks) {
                ranks.resize(slots.keys().len());
                slice.partials()[n].enter(ranks, map);
            }
        }
        self.upto = window.end;
        for (_, ranks) in followed(&mut self.ranks) {
            ranks.resize(slots.keys().len());
            ranks.settle();
        }
    }

    /// Windows that start before `start` are closed: slices before it go.
    pub(super) fn leave(&mut self, slices: &BTreeMap<i64, Slice>, start: i64, slots: &mut Slots) {
        if start <= self.from {
            return;
        }
        if start >= self.upto {
            *self = Self { map: std::mem::take(&mut self.map), ..Self::default() };
        } else {
            for (_, slice) in slices.range(self.from..start) {
                let Some(map) = slots.find_all(slice.slots(), &mut self.map) else { continue };
                followed(&mut self.ranks).for_each(|(n, ranks)| slice.partials()[n].leave(ranks, map));
            }
        }
        self.from = start;
    }

    /// Moves on from slots to others, of which there are none yet.
    pub(super) fn renumber(&mut self, before: &Slots, slots: &mut Slots) {
        for (_, ranks) in followed(&mut self.ranks) {
            let (from, keys) = ranks
                .occupied()
                .map(|slot| (slot as u32, before.keys()[slot]))
                .filter(|(_, key)| *key != NONE)
                .unzip::<_, _, Vec<_>, Vec<_>>();
            let known = keys.iter().max().map_or(0, |key| *key as usize + 1);
            let to = slots.find(&keys, known, &mut self.map);
            let moves = from.into_iter().zip(to.iter().copied()).collect::<Vec<_>>();
            ranks.renumber(&moves, slots.keys().len());
        }
    }
}

fn followed(ranks: &mut [Option<Ranks>]) -> impl Iterator<Item = (usize, &mut Ranks)> {
    ranks.iter_mut().enumerate().filter_map(|(n, ranks)| Some((n, ranks.as_mut()?)))
}
