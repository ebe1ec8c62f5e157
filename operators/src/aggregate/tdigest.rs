//! A sketch of many values by which the value at any rank is found: a t-digest of bounded size.
//!
//! A t-digest (Dunning and Ertl 2019, the merging variant) keeps about a hundred weighted means, small ones near the ends and
//! larger ones in the middle, so that its error is one of *rank* and least at the extremes. That is what readings need: a
//! sketch of relative error, such as DDSketch, would report an oven of 850 ± 2 °C as one bucket. Up to 200 values are
//! kept as they are and give the exact percentile.
//!
//! Means stand in order ([`super::means`]), so two digests are put together as two sorted lists are. Then neighbours are drawn
//! together at once: means that lie among those of another digest would say less about ranks. Where only a result is wanted of
//! two digests, as of each window that slides, they are left side by side, and a rank is found by bisection over both.
//!
//! It is our own because its state has to survive a snapshot to the last bit: the `tdigest` crate leaves values that wait in
//! its buffer out of what it serialises. Values that are not finite are left out.

use serde::{Deserialize, Serialize};

use super::band::{place_of, select};
use super::means::{Means, SINGLE, between};

/// How many values wait until they are worked in together.
const WAITING: usize = 200;

/// What is known of some values.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Digest {
    /// In order.
    means: Means,
    /// Means of a later stretch, in order, that have been put beside the others and not among them.
    beside: Means,
    /// Values in the order of arrival.
    waiting: Vec<f64>,
    /// Of all but those that wait.
    least: f64,
    greatest: f64,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            means: Means::default(),
            beside: Means::default(),
            waiting: Vec::new(),
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
        }
    }
}

impl Clone for Digest {
    fn clone(&self) -> Self {
        let Self { means, beside, waiting, least, greatest } = self;
        let (means, beside, waiting) = (means.clone(), beside.clone(), waiting.clone());
        Self { means, beside, waiting, least: *least, greatest: *greatest }
    }

    /// In the room this one has taken.
    fn clone_from(&mut self, other: &Self) {
        self.means.clone_from(&other.means);
        self.beside.clone_from(&other.beside);
        self.waiting.clone_from(&other.waiting);
        (self.least, self.greatest) = (other.least, other.greatest);
    }
}

impl Digest {
    /// Takes a value.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.waiting.push(value);
            if self.waiting.len() >= WAITING {
                self.settle();
            }
        }
    }

    /// Nothing known.
    fn is_empty(&self) -> bool {
        self.means.is_empty() && self.waiting.is_empty()
    }

    /// Forgets all, and keeps the room for values that come.
    pub(super) fn clear(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.clear();
        *self = Self { waiting, ..Self::default() };
    }

    /// Takes what another knows.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        if other.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(&other.waiting);
        self.means.reserve(other.means.len() + waiting.len());
        for means in [&std::mem::take(&mut self.beside), &other.means, &other.beside] {
            self.means.work_in_all(means);
        }
        self.widen(other.least, other.greatest);
        self.work_in_values(&mut waiting);
        self.means.draw_together();
    }

    /// Becomes what two others know. Where both are lists of means, they are copied and left side by side.
    pub(super) fn become_both(&mut self, one: &Self, next: &Self) {
        self.clone_from(one);
        let many = one.means.weight() + next.means.weight() > SINGLE as f64;
        if many && one.is_one_list() && next.is_one_list() {
            self.beside.clone_from(&next.means);
            self.widen(next.least, next.greatest);
        } else {
            self.merge(next);
        }
    }

    /// Whether all there is are means in one list.
    fn is_one_list(&self) -> bool {
        !self.means.is_empty() && self.beside.is_empty() && self.waiting.is_empty()
    }

    /// Makes one list of all.
    fn settle(&mut self) {
        self.means.work_in_all(&std::mem::take(&mut self.beside));
        let mut waiting = std::mem::take(&mut self.waiting);
        self.work_in_values(&mut waiting);
        waiting.clear();
        self.waiting = waiting;
        self.means.draw_together();
    }

    fn work_in_values(&mut self, values: &mut [f64]) {
        values.sort_unstable_by(f64::total_cmp);
        if let (Some(least), Some(greatest)) = (values.first(), values.last()) {
            self.widen(*least, *greatest);
        }
        self.means.work_in_values(values);
    }

    fn widen(&mut self, least: f64, greatest: f64) {
        (self.least, self.greatest) = (self.least.min(least), self.greatest.max(greatest));
    }

    /// The value at `fraction` of the ranks, in the `room` of other digests.
    pub(super) fn at(&self, fraction: f64, room: &mut Room) -> Option<f64> {
        if self.means.is_empty() {
            room.places.clear();
            room.places.extend(self.waiting.iter().copied().map(place_of));
            return select(&mut room.places, fraction);
        }
        if self.waiting.is_empty() {
            return Some(self.at_means(fraction));
        }
        room.digest.clone_from(self);
        room.digest.settle();
        Some(room.digest.at_means(fraction))
    }

    /// The same where none wait. A mean stands at the middle of its ranks, the value rises linearly from one to the next, and
    /// the ends are known exactly. Of single values in one list that is the percentile itself.
    fn at_means(&self, fraction: f64) -> f64 {
        let last = self.means.weight() + self.beside.weight() - 1.0;
        let rank = fraction * last;
        let (mut from, mut to) = ((0.0, self.least), (last, self.greatest));
        for (run, other, is_behind) in [(&self.means, &self.beside, false), (&self.beside, &self.means, true)] {
            let point = |n: usize| (run.middle(n) + other.less_than(run.value(n), is_behind), run.value(n));
            let beyond = first(run.len(), |n| point(n).0 > rank);
            if let Some(before) = beyond.checked_sub(1).map(point).filter(|before| before.0 >= from.0) {
                from = before;
            }
            if beyond < run.len() && point(beyond).0 < to.0 {
                to = point(beyond);
            }
        }
        between(from, to, rank)
    }
}

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Room {
    places: Vec<i64>,
    digest: Digest,
}

