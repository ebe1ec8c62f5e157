//! Count, sum, mean, least and greatest value of one column of floats, side by side.
//!
//! A query seldom wants just one of them. Kept together, a reading touches one place of 32 bytes for each sensor, once, instead
//! of one place for each aggregate. The column is read once, too.
//!
//! Extremes are kept as integers that have the order of the floats: then the least and the greatest are found without a branch,
//! and NaN, of whatever sign, is greater than all others by its number alone. Minus zero counts as less than zero.

use arrow::array::Array;
use arrow::datatypes::{Float64Type, Int64Type};
use lineside_model::Result;
use serde::{Deserialize, Serialize};

use super::{
    Column, Pair, Partial, Picked, Rows, Statistic, check_slots, fill_together, from_bytes, put_back_entries,
    put_before_entries, same, stay, take_entries, to_bytes,
};

/// What is known of the values of one slot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Numbers {
    sum: f64,
    least: i64,
    greatest: i64,
    values: u64,
}

impl Numbers {
    const NONE: Self = Self { sum: 0.0, least: i64::MAX, greatest: i64::MIN, values: 0 };

    #[inline]
    fn add(&mut self, value: f64) {
        let place = place(value);
        self.sum += value;
        self.least = self.least.min(place);
        self.greatest = self.greatest.max(place);
        self.values += 1;
    }

    /// These and others together.
    fn with(&self, other: &Self) -> Self {
        let mut both = *self;
        both.merge(other);
        both
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        // A damaged snapshot may hold any count, so this one addition must not overflow.
        self.values = self.values.saturating_add(other.values);
    }
}

/// Where a float stands in the order of all floats.
#[inline]
fn place(value: f64) -> i64 {
    let bits = if value.is_nan() { f64::NAN } else { value }.to_bits().cast_signed();
    bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()
}

/// The float at a place.
fn value_at(place: i64) -> f64 {
    f64::from_bits((place ^ (place >> 63).cast_unsigned().wrapping_shr(1).cast_signed()).cast_unsigned())
}

/// Numbers per slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    numbers: Vec<Numbers>,
    /// How many rows had no value; empty as long as all have one, as nearly always.
    nulls: Vec<u64>,
}

impl Summary {
    fn floats(&self, picked: &Picked<'_>, column: &mut Column, of: impl Fn(&Numbers) -> f64) -> Result<()> {
        let numbers = self.numbers.as_slice();
        column.numbers::<Float64Type>(picked, |slot| (numbers[slot].values > 0).then(|| of(&numbers[slot])))
    }

    fn counts(&self, picked: &Picked<'_>, column: &mut Column, of: impl Fn(usize) -> u64) -> Result<()> {
        column.numbers::<Int64Type>(picked, |slot| Some(i64::try_from(of(slot)).unwrap_or(i64::MAX)))
    }

    /// How many rows had no value, with a place for each slot.
    fn nulls(&mut self) -> &mut [u64] {
        grow(&mut self.nulls, self.numbers.len(), 0);
        &mut self.nulls
    }
}

