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

use super::entries::{EMPTY, Entries, Entry, grow};
use super::{
    Column, Pair, Partial, Picked, Rows, Statistic, check_slots, fill_again, fill_together, from_bytes,
    put_back_entries, put_before_entries, same, stay, take_entries, to_bytes,
};

const SIGN: u64 = 1 << 63;

/// What is known of the values of one slot.
///
/// Nothing is all zeros: ranks are places counted from the least there could be, and of the least value the rank is kept from
/// the other end. So the smaller value has the greater rank, and both extremes are found in the same way.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    sum: f64,
    least: u64,
    greatest: u64,
    values: u64,
}

impl Numbers {
    #[inline]
    fn of(entry: &Entry) -> Self {
        let [sum, least, greatest, values] = *entry;
        Self {
            sum: f64::from_le_bytes(sum),
            least: u64::from_le_bytes(least),
            greatest: u64::from_le_bytes(greatest),
            values: u64::from_le_bytes(values),
        }
    }

    #[inline]
    fn entry(self) -> Entry {
        let Self { sum, least, greatest, values } = self;
        [sum.to_le_bytes(), least.to_le_bytes(), greatest.to_le_bytes(), values.to_le_bytes()]
    }

    #[inline]
    fn add(self, value: f64, rank: u64) -> Self {
        Self {
            sum: self.sum + value,
            least: self.least.max(!rank),
            greatest: self.greatest.max(rank),
            values: self.values + 1,
        }
    }

    /// What two entries know together.
    #[inline]
    fn with(one: &Entry, next: &Entry) -> Entry {
        let (one, next) = (Self::of(one), Self::of(next));
        let both = Self {
            sum: one.sum + next.sum,
            least: one.least.max(next.least),
            greatest: one.greatest.max(next.greatest),
            // A damaged snapshot may hold any count, so this one addition must not overflow.
            values: one.values.saturating_add(next.values),
        };
        both.entry()
    }
}

/// Where a float stands in the order of all floats, which is neither first nor last.
#[inline]
fn rank(value: f64) -> u64 {
    rank_of_number(if value.is_nan() { f64::NAN } else { value })
}

/// The same of one that is not a NaN with a sign.
#[inline]
fn rank_of_number(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ ((bits.cast_signed() >> 63).cast_unsigned() | SIGN)
}

/// The float of a rank.
#[inline]
fn value_at(rank: u64) -> f64 {
    f64::from_bits(rank ^ ((!rank.cast_signed() >> 63).cast_unsigned() | SIGN))
}

/// Numbers per slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    numbers: Entries,
    /// How many rows had no value; empty as long as all have one, as nearly always.
    nulls: Vec<u64>,
}

