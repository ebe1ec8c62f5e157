//! How often each value occurs: how many different ones there are, and which is the most frequent.
//!
//! For states, recipes, part numbers. Each different value of an open window is kept once with its number, so the state is as
//! large as the values are different; for measured floats, or very many part numbers, use `approx_distinct`.
//! Minus zero is zero, and NaN is one value.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;
use lineside_model::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::values::{Float, Kept, Signed, Text, Unsigned};
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// A tally whose result is how many different values there are.
pub(super) fn distinct(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    tally::<false>(values)
}

/// A tally whose result is the most frequent value; of several the least.
pub(super) fn mode(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    tally::<true>(values)
}

fn tally<const MODE: bool>(values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    match values {
        Some(DataType::Int64) => Ok(Box::new(Tally::<Signed, MODE>::new())),
        Some(DataType::UInt64) => Ok(Box::new(Tally::<Unsigned, MODE>::new())),
        Some(DataType::Float64) => Ok(Box::new(Tally::<Float, MODE>::new())),
        Some(DataType::Utf8) => Ok(Box::new(Tally::<Text, MODE>::new())),
        other => Err(Error::internal(format!("values are not counted as {other:?}"))),
    }
}

/// A value that can be looked up.
trait Counted: Kept {
    /// What stands for equal values; its order is that of the values.
    type Key: Clone + Ord + Hash + Debug + Send + Serialize + DeserializeOwned;

    /// Counts a value.
    fn count(tally: &mut HashMap<Self::Key, u64>, value: Self::Seen<'_>);
    /// The value that a key stands for.
    fn value(key: &Self::Key) -> Self::Value;
}

impl Counted for Signed {
    type Key = i64;

    fn count(tally: &mut HashMap<i64, u64>, value: i64) {
        *tally.entry(value).or_default() += 1;
    }

    fn value(key: &i64) -> i64 {
        *key
    }
}

impl Counted for Unsigned {
    type Key = u64;

    fn count(tally: &mut HashMap<u64, u64>, value: u64) {
        *tally.entry(value).or_default() += 1;
    }

    fn value(key: &u64) -> u64 {
        *key
    }
}

const SIGN: u64 = 1 << 63;

impl Counted for Float {
    /// The bits of the float, turned so that their order is that of the floats.
    type Key = u64;

    fn count(tally: &mut HashMap<u64, u64>, value: f64) {
        // Adding zero makes minus zero plus zero.
        let bits = if value.is_nan() { f64::NAN } else { value + 0.0 }.to_bits();
        *tally.entry(if bits & SIGN == 0 { bits | SIGN } else { !bits }).or_default() += 1;
    }

    fn value(key: &u64) -> f64 {
        f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
    }
}

impl Counted for Text {
    type Key = String;

    fn count(tally: &mut HashMap<String, u64>, value: &str) {
        // A text is copied only when it is new.
        *tally.entry_ref(value).or_default() += 1;
    }

    fn value(key: &String) -> String {
        key.clone()
    }
}

/// Adds what was counted elsewhere.
fn add<K: Counted>(tally: &mut HashMap<K::Key, u64>, other: &HashMap<K::Key, u64>) {
    for (value, times) in other {
        // A damaged snapshot may hold any number, so this addition must not overflow.
        match tally.get_mut(value) {
            Some(number) => *number = number.saturating_add(*times),
            None => drop(tally.insert(value.clone(), *times)),
        }
    }
}

/// How often each value occurs, per slot.
#[derive(Clone, Debug)]
struct Tally<K: Counted, const MODE: bool> {
    slots: Vec<HashMap<K::Key, u64>>,
    kind: PhantomData<K>,
}

impl<K: Counted, const MODE: bool> Tally<K, MODE> {
    fn new() -> Self {
        Self { slots: Vec::new(), kind: PhantomData }
    }
}

impl<K: Counted, const MODE: bool> Partial for Tally<K, MODE> {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new())
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.slots.resize_with(slots, HashMap::new);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let slots = self.slots.as_mut_slice();
        K::each(rows, |slot, _, value| K::count(&mut slots[slot], value))
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (other, slot) in same::<Self>(other)?.slots.iter().zip(map) {
            add::<K>(&mut self.slots[*slot as usize], other);
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.slots)?;
            add::<K>(into, from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { slots: take_entries(&mut self.slots, slots, &HashMap::new()), kind: PhantomData })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        if !MODE {
            return column.numbers::<Int64Type>(picked, |slot| i64::try_from(self.slots[slot].len()).ok());
        }
        let most = |values: &HashMap<K::Key, u64>| {
            let most = values.iter().max_by(|one, other| one.1.cmp(other.1).then_with(|| other.0.cmp(one.0)));
            most.map(|(value, _)| K::value(value))
        };
        let modes = picked.collect::<_, Vec<_>>(|slot| most(&self.slots[slot]));
        K::emit(&Picked::Run(0..modes.len()), |n| modes[n].as_ref(), column)
    }

    fn save(&self) -> Result<Vec<u8>> {
        // In the order of values, so that equal states are equal bytes.
        to_bytes(&self.slots.iter().map(|values| values.iter().collect::<BTreeMap<_, _>>()).collect::<Vec<_>>())
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        let saved = from_bytes::<Vec<BTreeMap<K::Key, u64>>>(bytes)?;
        self.slots = saved.into_iter().map(|values| values.into_iter().collect()).collect();
        check_slots([self.slots.len()], slots)
    }
}
