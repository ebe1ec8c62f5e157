//! The first and the last value by event time; of readings with the same time, by the order in which they arrived.
//!
//! Only event times are kept with the values: rows of one slice come in the order of arrival, and two slices never share
//! an event time.

use std::marker::PhantomData;

use arrow::datatypes::DataType;
use lineside_model::{Error, Result};

use super::values::{Float, Kept, Signed, Text, Unsigned};
use super::{
    Column, Pair, Partial, Picked, Rows, check_slots, fill_together, from_bytes, put_back_entries, same, take_entries,
    to_bytes,
};

/// The value with the earliest event time.
pub(super) fn first(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    edge::<false>(values)
}

/// The value with the latest event time.
pub(super) fn last(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    edge::<true>(values)
}

fn edge<const LAST: bool>(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    match values {
        Some(DataType::Int64) => Ok(Box::new(Edge::<Signed, LAST>::new())),
        Some(DataType::UInt64) => Ok(Box::new(Edge::<Unsigned, LAST>::new())),
        Some(DataType::Float64) => Ok(Box::new(Edge::<Float, LAST>::new())),
        Some(DataType::Utf8) => Ok(Box::new(Edge::<Text, LAST>::new())),
        other => Err(Error::internal(format!("first_value and last_value do not keep values as {other:?}"))),
    }
}

/// The first or last value per slot, with its event time.
#[derive(Clone, Debug)]
struct Edge<K: Kept, const LAST: bool> {
    times: Vec<i64>,
    values: Vec<K::Value>,
    present: Vec<bool>,
    kind: PhantomData<K>,
}

impl<K: Kept, const LAST: bool> Edge<K, LAST> {
    fn new() -> Self {
        Self { times: Vec::new(), values: Vec::new(), present: Vec::new(), kind: PhantomData }
    }

    /// Whether a value of `time` that arrived after the kept one takes its place.
    #[inline]
    fn replaces(time: i64, kept: i64) -> bool {
        if LAST { time >= kept } else { time < kept }
    }
}

impl<K: Kept, const LAST: bool> Partial for Edge<K, LAST> {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new())
    }

    fn emptied(mut self: Box<Self>) -> Box<dyn Partial> {
        self.times.clear();
        self.values.clear();
        self.present.clear();
        self
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.times.resize(slots, 0);
        self.values.resize(slots, K::Value::default());
        self.present.resize(slots, false);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (times, values, present) = (&mut self.times[..], &mut self.values[..], &mut self.present[..]);
        K::each(rows, |slot, time, value| {
            if !present[slot] || Self::replaces(time, times[slot]) {
                K::keep(&mut values[slot], value);
                times[slot] = time;
                present[slot] = true;
            }
        })
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        let other = same::<Self>(other)?;
        for (n, slot) in map.iter().enumerate().filter(|(n, _)| other.present[*n]) {
            let slot = *slot as usize;
            if !self.present[slot] || Self::replaces(other.times[n], self.times[slot]) {
                self.values[slot].clone_from(&other.values[n]);
                self.times[slot] = other.times[n];
                self.present[slot] = true;
            }
        }
        Ok(())
    }

    fn together(mut self: Box<Self>, one: &dyn Partial, next: &dyn Partial, _: &[u32]) -> Result<Box<dyn Partial>> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        let taken = |(n, (present, is_there)): (usize, (&bool, &bool))| {
            *is_there & (!*present | Self::replaces(next.times[n], one.times[n]))
        };
        let from = || one.present.iter().zip(&next.present).enumerate().map(taken).enumerate();
        self.times.clear();
        self.times.extend(from().map(|(n, taken)| if taken { next.times[n] } else { one.times[n] }));
        self.values.clear();
        self.values.extend(from().map(|(n, taken)| if taken { &next.values[n] } else { &one.values[n] }.clone()));
        fill_together(&mut self.present, &one.present, &next.present, |one, next| one | next);
        Ok(self)
    }

    fn together_again(&mut self, one: &dyn Partial, next: &dyn Partial, changed: &[u32]) -> Result<bool> {
        let (one, next) = (same::<Self>(one)?, same::<Self>(next)?);
        for slot in changed {
            let slot = *slot as usize;
            let taken = next.present[slot] & (!one.present[slot] | Self::replaces(next.times[slot], one.times[slot]));
            let of = if taken { next } else { one };
            self.times[slot] = of.times[slot];
            self.values[slot].clone_from(&of.values[slot]);
            self.present[slot] = of.present[slot];
        }
        Ok(true)
    }

    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        let taken = same::<Self>(taken)?;
        put_back_entries(&mut self.times, &taken.times, slots);
        put_back_entries(&mut self.values, &taken.values, slots);
        put_back_entries(&mut self.present, &taken.present, slots);
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = (pair.from as usize, pair.into as usize);
            let taken =
                self.present[from] && (!self.present[into] || Self::replaces(self.times[from], self.times[into]));
            if taken {
                let (value, kept) = pair.of(&mut self.values)?;
                kept.clone_from(value);
                self.times[into] = self.times[from];
                self.present[into] = true;
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self {
            times: take_entries(&mut self.times, slots, &0),
            values: take_entries(&mut self.values, slots, &K::Value::default()),
            present: take_entries(&mut self.present, slots, &false),
            kind: PhantomData,
        })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        K::emit(picked, |slot| self.present[slot].then(|| &self.values[slot]), column)
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&(&self.times, &self.values, &self.present))
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        (self.times, self.values, self.present) = from_bytes(bytes)?;
        check_slots([self.times.len(), self.values.len(), self.present.len()], slots)
    }
}
