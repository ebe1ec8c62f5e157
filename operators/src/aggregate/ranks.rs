//! Exact percentiles of windows that overlap, kept up as readings enter the window and leave it.
//!
//! A window that slides on differs from the one before by the readings of a slice or two. So for each key the values of the present
//! window stand in a row in the order of slices, and for each percentile the values around its rank in order
//! ([`super::band`]). What a reading costs does not depend on in how many windows it is: it is looked at when it comes, when it
//! goes, and now and then when a rank has wandered. A result is computed when one of its values has changed, and kept for the
//! windows that follow.

use std::collections::VecDeque;

use arrow::datatypes::Float64Type;
use lineside_model::{Error, Result};

use super::band::{Band, place_of};
use super::{Column, Picked, Statistic};

/// Rows of values longer than this give room back that they need no more.
const ROOM_MIN: usize = 64;

/// Percentiles of the values of the present window, for each slot.
#[derive(Debug)]
pub(crate) struct Ranks {
    /// The values of the window by their places, in the order of slices.
    values: Vec<VecDeque<i64>>,
    percentiles: Vec<Percentile>,
    /// Slots whose values have changed since results were computed, each once.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    scratch: Vec<i64>,
}

/// One percentile.
#[derive(Debug)]
struct Percentile {
    /// Which one of those that the partial serves.
    number: usize,
    fraction: f64,
    bands: Vec<Band>,
    results: Vec<Option<f64>>,
}

impl Ranks {
    /// No values; for percentiles by their number and fraction.
    pub(super) fn of(percentiles: impl Iterator<Item = (usize, f64)>) -> Self {
        let percentile = |(number, fraction)| Percentile { number, fraction, bands: Vec::new(), results: Vec::new() };
        Self {
            values: Vec::new(),
            percentiles: percentiles.map(percentile).collect(),
            changed: Vec::new(),
            is_changed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Makes room for slots up to `slots`.
    pub(crate) fn resize(&mut self, slots: usize) {
        if self.values.len() < slots {
            self.values.resize_with(slots, VecDeque::new);
            self.is_changed.resize(slots, false);
            for percentile in &mut self.percentiles {
                percentile.bands.resize_with(slots, Band::new);
                percentile.results.resize(slots, None);
            }
        }
    }

    /// The values of a slice come, those of its slot `i` into slot `map[i]`.
    pub(super) fn enter<'v>(&mut self, slice: impl Iterator<Item = &'v [f64]>, map: &[u32]) {
        for (values, slot) in slice.zip(map).filter(|(values, _)| !values.is_empty()) {
            self.note(*slot);
            self.scratch.clear();
            self.scratch.extend(values.iter().copied().map(place_of));
            self.values[*slot as usize].extend(&self.scratch);
            for percentile in &mut self.percentiles {
                percentile.bands[*slot as usize].enter(&self.scratch);
            }
        }
    }

    /// The values of the slice that came first go: of slot `map[i]` as many as the slice has in its slot `i`.
    pub(super) fn leave(&mut self, slice: impl Iterator<Item = usize>, map: &[u32]) {
        for (count, slot) in slice.zip(map).filter(|(count, _)| *count > 0) {
            self.note(*slot);
            let values = &mut self.values[*slot as usize];
            let count = count.min(values.len());
            let (front, back) = values.as_slices();
            let (front, back) = (&front[..count.min(front.len())], &back[..count.saturating_sub(front.len())]);
            for percentile in &mut self.percentiles {
                percentile.bands[*slot as usize].leave(front);
                percentile.bands[*slot as usize].leave(back);
            }
            values.drain(..count);
        }
    }

    /// Computes the results that have changed.
    pub(crate) fn settle(&mut self) {
        for slot in self.changed.drain(..) {
            let slot = slot as usize;
            self.is_changed[slot] = false;
            let values = &mut self.values[slot];
            for percentile in &mut self.percentiles {
                let band = &mut percentile.bands[slot];
                percentile.results[slot] = band.value(values, percentile.fraction, &mut self.scratch);
            }
            if values.capacity() > ROOM_MIN.max(4 * values.len()) {
                values.shrink_to(2 * values.len());
            }
        }
    }

    /// The slots that have values.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = usize> {
        (0..self.values.len()).filter(|slot| !self.values[*slot].is_empty())
    }

    /// Moves what is known of some slots to others, for each pair from the first to the second, and forgets the rest.
    pub(crate) fn renumber(&mut self, moves: &[(u32, u32)], slots: usize) {
        let percentiles = self.percentiles.iter().map(|percentile| (percentile.number, percentile.fraction));
        let before = std::mem::replace(self, Self::of(percentiles));
        self.resize(slots);
        let Self { mut values, mut percentiles, .. } = before;
        for (from, to) in moves {
            let (from, to) = (*from as usize, *to as usize);
            self.values[to] = std::mem::take(&mut values[from]);
            for (percentile, before) in self.percentiles.iter_mut().zip(&mut percentiles) {
                percentile.bands[to] = std::mem::replace(&mut before.bands[from], Band::new());
                percentile.results[to] = before.results[from];
            }
            if before.is_changed[from] {
                self.note(to as u32);
            }
        }
    }

    /// Adds the results of one percentile to a column.
    pub(crate) fn emit(&self, statistic: Statistic, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let is_meant = |percentile: &&Percentile| Some(percentile.number) == statistic.percentile();
        let percentile = self.percentiles.iter().find(is_meant);
        let percentile = percentile.ok_or_else(|| Error::internal("a percentile was not followed"))?;
        column.numbers::<Float64Type>(picked, |slot| percentile.results[slot])
    }

    fn note(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.is_changed[slot as usize], true) {
            self.changed.push(slot);
        }
    }
}
