//! How far apart the least and the greatest value of a window are: the height of the band a signal moved in.

use arrow::datatypes::Float64Type;
use lineside_model::Result;

use super::values::{Float, Kept};
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// The least and the greatest value per slot; NaN is greater than all others.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueRange {
    bounds: Vec<Option<(f64, f64)>>,
}

/// Widens a slot to values between `low` and `high`.
#[inline]
fn widen(slot: &mut Option<(f64, f64)>, low: f64, high: f64) {
    match slot {
        None => *slot = Some((low, high)),
        Some((least, greatest)) => {
            if Float::before(low, *least) {
                *least = low;
            }
            if Float::before(*greatest, high) {
                *greatest = high;
            }
        }
    }
}

impl Partial for ValueRange {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.bounds.resize(slots, None);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let bounds = self.bounds.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, _, value| widen(&mut bounds[slot], value, value));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (other, slot) in same::<Self>(other)?.bounds.iter().zip(map) {
            if let Some((low, high)) = *other {
                widen(&mut self.bounds[*slot as usize], low, high);
            }
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.bounds)?;
            if let Some((low, high)) = *from {
                widen(into, low, high);
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { bounds: take_entries(&mut self.bounds, slots, &None) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        // Two equal infinities are no distance apart.
        let range = |(low, high): (f64, f64)| if low == high { 0.0 } else { high - low };
        column.numbers::<Float64Type>(picked, |slot| self.bounds[slot].map(range))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.bounds)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.bounds = from_bytes(bytes)?;
        check_slots([self.bounds.len()], slots)
    }
}