impl Summary {
    fn floats(&self, picked: &Picked<'_>, column: &mut Column, of: impl Fn(Numbers) -> f64) -> Result<()> {
        let entries: &[Entry] = &self.numbers;
        column.numbers::<Float64Type>(picked, |slot| {
            let numbers = Numbers::of(&entries[slot]);
            (numbers.values > 0).then(|| of(numbers))
        })
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
        self.numbers.resize(slots);
        if !self.nulls.is_empty() {
            grow(&mut self.nulls, slots, 0);
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = rows.numbers::<Float64Type>()?;
        let entries: &mut [Entry] = &mut self.numbers;
        let mut add = |slot: usize, value, rank| entries[slot] = Numbers::of(&entries[slot]).add(value, rank).entry();
        // NaN is looked for in all rows at once, which takes less than to ask each row for it.
        let values = &column.values()[rows.start..rows.start + rows.slots.len()];
        if values.iter().fold(false, |any, value| any | value.is_nan()) {
            rows.each(column, |slot, _, value| add(slot, value, rank(value)));
        } else {
            rows.each(column, |slot, _, value| add(slot, value, rank_of_number(value)));
        }
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
        let (mine, others) = (&mut *self.numbers, other.numbers.iter());
        let merge = |mine: &mut Entry, entry: &Entry| *mine = Numbers::with(mine, entry);
        match stay(map) {
            true => mine.iter_mut().zip(others).zip(map).for_each(|((mine, entry), _)| merge(mine, entry)),
            false => others.zip(map).for_each(|(entry, slot)| merge(&mut mine[*slot as usize], entry)),
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
        self.numbers.clear();
        self.numbers.resize(one.numbers.len());
        let both = self.numbers.iter_mut().zip(one.numbers.iter().zip(next.numbers.iter()));
        both.for_each(|(both, (one, next))| *both = Numbers::with(one, next));
        match (one.nulls.as_slice(), next.nulls.as_slice()) {
            ([], nulls) | (nulls, []) => nulls.clone_into(&mut self.nulls),
            (one, next) => fill_together(&mut self.nulls, one, next, |one, next| one.saturating_add(*next)),
        }
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        fill_again(&mut self.numbers, &one.numbers, &next.numbers, changed, Numbers::with);
        match (one.nulls.as_slice(), next.nulls.as_slice()) {
            ([], []) => self.nulls.clear(),
            (nulls, []) | ([], nulls) => {
                let mine = self.nulls();
                changed.iter().for_each(|slot| mine[*slot as usize] = nulls[*slot as usize]);
            }
            (one, next) => fill_again(self.nulls(), one, next, changed, |one, next| one.saturating_add(*next)),
        }
        Ok(true)
    }

    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        let other = same::<Self>(other)?;
        let numbers = put_before_entries(&mut self.numbers, &other.numbers, map, Numbers::with);
        let nulls = match (self.nulls.as_slice(), other.nulls.as_slice()) {
            ([], []) => Vec::new(),
            (nulls, []) => map.iter().map(|slot| nulls[*slot as usize]).collect(),
            (_, nulls) => put_before_entries(self.nulls(), nulls, map, |one, next| one.saturating_add(*next)),
        };
        Ok(Box::new(Self { numbers: numbers.into(), nulls }))
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
            *into = Numbers::with(into, from);
            if !self.nulls.is_empty() {
                let (from, into) = pair.of(&mut self.nulls)?;
                *into = into.saturating_add(*from);
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self {
            numbers: take_entries(&mut self.numbers, slots, &EMPTY).into(),
            nulls: if self.nulls.is_empty() { Vec::new() } else { take_entries(&mut self.nulls, slots, &0) },
        })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        self.emit_statistic(Statistic::Count, picked, column)
    }

    fn emit_statistic(&self, statistic: Statistic, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let (entries, nulls): (&[Entry], &[u64]) = (&self.numbers, &self.nulls);
        let numbers = |slot: usize| Numbers::of(&entries[slot]);
        match statistic {
            Statistic::Rows if !nulls.is_empty() => {
                self.counts(picked, column, |slot| numbers(slot).values.saturating_add(nulls[slot]))
            }
            Statistic::Rows | Statistic::Whole | Statistic::Count => {
                self.counts(picked, column, |slot| numbers(slot).values)
            }
            Statistic::Sum => self.floats(picked, column, |numbers| numbers.sum),
            Statistic::Mean => column.means(picked, |slot| (numbers(slot).sum, numbers(slot).values)),
            Statistic::Least => self.floats(picked, column, |numbers| value_at(!numbers.least)),
            Statistic::Greatest => self.floats(picked, column, |numbers| value_at(numbers.greatest)),
            Statistic::Percentile(_) => Err(lineside_model::Error::internal("a summary has no percentiles")),
        }
    }

    fn save(&self) -> Result<Vec<u8>> {
        match self.nulls.is_empty() {
            true => to_bytes(&(&*self.numbers, vec![0u64; self.numbers.len()])),
            false => to_bytes(&(&*self.numbers, &self.nulls)),
        }
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        let (numbers, nulls) = from_bytes::<(Vec<Entry>, _)>(bytes)?;
        (self.numbers, self.nulls) = (numbers.into(), nulls);
        check_slots([self.numbers.len(), self.nulls.len()], slots)?;
        if self.nulls.iter().all(|nulls| *nulls == 0) {
            self.nulls = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Float64Array};

    #[test]
    fn ranks_have_the_order_of_floats_and_lead_back_to_them() {
        let ordered =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -f64::MIN_POSITIVE, -0.0, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        for pair in ordered.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{pair:?}");
        }
        for value in ordered {
            assert_eq!(value_at(rank(value)).to_bits(), value.to_bits());
        }
        assert!(rank(-f64::NAN) == rank(f64::NAN) && rank(f64::NAN) > rank(f64::INFINITY));
        assert!(value_at(rank(f64::NAN)).is_nan());
        let nothing = Numbers::of(&EMPTY);
        assert!(nothing.greatest < rank(f64::NEG_INFINITY) && nothing.least < !rank(f64::NAN));
    }

    #[test]
    fn nan_is_the_greatest_of_all_in_whichever_rows_it_comes() {
        let values = [2.0, f64::NAN, -1.0, 5.0, -f64::NAN, 3.0, -0.5];
        let column = Float64Array::from(values.to_vec());
        for rows_at_once in 1..=values.len() {
            let mut summary = Summary::default();
            summary.resize(2);
            for start in (0..values.len()).step_by(rows_at_once) {
                // Every other row is of the other sensor.
                let slots =
                    (start as u32..values.len() as u32).take(rows_at_once).map(|row| row % 2).collect::<Vec<_>>();
                let times = vec![0; slots.len()];
                summary.update(&Rows { slots: &slots, times: &times, column: Some(&column), start }).expect("numbers");
            }
            let told = |statistic| {
                let mut column = Column::new(2);
                summary.emit_statistic(statistic, &Picked::Run(0..2), &mut column).expect("it has that");
                column.finish().expect("there are rows").as_primitive::<Float64Type>().values().to_vec()
            };
            let (least, greatest) = (told(Statistic::Least), told(Statistic::Greatest));
            assert_eq!(least, [-1.0, 3.0], "{rows_at_once} rows at once");
            assert!(greatest.iter().all(|value| value.is_nan()), "{rows_at_once} rows at once");
        }
    }
}
