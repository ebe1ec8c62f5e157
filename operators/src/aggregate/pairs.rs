//! How two quantities go together: means, spreads and the common spread of pairs of numbers, from which covariance,
//! correlation and the line of least squares follow.
//!
//! Kept as means and sums of products of distances from them, by the methods that `stddev` uses for one quantity. Sums of
//! plain products would lose all digits where the spreads are small beside the means.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, UInt64Type};
use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// Moments of pairs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pairs {
    pub(super) count: f64,
    pub(super) mean_x: f64,
    pub(super) mean_y: f64,
    pub(super) xx: f64,
    pub(super) yy: f64,
    pub(super) xy: f64,
}

impl Pairs {
    #[inline]
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.count;
        self.mean_y += dy / self.count;
        let rest = y - self.mean_y;
        self.xx += dx * (x - self.mean_x);
        self.yy += dy * rest;
        self.xy += dx * rest;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let (part, both) = (other.count / count, self.count * other.count / count);
        self.mean_x += dx * part;
        self.mean_y += dy * part;
        self.xx += other.xx + dx * dx * both;
        self.yy += other.yy + dy * dy * both;
        self.xy += other.xy + dx * dy * both;
        self.count = count;
    }

    /// How much y rises for each unit of x along the line of least squares; `None` unless x differs.
    pub(super) fn slope(&self) -> Option<f64> {
        (self.count > 1.0 && self.xx > 0.0 || self.xx.is_nan()).then(|| self.xy / self.xx)
    }
}

/// What is wanted of pairs `(y, x)`, named as in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairStatistic {
    /// Pearson's correlation, from −1 to 1.
    Corr,
    /// The covariance of a sample.
    CovarSamp,
    /// The covariance of a population.
    CovarPop,
    /// The slope of the line of least squares.
    RegrSlope,
    /// Where that line is at x = 0.
    RegrIntercept,
    /// How many pairs.
    RegrCount,
    /// How much of the spread of y the line explains, from 0 to 1.
    RegrR2,
    /// The mean of x.
    RegrAvgx,
    /// The mean of y.
    RegrAvgy,
    /// The sum of squared distances of x from its mean.
    RegrSxx,
    /// The sum of squared distances of y from its mean.
    RegrSyy,
    /// The sum of the products of these distances.
    RegrSxy,
}

impl PairStatistic {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Corr,
        Self::CovarSamp,
        Self::CovarPop,
        Self::RegrSlope,
        Self::RegrIntercept,
        Self::RegrCount,
        Self::RegrR2,
        Self::RegrAvgx,
        Self::RegrAvgy,
        Self::RegrSxx,
        Self::RegrSyy,
        Self::RegrSxy,
    ];

    /// Its name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corr => "corr",
            Self::CovarSamp => "covar_samp",
            Self::CovarPop => "covar_pop",
            Self::RegrSlope => "regr_slope",
            Self::RegrIntercept => "regr_intercept",
            Self::RegrCount => "regr_count",
            Self::RegrR2 => "regr_r2",
            Self::RegrAvgx => "regr_avgx",
            Self::RegrAvgy => "regr_avgy",
            Self::RegrSxx => "regr_sxx",
            Self::RegrSyy => "regr_syy",
            Self::RegrSxy => "regr_sxy",
        }
    }

    /// From its name in SQL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    fn of(self, pairs: &Pairs) -> Option<f64> {
        let Pairs { count, mean_x, mean_y, xx, yy, xy } = *pairs;
        let some = |value: f64| (count > 0.0).then_some(value);
        // Zero spread leaves a division by zero; NaN is passed on as NaN.
        let spread = |spread: f64| count > 1.0 && spread != 0.0;
        match self {
            Self::Corr => (spread(xx) && spread(yy)).then(|| (xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0)),
            Self::CovarSamp => (count > 1.0).then(|| xy / (count - 1.0)),
            Self::CovarPop => some(xy / count),
            Self::RegrSlope => pairs.slope(),
            Self::RegrIntercept => pairs.slope().map(|slope| mean_y - slope * mean_x),
            Self::RegrCount => Some(count),
            Self::RegrR2 => (spread(xx) && spread(yy)).then(|| ((xy / xx) * (xy / yy)).min(1.0)),
            Self::RegrAvgx => some(mean_x),
            Self::RegrAvgy => some(mean_y),
            Self::RegrSxx => some(xx),
            Self::RegrSyy => some(yy),
            Self::RegrSxy => some(xy),
        }
    }
}

/// A statistic of pairs per slot. Its column is a structure of two floats, y and x; a pair with a null is left out.
#[derive(Clone, Debug)]
pub(super) struct Paired {
    statistic: PairStatistic,
    pairs: Vec<Pairs>,
}

impl Paired {
    /// Nothing yet.
    pub(super) fn new(statistic: PairStatistic) -> Self {
        Self { statistic, pairs: Vec::new() }
    }
}

impl Partial for Paired {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new(self.statistic))
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.pairs.resize(slots, Pairs::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let both = rows.column()?.as_struct_opt().map(arrow::array::StructArray::columns);
        let (y, x) = match both {
            Some([y, x]) => (y.as_primitive_opt::<Float64Type>(), x.as_primitive_opt::<Float64Type>()),
            _ => (None, None),
        };
        let (Some(y), Some(x)) = (y, x) else { return Err(Error::internal("pairs of numbers were expected")) };
        let pairs = self.pairs.as_mut_slice();
        rows.each_row(rows.column()?, |slot, _, row| {
            if y.is_valid(row) && x.is_valid(row) {
                pairs[slot].add(x.value(row), y.value(row));
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (pairs, slot) in same::<Self>(other)?.pairs.iter().zip(map) {
            self.pairs[*slot as usize].merge(pairs);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.pairs)?;
            into.merge(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let pairs = take_entries(&mut self.pairs, slots, &Pairs::default());
        Box::new(Self { statistic: self.statistic, pairs })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        match self.statistic {
            PairStatistic::RegrCount => {
                column.numbers::<UInt64Type>(picked, |slot| Some(self.pairs[slot].count as u64))
            }
            statistic => column.numbers::<Float64Type>(picked, |slot| statistic.of(&self.pairs[slot])),
        }
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.pairs)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.pairs = from_bytes(bytes)?;
        check_slots([self.pairs.len()], slots)
    }
}
