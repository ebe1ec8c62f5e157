//! The standard deviation of the values, and its square, the variance: how much a signal spreads around its mean.
//!
//! Kept as count, mean and sum of squared distances from the mean, updated by Welford's method (1962) and merged by Chan,
//! Golub and LeVeque's (1979). A sum of squares would lose all digits where the spread is small beside the mean, as in a
//! temperature of 1000 ± 0.001.

use arrow::datatypes::Float64Type;
use lineside_model::Result;
use serde::{Deserialize, Serialize};

use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// Moments of the values of one slot.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes one more value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    /// Takes the values of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.mean += delta * (other.count / count);
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.count = count;
    }

    /// The standard deviation, `less` taken from the number of values before dividing.
    pub(crate) fn deviation(&self, less: f64) -> Option<f64> {
        self.variance(less).map(f64::sqrt)
    }

    /// Its square.
    pub(crate) fn variance(&self, less: f64) -> Option<f64> {
        (self.count > less).then(|| self.squares / (self.count - less))
    }
}

/// Standard deviations or variances per slot.
#[derive(Clone, Debug)]
pub(super) struct Stddev {
    /// What is taken from the count before dividing: 1 for a sample, 0 for a population.
    less: f64,
    squared: bool,
    moments: Vec<Moments>,
}

impl Stddev {
    /// Of a sample: divided by n − 1, null for one value.
    pub(super) fn of_sample() -> Self {
        Self { less: 1.0, squared: false, moments: Vec::new() }
    }

    /// Of a population: divided by n.
    pub(super) fn of_population() -> Self {
        Self { less: 0.0, ..Self::of_sample() }
    }

    /// Its square, the variance.
    pub(super) fn squared(self) -> Self {
        Self { squared: true, ..self }
    }
}

impl Partial for Stddev {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self { moments: Vec::new(), ..*self })
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.moments.resize(slots, Moments::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let moments = self.moments.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| moments[slot].add(value));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (moments, slot) in same::<Self>(other)?.moments.iter().zip(map) {
            self.moments[*slot as usize].merge(moments);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.moments)?;
            into.merge(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let moments = take_entries(&mut self.moments, slots, &Moments::default());
        Box::new(Self { moments, ..*self })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        column.numbers::<Float64Type>(picked, |slot| match self.squared {
            true => self.moments[slot].variance(self.less),
            false => self.moments[slot].deviation(self.less),
        })
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.moments)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.moments = from_bytes(bytes)?;
        check_slots([self.moments.len()], slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_spread_on_a_large_mean_keeps_its_digits() {
        let (mut whole, mut left, mut right) = (Moments::default(), Moments::default(), Moments::default());
        for n in 0..1000 {
            let value = 1e9 + f64::from(n % 2) * 1e-3;
            whole.add(value);
            if n < 400 { left.add(value) } else { right.add(value) }
        }
        left.merge(&right);
        for moments in [whole, left] {
            let spread = (moments.squares / moments.count).sqrt();
            assert!((spread - 5e-4).abs() < 1e-7, "{spread}");
        }
    }
}
