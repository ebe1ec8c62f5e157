//! The values around one rank of a window that slides, in order: what the percentile there is read off.
//!
//! Two *fences* enclose some of the values around the wanted rank. A value that comes or goes outside of them shifts ranks by one and
//! nothing else; how many lie below is all that is known of those. Between the fences values are kept in order. When the
//! wanted rank has wandered beyond a fence, new fences are set around it from all values. That takes a look at each, but the rank moves
//! by no more than two for each value that comes or goes, so many of those have paid for it. There are half as many between the fences as
//! n^⅔ of n values, so that neither looking at all costs much nor putting some in order.
//!
//! Values are kept by their *place* in the order of all doubles, an integer: what comes out depends on the values alone, and
//! not on the order in which they came.

use std::collections::VecDeque;

/// So many values are kept in order at least.
const INSIDE_MIN: usize = 64;
/// The place of NaN, of whatever sign: behind all others.
const NAN: i64 = 0x7FF8_0000_0000_0000;

/// The place of a value in the order of all: ascending, -0 before 0, NaN last.
#[inline]
pub(super) fn place_of(value: f64) -> i64 {
    let bits = if value.is_nan() { NAN } else { value.to_bits().cast_signed() };
    flipped(bits)
}

/// The value at a place.
#[inline]
pub(super) fn value_at(place: i64) -> f64 {
    f64::from_bits(flipped(place).cast_unsigned())
}