impl Partial for Summary {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::default())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.numbers.clear();
        self.nulls.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        grow(&mut self.numbers, slots, Numbers::NONE);
        if !self.nulls.is_empty() {
            grow(&mut self.nulls, slots, 0);
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = rows.numbers::<Float64Type>()?;
        let numbers = self.numbers.as_mut_slice();
        rows.each(column, |slot, _, value| numbers[slot].add(value));
        if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
            let counts = self.nulls();
            for (_, slot) in (rows.start..).zip(rows.slots).filter(|(row, _)| nulls.is_null(*row)) {
                counts[*slot as usize] += 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        let other = same::<Self>(other)?;
        let mine = self.numbers.as_mut_slice();
        match stay(map) {
            true => mine.iter_mut().zip(&other.numbers).zip(map).for_each(|((mine, numbers), _)| mine.merge(numbers)),
            false => other.numbers.iter().zip(map).for_each(|(numbers, slot)| mine[*slot as usize].merge(numbers)),
        }
        if !other.nulls.is_empty() {
            let mine = self.nulls();
            for (nulls, slot) in other.nulls.iter().zip(map).filter(|(nulls, _)| **nulls > 0) {
                mine[*slot as usize] = mine[*slot as usize].saturating_add(*nulls);
            }
        }
        Ok(())
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        fill_together(&mut self.numbers, &one.numbers, &next.numbers, Numbers::with);
        match (one.nulls.as_slice(), next.nulls.as_slice()) {
            ([], nulls) | (nulls, []) => nulls.clone_into(&mut self.nulls),
            (one, next) => fill_together(&mut self.nulls, one, next, |one, next| one.saturating_add(*next)),
        }
        Ok(self)
    }

    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        let other = same::<Self>(other)?;
        let numbers = put_before_entries(&mut self.numbers, &other.numbers, map, Numbers::with);
        let nulls = match (self.nulls.as_slice(), other.nulls.as_slice()) {
            ([], []) => Vec::new(),
            (nulls, []) => map.iter().map(|slot| nulls[*slot as usize]).collect(),
            (_, nulls) => put_before_entries(self.nulls(), nulls, map, |one, next| one.saturating_add(*next)),
        };
        Ok(Box::new(Self { numbers, nulls }))
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        let taken = same::<Self>(taken)?;
        put_back_entries(&mut self.numbers, &taken.numbers, slots);
        match taken.nulls.as_slice() {
            [] if self.nulls.is_empty() => {}
            [] => slots.iter().for_each(|slot| self.nulls[*slot as usize] = 0),
            nulls => put_back_entries(self.nulls(), nulls, slots),
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.numbers)?;
            into.merge(from);
            if !self.nulls.is_empty() {
                let (from, into) = pair.of(&mut self.nulls)?;
                *into = into.saturating_add(*from);
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self {
            numbers: take_entries(&mut self.numbers, slots, &Numbers::NONE),
            nulls: if self.nulls.is_empty() { Vec::new() } else { take_entries(&mut self.nulls, slots, &0) },
        })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        self.emit_statistic(Statistic::Count, picked, column)
    }

    fn emit_statistic(&self, statistic: Statistic, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let (numbers, nulls) = (self.numbers.as_slice(), self.nulls.as_slice());
        match statistic {
            Statistic::Rows if !nulls.is_empty() => {
                self.counts(picked, column, |slot| numbers[slot].values.saturating_add(nulls[slot]))
            }
            Statistic::Rows | Statistic::Whole | Statistic::Count => {
                self.counts(picked, column, |slot| numbers[slot].values)
            }
            Statistic::Sum => self.floats(picked, column, |numbers| numbers.sum),
            Statistic::Mean => column.means(picked, |slot| (numbers[slot].sum, numbers[slot].values)),
            Statistic::Least => self.floats(picked, column, |numbers| value_at(numbers.least)),
            Statistic::Greatest => self.floats(picked, column, |numbers| value_at(numbers.greatest)),
        }
    }

    fn save(&self) -> Result<Vec<u8>> {
        match self.nulls.is_empty() {
            true => to_bytes(&(&self.numbers, vec![0u64; self.numbers.len()])),
            false => to_bytes(&(&self.numbers, &self.nulls)),
        }
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        (self.numbers, self.nulls) = from_bytes(bytes)?;
        check_slots([self.numbers.len(), self.nulls.len()], slots)?;
        if self.nulls.iter().all(|nulls| *nulls == 0) {
            self.nulls = Vec::new();
        }
        Ok(())
    }
}

/// Makes room for slots, with half of it to spare rather than as much again: for a million sensors that is 16 MB and not 32.
fn grow<T: Copy>(column: &mut Vec<T>, slots: usize, empty: T) {
    if slots > column.capacity() {
        let room = slots.max(column.capacity() + column.capacity() / 2);
        column.reserve_exact(room - column.len());
    }
    column.resize(slots, empty);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_at_most_48_bytes_however_slots_were_added() {
        let mut summary = Summary::default();
        for slots in (0..100_000).step_by(777) {
            summary.resize(slots);
        }
        let bytes = summary.numbers.capacity() * size_of::<Numbers>() + summary.nulls.capacity() * size_of::<u64>();
        assert!(bytes <= 48 * summary.numbers.len(), "{bytes} bytes for {} slots", summary.numbers.len());
    }

    #[test]
    fn places_have_the_order_of_floats_and_lead_back_to_them() {
        let ordered =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -f64::MIN_POSITIVE, -0.0, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        for pair in ordered.windows(2) {
            assert!(place(pair[0]) < place(pair[1]), "{pair:?}");
        }
        for value in ordered {
            assert_eq!(value_at(place(value)).to_bits(), value.to_bits());
        }
        assert!(place(-f64::NAN) == place(f64::NAN) && place(f64::NAN) > place(f64::INFINITY));
        assert!(value_at(place(f64::NAN)).is_nan());
    }
}
