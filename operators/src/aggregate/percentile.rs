//! The exact percentile: the value below which a given fraction of the values lies.
//!
//! Between the two closest ranks the result is interpolated linearly, as SQL's `percentile_cont`, numpy's default and R's
//! type 7 do. Every value of an open window is kept (8 bytes each), and once only: overlapping windows gather the values of
//! their slices when they close. Over long windows of fast sensors use the approximate percentile.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::Float64Type;
use lineside_model::Result;

use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// All values per slot.
#[derive(Clone, Debug)]
pub(super) struct Percentile {
    fraction: f64,
    values: Vec<Vec<f64>>,
}

impl Percentile {
    /// The percentile at a fraction from 0 to 1.
    pub(super) fn at(fraction: f64) -> Self {
        Self { fraction, values: Vec::new() }
    }
}

impl Partial for Percentile {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::at(self.fraction))
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.values.resize(slots, Vec::new());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.values.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| values[slot].push(value));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (values, slot) in same::<Self>(other)?.values.iter().zip(map) {
            self.values[*slot as usize].extend_from_slice(values);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.values)?;
            into.extend_from_slice(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { fraction: self.fraction, values: take_entries(&mut self.values, slots, &Vec::new()) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let mut scratch = Vec::new();
        let at = |slot: usize| {
            scratch.clone_from(&self.values[slot]);
            interpolate(&mut scratch, self.fraction)
        };
        column.piece(Arc::new(picked.collect::<_, Float64Array>(at)))
    }

    fn is_holistic(&self) -> bool {
        true
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.values)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.values = from_bytes(bytes)?;
        check_slots([self.values.len()], slots)
    }
}

/// The order of values: ascending, NaN of either sign last.
pub(super) fn ascending(one: &f64, other: &f64) -> std::cmp::Ordering {
    one.partial_cmp(other).unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
}

/// The value at `fraction` of the ranks of `values`, which it reorders.
pub(super) fn interpolate(values: &mut [f64], fraction: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let rank = last as f64 * fraction;
    let below = (rank.floor() as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(below, ascending);
    let low = *low;
    let part = rank - below as f64;
    if part <= 0.0 {
        return Some(low);
    }
    let high = above.iter().copied().min_by(ascending).unwrap_or(low);
    // Equal neighbours are not interpolated, since the difference of two infinities is no number.
    Some(if low == high { low } else { low + part * (high - low) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_lies_between_the_closest_ranks() {
        let at = |fraction| interpolate(&mut [30.0, 10.0, 40.0, 20.0], fraction);
        assert_eq!(at(0.0), Some(10.0));
        assert_eq!(at(0.5), Some(25.0));
        assert_eq!(at(0.95), Some(38.5));
        assert_eq!(at(1.0), Some(40.0));
        assert_eq!(interpolate(&mut [7.0], 0.99), Some(7.0));
        assert_eq!(interpolate(&mut [], 0.5), None);
    }

    #[test]
    fn not_a_number_is_the_greatest_value() {
        assert_eq!(interpolate(&mut [-f64::NAN, 1.0, 2.0], 0.5), Some(2.0));
    }
}
