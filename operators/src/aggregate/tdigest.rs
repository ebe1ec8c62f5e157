//! The approximate percentile: a t-digest of bounded size instead of every value.
//!
//! A t-digest (Dunning and Ertl 2019, the merging variant) keeps about a hundred weighted means, small ones near the ends and
//! larger ones in the middle, so that its error is one of *rank* and least at the extremes. That is what readings need: a
//! sketch of relative error, such as DDSketch, would report an oven of 850 ± 2 °C as one bucket. Up to 200 values are
//! kept as they are and give the exact percentile.
//!
//! It is our own because its state has to survive a snapshot to the last bit: the `tdigest` crate leaves values that wait in
//! its buffer out of what it serialises. Values that are not finite are left out.

use std::f64::consts::PI;
use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::Float64Type;
use lineside_model::Result;
use serde::{Deserialize, Serialize};

use super::band::{place_of, select};
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// Upper bound of the number of means: the δ of the paper.
const MEANS: f64 = 100.0;
/// How many values wait until they are worked in together.
const WAITING: usize = 200;

/// The mean of some neighbouring values.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mean {
    value: f64,
    weight: f64,
}

/// The digest of one slot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Digest {
    means: Vec<Mean>,
    waiting: Vec<f64>,
    least: f64,
    greatest: f64,
}

impl Digest {
    #[inline]
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.waiting.push(value);
            if self.waiting.len() >= WAITING {
                self.compress(&[]);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        if self.means.is_empty() && self.waiting.is_empty() {
            self.clone_from(other);
            return;
        }
        if !other.means.is_empty() {
            self.compress(&other.means);
            self.least = self.least.min(other.least);
            self.greatest = self.greatest.max(other.greatest);
        }
        other.waiting.iter().for_each(|value| self.add(*value));
    }

    /// Works waiting values and `more` means in.
    fn compress(&mut self, more: &[Mean]) {
        if self.means.is_empty() {
            (self.least, self.greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        }
        for value in self.waiting.drain(..) {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
            self.means.push(Mean { value, weight: 1.0 });
        }
        self.means.extend_from_slice(more);
        self.means.sort_by_key(|mean| place_of(mean.value));
        let total = self.means.iter().map(|mean| mean.weight).sum::<f64>();
        let (mut before, mut limit, mut kept) = (0.0, total * rank_after(0.0), 0);
        for n in 1..self.means.len() {
            let Mean { value, weight } = self.means[n];
            let into = &mut self.means[kept];
            if before + into.weight + weight <= limit {
                into.weight += weight;
                into.value += (value - into.value) * (weight / into.weight);
            } else {
                before += into.weight;
                limit = total * rank_after(before / total);
                kept += 1;
                self.means[kept] = Mean { value, weight };
            }
        }
        self.means.truncate(kept + 1);
    }

    /// The value at `fraction` of the ranks.
    fn at(&self, fraction: f64) -> Option<f64> {
        if self.means.is_empty() {
            let mut places = self.waiting.iter().copied().map(place_of).collect::<Vec<_>>();
            return select(&mut places, fraction);
        }
        let mut whole = self.clone();
        whole.compress(&[]);
        let total = whole.means.iter().map(|mean| mean.weight).sum::<f64>();
        let rank = fraction * total;
        // Between the middles of two neighbours the value rises linearly; the ends are known exactly.
        let (mut before, mut from) = (0.0, (0.0, whole.least));
        for mean in &whole.means {
            let to = (before + mean.weight / 2.0, mean.value);
            if rank < to.0 {
                return Some(between(from, to, rank));
            }
            before += mean.weight;
            from = to;
        }
        Some(between(from, (total, whole.greatest), rank))
    }
}

/// On the line between two points, at `x`.
fn between((x0, y0): (f64, f64), (x1, y1): (f64, f64), x: f64) -> f64 {
    if x1 > x0 { y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0) } else { y1 }
}

/// Up to which fraction of the ranks a mean may reach that starts at `fraction`: one step further on the scale
/// k(q) = δ/2π · asin(2q − 1), which is steep at both ends.
fn rank_after(fraction: f64) -> f64 {
    let angle = (2.0 * fraction - 1.0).clamp(-1.0, 1.0).asin() + 2.0 * PI / MEANS;
    if angle >= PI / 2.0 { 1.0 } else { (angle.sin() + 1.0) / 2.0 }
}

/// Digests per slot.
#[derive(Clone, Debug)]
pub(super) struct ApproxPercentile {
    fraction: f64,
    digests: Vec<Digest>,
}

impl ApproxPercentile {
    /// The percentile at a fraction from 0 to 1.
    pub(super) fn at(fraction: f64) -> Self {
        Self { fraction, digests: Vec::new() }
    }
}

impl Partial for ApproxPercentile {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::at(self.fraction))
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.digests.resize(slots, Digest::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let digests = self.digests.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| digests[slot].add(value));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (digest, slot) in same::<Self>(other)?.digests.iter().zip(map) {
            self.digests[*slot as usize].merge(digest);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.digests)?;
            into.merge(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let digests = take_entries(&mut self.digests, slots, &Digest::default());
        Box::new(Self { fraction: self.fraction, digests })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        column.piece(Arc::new(picked.collect::<_, Float64Array>(|slot| self.digests[slot].at(self.fraction))))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.digests)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.digests = from_bytes(bytes)?;
        check_slots([self.digests.len()], slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_within_one_percent_however_the_values_were_split() {
        let values = (0..20_000).map(|n| 850.0 + f64::from(n * 7_919 % 20_000) / 20_000.0).collect::<Vec<_>>();
        let mut parts = vec![Digest::default(); 7];
        for (n, value) in values.iter().enumerate() {
            parts[n % 7].add(*value);
        }
        let mut whole = Digest::default();
        parts.iter().for_each(|part| whole.merge(part));
        assert!(whole.means.len() <= 200, "{} means", whole.means.len());
        for fraction in [0.0, 0.01, 0.25, 0.5, 0.95, 0.99, 1.0] {
            let found = whole.at(fraction).expect("there are values") - 850.0;
            assert!((found - fraction).abs() < 0.01, "{found} at {fraction}");
        }
    }

    #[test]
    fn few_values_give_the_exact_percentile() {
        let mut digest = Digest::default();
        [4.0, 1.0, f64::NAN, 3.0, f64::INFINITY, 2.0].into_iter().for_each(|value| digest.add(value));
        assert_eq!(digest.at(0.5), Some(2.5));
        assert_eq!(Digest::default().at(0.5), None);
    }
}