/// The first of so many numbers for which something is true that then stays true.
fn first(mut count: usize, is_true: impl Fn(usize) -> bool) -> usize {
    let mut from = 0;
    while from < count {
        let middle = from.midpoint(count);
        if is_true(middle) { count = middle } else { from = middle + 1 }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(digest: &Digest, fraction: f64) -> Option<f64> {
        digest.at(fraction, &mut Room::default())
    }

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
            let found = at(&whole, fraction).expect("there are values") - 850.0;
            assert!((found - fraction).abs() < 0.01, "{found} at {fraction}");
        }
    }

    #[test]
    fn ranks_are_within_one_percent_of_many_small_parts_merged_one_by_one() {
        for small in [1, 17, 150, 390] {
            let mut stacks = [Digest::default(), Digest::default()];
            for part in 0..20_000 / small {
                let mut digest = Digest::default();
                (0..small).for_each(|n| digest.add(f64::from((part * small + n) * 7_919 % 20_000) / 20_000.0));
                let stack = &mut stacks[usize::from(part % 3 == 0)];
                // Before what is there, and behind it.
                if part % 2 == 0 {
                    digest.merge(stack);
                    *stack = digest;
                } else {
                    stack.merge(&digest);
                }
                assert!(stack.means.len() <= 200 && stack.beside.is_empty(), "{stack:?}");
            }
            let mut both = Digest::default();
            both.become_both(&stacks[0], &stacks[1]);
            for fraction in (0..=1_000).map(|n| f64::from(n) / 1_000.0) {
                let found = at(&both, fraction).expect("there are values");
                let room = 0.01 * (fraction * (1.0 - fraction)).sqrt() + 0.000_5;
                assert!((found - fraction).abs() < room, "{found} at {fraction} of parts of {small}");
            }
        }
    }

    #[test]
    fn equal_values_stay_what_they_are() {
        let digest = |values: i32| {
            let mut digest = Digest::default();
            (0..values).for_each(|n| digest.add(if n < values / 5 * 4 { 0.1 } else { 0.7 }));
            digest
        };
        let (mut one, next, mut both) = (digest(3_000), digest(5_000), Digest::default());
        both.become_both(&one, &next);
        one.merge(&next);
        for digest in [&both, &one] {
            assert_eq!((at(digest, 0.0), at(digest, 0.5), at(digest, 0.9)), (Some(0.1), Some(0.1), Some(0.7)));
        }
    }

    #[test]
    fn nothing_beside_something_changes_nothing() {
        let mut many = Digest::default();
        (0..1_000).for_each(|n| many.add(f64::from(n)));
        let told = at(&many, 0.25);
        for (one, next) in [(&many, &Digest::default()), (&Digest::default(), &many)] {
            let mut both = Digest::default();
            both.become_both(one, next);
            both.merge(&Digest::default());
            assert_eq!((at(&both, 0.25), both.is_one_list()), (told, true));
        }
    }

    #[test]
    fn few_values_give_the_exact_percentile() {
        let mut digest = Digest::default();
        [4.0, 1.0, f64::NAN, 3.0, f64::INFINITY, 2.0].into_iter().for_each(|value| digest.add(value));
        assert_eq!(at(&digest, 0.5), Some(2.5));
        assert_eq!(at(&Digest::default(), 0.5), None);
    }

    #[test]
    fn up_to_200_values_give_the_exact_percentile_in_whatever_parts_they_come() {
        let values = (0..200).map(|n| f64::from(n * 7_919 % 211) / 7.0 - 9.0).collect::<Vec<_>>();
        for parts in [1, 2, 3, 50, 200] {
            let (mut whole, mut both) = (Digest::default(), Digest::default());
            for part in values.chunks(200 / parts) {
                let mut digest = Digest::default();
                part.iter().for_each(|value| digest.add(*value));
                both.become_both(&whole, &digest);
                whole.merge(&digest);
            }
            for fraction in (0..=100).map(|n| f64::from(n) / 100.0) {
                let mut places = values.iter().copied().map(place_of).collect::<Vec<_>>();
                let exact = select(&mut places, fraction);
                assert_eq!(at(&whole, fraction), exact, "at {fraction} in {parts} parts");
                assert_eq!(at(&both, fraction), exact, "at {fraction} in {parts} parts and the last beside");
            }
        }
    }
}
