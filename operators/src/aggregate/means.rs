//! Weighted means in order: the list a t-digest ([`super::tdigest`]) is made of.
//!
//! Each mean has the weight of all up to it. So a rank is found by bisection, and two lists become one as sorted lists do.

use serde::{Deserialize, Serialize};

/// So many values are kept as they are.
pub(super) const SINGLE: usize = 200;
/// One step on the scale k(q) = δ/2π · asin(2q − 1) is an angle of 2π/δ. This is for a δ of 100, which is also how many
/// means there are at most of more values.
const STEP_COS: f64 = 0.998_026_728_428_271_6;
const STEP_SIN: f64 = 0.062_790_519_529_313_37;

/// The mean of some neighbouring values.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Mean {
    value: f64,
    /// How many values there are in this mean and all before it.
    upto: f64,
}

/// Means in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Means(Vec<Mean>);

impl Clone for Means {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// In the room this one has taken.
    fn clone_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

impl Means {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of how many values.
    #[inline]
    pub(super) fn weight(&self) -> f64 {
        weight(&self.0)
    }

    /// One of them.
    #[inline]
    pub(super) fn value(&self, n: usize) -> f64 {
        self.0[n].value
    }

    /// Room for just so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve_exact(more);
    }

    /// Puts others among these.
    pub(super) fn work_in_all(&mut self, others: &Self) {
        self.work_in(others.len(), |n| others.0[n]);
    }

    /// Puts values, which are in order, among the means.
    pub(super) fn work_in_values(&mut self, values: &[f64]) {
        self.work_in(values.len(), |n| Mean { value: values[n], upto: (n + 1) as f64 });
    }

    /// Puts so many means, which are in order, among the others. It goes from the end, where there is room.
    fn work_in(&mut self, count: usize, of: impl Fn(usize) -> Mean) {
        let (mut mine, mut theirs) = (self.0.len(), count);
        self.0.resize(mine + theirs, Mean::default());
        while theirs > 0 {
            let next = of(theirs - 1);
            while mine > 0 && self.0[mine - 1].value > next.value {
                mine -= 1;
                let Mean { value, upto } = self.0[mine];
                self.0[mine + theirs] = Mean { value, upto: upto + next.upto };
            }
            theirs -= 1;
            self.0[mine + theirs] = Mean { value: next.value, upto: next.upto + weight(&self.0[..mine]) };
        }
    }

    /// Makes one mean of neighbours wherever that stays within a step of the scale, if there are more values than are kept.
    pub(super) fn draw_together(&mut self) {
        let total = self.weight();
        if total <= SINGLE as f64 {
            return;
        }
        // How far a mean may reach that starts behind each: of all at once, since the one that counts is known late.
        let limits = self.0.iter().map(|mean| rank_after(mean.upto, total)).collect::<Vec<_>>();
        let (mut kept, mut upto, mut limit, mut group) = (0, 0.0, f64::NEG_INFINITY, Group::default());
        for n in 0..self.0.len() {
            let Mean { value, upto: next } = self.0[n];
            if next > limit {
                if n > 0 {
                    self.0[kept] = Mean { value: group.mean(), upto };
                    kept += 1;
                }
                limit = if n > 0 { limits[n - 1] } else { rank_after(0.0, total) };
                group = Group { first: value, last: value, weight: next - upto, sum: 0.0 };
            } else {
                group.add(value, next - upto);
            }
            upto = next;
        }
        self.0[kept] = Mean { value: group.mean(), upto };
        self.0.truncate(kept + 1);
        self.0.shrink_to(SINGLE);
    }

    /// The middle of the ranks of a mean, the least value of all having rank 0.
    #[inline]
    pub(super) fn middle(&self, n: usize) -> f64 {
        (weight(&self.0[..n]) + self.0[n].upto - 1.0) / 2.0
    }

    /// How many values in a list are less than one that is not in it, and stands before those it is equal to or behind them.
    #[inline]
    pub(super) fn less_than(&self, value: f64, is_behind: bool) -> f64 {
        let next = self.0.partition_point(|mean| mean.value < value || is_behind && mean.value == value);
        match next.checked_sub(1) {
            Some(before) if next < self.len() => {
                let (low, high) = ((self.value(before), self.middle(before)), (self.value(next), self.middle(next)));
                between(low, high, value) + 0.5
            }
            _ => weight(&self.0[..next]),
        }
    }
}

/// Values that become one mean. They are added up by how far they are from the first, so that the mean of equal ones is just that.
#[derive(Default)]
struct Group {
    first: f64,
    last: f64,
    weight: f64,
    sum: f64,
}

impl Group {
    #[inline]
    fn add(&mut self, value: f64, weight: f64) {
        self.last = value;
        self.weight += weight;
        self.sum += (value - self.first) * weight;
    }

    fn mean(&self) -> f64 {
        (self.first + self.sum / self.weight).min(self.last)
    }
}

/// How many values there are in means from the first.
#[inline]
fn weight(means: &[Mean]) -> f64 {
    means.last().map_or(0.0, |last| last.upto)
}

/// On the line between two points, at `x`.
pub(super) fn between((x0, y0): (f64, f64), (x1, y1): (f64, f64), x: f64) -> f64 {
    if x <= x0 || y0 == y1 {
        y0
    } else if x < x1 {
        y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    } else {
        y1
    }
}

/// Up to which rank a mean may reach that starts at `rank` of `total`: one step further on the scale, which is steep at both ends.
/// The sine of a sum of angles needs no angle.
#[inline]
fn rank_after(rank: f64, total: f64) -> f64 {
    let sine = 2.0 * rank - total;
    let cosine = (total * total - sine * sine).max(0.0).sqrt();
    let after = (sine * STEP_COS + cosine * STEP_SIN + total) / 2.0;
    if sine < STEP_COS * total { after } else { total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn a_step_on_the_scale_is_one_in_angles() {
        assert!((STEP_COS - (PI / 50.0).cos()).abs() < 1e-15 && (STEP_SIN - (PI / 50.0).sin()).abs() < 1e-15);
        for fraction in (0..=1_000).map(|n| f64::from(n) / 1_000.0) {
            let angle = ((2.0 * fraction - 1.0).asin() + PI / 50.0).min(PI / 2.0);
            assert!((rank_after(fraction * 700.0, 700.0) - (angle.sin() + 1.0) * 350.0).abs() < 1e-11, "{fraction}");
        }
    }
}