/// Negative numbers are ordered by their size; with all bits but the sign flipped they are in order as integers.
#[inline]
fn flipped(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Between which ranks of so many values a fraction of them lies: the lower one, and how far it is from there to the next.
#[inline]
pub(super) fn rank(values: usize, fraction: f64) -> Option<(usize, f64)> {
    let last = values.checked_sub(1)?;
    let rank = last as f64 * fraction;
    let below = (rank.floor() as usize).min(last);
    Some((below, rank - below as f64))
}

/// The value so far on the way between two neighbours.
#[inline]
pub(super) fn between(low: i64, high: i64, part: f64) -> f64 {
    let (low, high) = (value_at(low), value_at(high));
    // Equal neighbours are not interpolated, since the difference of two infinities is no number.
    if low == high { low } else { low + part * (high - low) }
}

/// The value at `fraction` of the ranks of these places, which it reorders.
pub(super) fn select(places: &mut [i64], fraction: f64) -> Option<f64> {
    let (below, part) = rank(places.len(), fraction)?;
    let (_, low, above) = places.select_nth_unstable(below);
    if part <= 0.0 {
        return Some(value_at(*low));
    }
    let high = above.iter().min().unwrap_or(low);
    Some(between(*low, *high, part))
}

/// What is known of the values of a window around a rank.
#[derive(Debug)]
pub(super) struct Band {
    /// The fences: values themselves, or beyond all values.
    low: i64,
    high: i64,
    /// How many values are less than the lower fence, equal to it, and equal to the upper one if that is another.
    below: usize,
    at_low: usize,
    at_high: usize,
    /// The values in between, in order.
    inside: Vec<i64>,
    /// How many of them there may be.
    inside_max: usize,
    /// Whether the fences have to be set before anything can be said.
    is_lost: bool,
}

impl Band {
    /// Nothing known.
    pub(super) const fn new() -> Self {
        Self {
            low: i64::MIN,
            high: i64::MAX,
            below: 0,
            at_low: 0,
            at_high: 0,
            inside: Vec::new(),
            inside_max: 0,
            is_lost: true,
        }
    }

    /// Values come.
    pub(super) fn enter(&mut self, places: &[i64]) {
        if self.is_lost {
            return;
        }
        for place in places {
            self.below += usize::from(*place < self.low);
            if self.encloses(*place) {
                match *place {
                    place if place == self.low => self.at_low += 1,
                    place if place == self.high => self.at_high += 1,
                    place if self.inside.len() < self.inside_max => {
                        let at = self.inside.partition_point(|other| *other < place);
                        self.inside.insert(at, place);
                    }
                    _ => {
                        self.is_lost = true;
                        return;
                    }
                }
            }
        }
    }

    /// Values that came before go.
    pub(super) fn leave(&mut self, places: &[i64]) {
        if self.is_lost {
            return;
        }
        for place in places {
            self.below -= usize::from(*place < self.low);
            if self.encloses(*place) {
                match *place {
                    place if place == self.low => self.at_low -= 1,
                    place if place == self.high => self.at_high -= 1,
                    place => {
                        let at = self.inside.partition_point(|other| *other < place);
                        self.inside.remove(at);
                    }
                }
            }
        }
    }

    /// The value at a fraction of the ranks of `all` values, which are those that came and did not go.
    pub(super) fn value(&mut self, all: &VecDeque<i64>, fraction: f64, scratch: &mut Vec<i64>) -> Option<f64> {
        let Some((below, part)) = rank(all.len(), fraction) else {
            *self = Self::new();
            return None;
        };
        self.find(below, part).or_else(|| {
            self.enclose(all, below, scratch);
            self.find(below, part)
        })
    }

    /// The value at a rank and so far on the way to the next, if these ranks are within the fences.
    fn find(&self, rank: usize, part: f64) -> Option<f64> {
        let low = self.at(rank)?;
        if part <= 0.0 { Some(value_at(low)) } else { Some(between(low, self.at(rank + 1)?, part)) }
    }

    /// The place at a rank.
    fn at(&self, rank: usize) -> Option<i64> {
        let rank = rank.checked_sub(self.below).filter(|_| !self.is_lost)?;
        let Some(rank) = rank.checked_sub(self.at_low) else { return Some(self.low) };
        match rank.checked_sub(self.inside.len()) {
            None => Some(self.inside[rank]),
            Some(rank) => (rank < self.at_high).then_some(self.high),
        }
    }

    /// Whether a place is between the fences or at one of them.
    #[inline]
    fn encloses(&self, place: i64) -> bool {
        // One comparison instead of two.
        place.wrapping_sub(self.low).cast_unsigned() <= self.high.wrapping_sub(self.low).cast_unsigned()
    }

    /// Sets the fences around a rank of all values.
    fn enclose(&mut self, all: &VecDeque<i64>, rank: usize, scratch: &mut Vec<i64>) {
        scratch.clear();
        let (front, back) = all.as_slices();
        scratch.extend_from_slice(front);
        scratch.extend_from_slice(back);
        let wanted = INSIDE_MIN.max((all.len() as f64).cbrt().powi(2) as usize / 2);
        let (before, after) = (rank.saturating_sub(wanted / 2), rank + 1 + wanted / 2);
        self.high = if after + 1 < all.len() { *scratch.select_nth_unstable(after).1 } else { i64::MAX };
        self.low = if before > 0 { *scratch.select_nth_unstable(before).1 } else { i64::MIN };
        (self.below, self.at_low, self.at_high) = (0, 0, 0);
        self.inside.clear();
        for place in scratch.iter() {
            self.below += usize::from(*place < self.low);
            if self.encloses(*place) {
                match *place {
                    place if place == self.low => self.at_low += 1,
                    place if place == self.high => self.at_high += 1,
                    place => self.inside.push(place),
                }
            }
        }
        self.inside.sort_unstable();
        self.inside_max = 2 * wanted;
        self.inside.shrink_to(self.inside_max);
        self.is_lost = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value at a fraction by putting all in order.
    fn naive(values: &[f64], fraction: f64) -> Option<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_by(|one, other| one.is_nan().cmp(&other.is_nan()).then(one.total_cmp(other)));
        let rank = sorted.len().checked_sub(1)? as f64 * fraction;
        let (low, part) = (sorted[rank as usize], rank.fract());
        let high = sorted.get(rank as usize + 1).copied().unwrap_or(low);
        Some(if part <= 0.0 || low == high { low } else { low + part * (high - low) })
    }

    /// Bits, of which only those of NaN may differ.
    fn bits(value: Option<f64>) -> Option<u64> {
        value.map(|value| if value.is_nan() { u64::MAX } else { value.to_bits() })
    }

    #[test]
    fn places_are_in_the_order_of_values_and_give_them_back() {
        let rising =
            [f64::NEG_INFINITY, -2.0, -1.0, -f64::MIN_POSITIVE, -0.0, 0.0, 1e-300, 1.0, f64::INFINITY, f64::NAN];
        assert!(rising.windows(2).all(|pair| place_of(pair[0]) < place_of(pair[1])));
        assert!(rising.iter().all(|value| bits(Some(value_at(place_of(*value)))) == bits(Some(*value))));
        assert_eq!(place_of(-f64::NAN), place_of(f64::NAN));
    }

    #[test]
    fn the_percentile_lies_between_the_closest_ranks() {
        let at = |fraction| select(&mut [30.0, 10.0, 40.0, 20.0].map(place_of), fraction);
        assert_eq!(at(0.0), Some(10.0));
        assert_eq!(at(0.5), Some(25.0));
        assert_eq!(at(0.95), Some(38.5));
        assert_eq!(at(1.0), Some(40.0));
        assert_eq!(select(&mut [place_of(7.0)], 0.99), Some(7.0));
        assert_eq!(select(&mut [], 0.5), None);
    }

    #[test]
    fn not_a_number_is_the_greatest_value() {
        assert_eq!(select(&mut [-f64::NAN, 1.0, 2.0].map(place_of), 0.5), Some(2.0));
    }

    #[test]
    fn the_rank_is_followed_without_looking_at_all_values_each_time() {
        let (mut all, mut band, mut scratch) = (VecDeque::new(), Band::new(), Vec::new());
        // A signal that only rises is the worst: each value that comes and goes moves the rank by one.
        let mut looks = 0;
        for n in 0..30_000 {
            let place = place_of(f64::from(n));
            all.push_back(place);
            band.enter(&[place]);
            if all.len() > 1_000 {
                let place = all.pop_front().expect("there are a thousand");
                band.leave(&[place]);
            }
            let fences = (band.low, band.high);
            band.value(&all, 0.5, &mut scratch).expect("there are values");
            looks += usize::from(fences != (band.low, band.high));
            assert!(band.inside.len() <= 200 && band.inside.capacity() <= 400, "{}", band.inside.len());
        }
        assert!(looks < 30_000 / 30, "{looks}");
    }

    fn value() -> impl Strategy<Value = f64> {
        let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
        prop_oneof![
            8 => (-5..5i32).prop_map(f64::from),
            8 => -1e3..1e3f64,
            1 => prop::sample::select(odd.to_vec()),
        ]
    }

    /// Values that wander by `drift` at each step and by steps of their own, as many as come at a time.
    fn steps() -> impl Strategy<Value = Vec<(Vec<f64>, usize)>> {
        let step = (prop::collection::vec(value(), 0..40), 0..50usize);
        (prop::collection::vec(step, 1..60), prop_oneof![Just(0.0), -50.0..50.0f64], any::<bool>()).prop_map(
            |(mut steps, drift, constant)| {
                for (n, (values, _)) in steps.iter_mut().enumerate() {
                    let shift = if constant { (n / 10) as f64 * drift } else { n as f64 * drift };
                    values.iter_mut().for_each(|value| *value = if constant { shift } else { *value + shift });
                }
                steps
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_values_that_come_and_go_leave_the_percentile_of_the_others(
            steps in steps(),
            fraction in prop_oneof![Just(0.0), Just(0.5), Just(0.95), Just(1.0), 0.0..=1.0f64],
        ) {
            let (mut all, mut values, mut scratch) = (VecDeque::new(), VecDeque::new(), Vec::new());
            let mut band = Band::new();
            for (come, go) in steps {
                let places = come.iter().copied().map(place_of).collect::<Vec<_>>();
                all.extend(&places);
                values.extend(&come);
                band.enter(&places);
                let gone = all.drain(..go.min(all.len() * 9 / 10)).collect::<Vec<_>>();
                values.drain(..gone.len());
                band.leave(&gone);
                let expected = naive(values.make_contiguous(), fraction);
                prop_assert_eq!(bits(band.value(&all, fraction, &mut scratch)), bits(expected));
                prop_assert_eq!(bits(select(&mut all.iter().copied().collect::<Vec<_>>(), fraction)), bits(expected));
            }
        }
    }
}
