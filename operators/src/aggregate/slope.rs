//! How fast a signal rises: the slope of the line of least squares through all readings of the window, per second.
//!
//! A heating that slows down, a tank that leaks, a bearing that warms: the slope sees it through the noise, where the difference of
//! the last and the first value (`rate_of_change`) has the noise of both. Times are counted from the first reading that
//! arrived, to the microsecond, so that no digit is lost in the age of the clock.

use arrow::datatypes::Float64Type;
use lineside_model::Result;
use serde::{Deserialize, Serialize};

use super::pairs::Pairs;
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// Moments of time and value.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Trend {
    /// What times are counted from, in microseconds.
    origin: i64,
    /// Pairs of seconds and values.
    pairs: Pairs,
}

impl Trend {
    fn merge(&mut self, other: &Self) {
        if self.pairs.count == 0.0 {
            *self = *other;
        } else if other.pairs.count > 0.0 {
            let mut pairs = other.pairs;
            pairs.mean_x += seconds(self.origin, other.origin);
            self.pairs.merge(&pairs);
        }
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

/// Slopes per slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Slope {
    trends: Vec<Trend>,
}

impl Partial for Slope {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.trends.resize(slots, Trend::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let trends = self.trends.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, time, value| {
            let trend = &mut trends[slot];
            if trend.pairs.count == 0.0 {
                trend.origin = time;
            }
            trend.pairs.add(seconds(trend.origin, time), value);
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (other, slot) in same::<Self>(other)?.trends.iter().zip(map) {
            self.trends[*slot as usize].merge(other);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.trends)?;
            into.merge(from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { trends: take_entries(&mut self.trends, slots, &Trend::default()) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        column.numbers::<Float64Type>(picked, |slot| self.trends[slot].pairs.slope())
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.trends)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.trends = from_bytes(bytes)?;
        check_slots([self.trends.len()], slots)
    }
}
