//! Exact percentiles: the values below which given fractions of the values lie.
//!
//! Between the two closest ranks the result is interpolated linearly, as SQL's `percentile_cont`, numpy's default and R's
//! type 7 do. Every value of an open window is kept (8 bytes each), once for all percentiles of a column. Windows that overlap keep
//! the values of the present one a second time, as they slide ([`super::ranks`]). Over long windows of fast sensors use the
//! approximate percentile.

use arrow::datatypes::Float64Type;
use lineside_model::{Error, Result};

use super::band::{place_of, select};
use super::ranks::Ranks;
use super::{Column, Pair, Partial, Picked, Rows, Statistic, check_slots, from_bytes, same, take_entries, to_bytes};

/// Room for so many values is not given back.
const ROOM_MIN: usize = 16;

/// All values per slot.
#[derive(Clone, Debug)]
pub(super) struct Percentiles {
    /// From 0 to 1.
    fractions: Vec<f64>,
    values: Vec<Vec<f64>>,
    /// Room for the values of further slots, that of the next one last.
    room: Vec<Vec<f64>>,
}

impl Percentiles {
    /// The percentiles at these fractions.
    pub(super) fn at(fractions: &[f64]) -> Self {
        Self { fractions: fractions.to_vec(), values: Vec::new(), room: Vec::new() }
    }
}

impl Partial for Percentiles {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::at(&self.fractions))
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        for values in &mut self.values {
            // One that was far longer once would keep its room for ever.
            if values.capacity() > ROOM_MIN.max(4 * values.len()) {
                values.shrink_to(2 * values.len());
            }
            values.clear();
        }
        self.values.reverse();
        Box::new(Self { fractions: self.fractions, values: Vec::new(), room: self.values })
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, || self.room.pop().unwrap_or_default());
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
        let values = take_entries(&mut self.values, slots, &Vec::new());
        Box::new(Self { values, ..Self::at(&self.fractions) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        self.emit_statistic(Statistic::Whole, picked, column)
    }

    fn emit_statistic(&self, statistic: Statistic, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let fraction = self.fractions.get(statistic.percentile().unwrap_or_default());
        let fraction = *fraction.ok_or_else(|| Error::internal("a percentile was not kept"))?;
        let mut places = Vec::new();
        let at = |slot: usize| {
            places.clear();
            places.extend(self.values[slot].iter().copied().map(place_of));
            select(&mut places, fraction)
        };
        let results = picked.collect::<_, Vec<_>>(at);
        column.numbers::<Float64Type>(&Picked::Run(0..results.len()), |n| results[n])
    }

    fn is_holistic(&self) -> bool {
        true
    }

    fn ranks(&self, wanted: &mut dyn Iterator<Item = Statistic>) -> Option<Ranks> {
        let mut numbers = wanted.filter_map(Statistic::percentile).collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers.dedup();
        let fraction = |number: usize| self.fractions.get(number).map(|fraction| (number, *fraction));
        // Another view may do without these values before they have left this one.
        (!numbers.is_empty()).then(|| Ranks::of(numbers.into_iter().filter_map(fraction)))
    }

    fn enter(&self, ranks: &mut Ranks, map: &[u32]) {
        ranks.enter(self.values.iter().map(Vec::as_slice), map);
    }

    fn leave(&self, ranks: &mut Ranks, map: &[u32]) {
        ranks.leave(self.values.iter().map(Vec::len), map);
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.values)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.values = from_bytes(bytes)?;
        check_slots([self.values.len()], slots)
    }
}
