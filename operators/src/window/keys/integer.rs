//! Keys of one integer column, such as tags numbered by the register map.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::ArrowNativeType;
use hashbrown::HashMap;
use lineside_model::Result;

use super::{Keys, NONE, follow, next, only, unexpected};

/// Integers below this are looked up in an array, and so are larger ones if they lie close together:
const DIRECT_MIN: usize = 1 << 16;
/// the array has at most so many entries for each key.
const ENTRIES_PER_KEY: usize = 16;
/// So many keys are compared or looked up at a time.
const KEYS_AT_ONCE: usize = 128;

/// One column of integers. They are looked up in an array where they are small or close together, as tags numbered from 0 are
/// the common case, else in a map.
pub(super) struct IntegerKeys<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    null: u32,
    direct: Vec<u32>,
    others: HashMap<T::Native, u32>,
}

impl<T: ArrowPrimitiveType> Debug for IntegerKeys<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntegerKeys").field("values", &self.values).finish_non_exhaustive()
    }
}

impl<T: ArrowPrimitiveType> Default for IntegerKeys<T> {
    fn default() -> Self {
        Self { values: Vec::new(), null: NONE, direct: Vec::new(), others: HashMap::new() }
    }
}

impl<T: ArrowPrimitiveType> IntegerKeys<T>
where
    T::Native: Hash + Eq,
{
    #[inline]
    fn id(&mut self, key: T::Native) -> Result<u32> {
        match key.to_usize().and_then(|key| self.direct.get_mut(key)) {
            Some(place) => {
                if *place == NONE {
                    *place = next(self.values.len())?;
                    self.values.push(key);
                }
                Ok(*place)
            }
            None => self.far_id(key),
        }
    }

    /// The number of a key beyond the array.
    fn far_id(&mut self, key: T::Native) -> Result<u32> {
        if let Some(id) = self.others.get(&key) {
            return Ok(*id);
        }
        let id = next(self.values.len())?;
        self.values.push(key);
        let limit = DIRECT_MIN.max(ENTRIES_PER_KEY * self.values.len());
        match key.to_usize().filter(|key| *key < limit) {
            Some(small) => {
                self.widen((small + 1).next_power_of_two());
                self.direct[small] = id;
            }
            None => {
                self.others.insert(key, id);
            }
        }
        Ok(id)
    }

    /// Lets the array have so many entries: the keys that it then covers leave the map.
    fn widen(&mut self, entries: usize) {
        self.direct.resize(entries, NONE);
        let direct = &mut self.direct;
        self.others.retain(|key, id| match key.to_usize().and_then(|key| direct.get_mut(key)) {
            Some(place) => {
                *place = *id;
                false
            }
            None => true,
        });
    }

    /// Numbers a column without nulls.
    fn number(&mut self, keys: &[T::Native], ids: &mut Vec<u32>) -> Result<()> {
        let mut rest = keys;
        while !rest.is_empty() {
            // Devices are polled one after the other, so that keys often come in the order in which they came first. To see that they do
            // takes no table, which for a million keys is larger than near caches.
            let expected = ids.last().and_then(|last| self.values.get(*last as usize + 1..)).unwrap_or_default();
            let (some, behind) = rest.split_at(rest.len().min(KEYS_AT_ONCE));
            // Numbers have 32 bits, see `next`.
            let first = (self.values.len() - expected.len()) as u32;
            let numbers = first..first + some.len() as u32;
            // Null has the place of a value among the others, but is none.
            if expected.get(..some.len()) == Some(some) && !numbers.contains(&self.null) {
                ids.extend(numbers);
            } else {
                self.look_up(some, ids)?;
            }
            rest = behind;
        }
        Ok(())
    }

    fn look_up(&mut self, keys: &[T::Native], ids: &mut Vec<u32>) -> Result<()> {
        // Twice through: the first loop has no calls in it, and mostly finds everything.
        let start = ids.len();
        let direct = |key: &T::Native| key.to_usize().and_then(|key| self.direct.get(key)).copied();
        ids.extend(keys.iter().map(|key| direct(key).unwrap_or(NONE)));
        if ids[start..].contains(&NONE) {
            for (id, key) in ids[start..].iter_mut().zip(keys).filter(|(id, _)| **id == NONE) {
                *id = self.id(*key)?;
            }
        }
        Ok(())
    }

    fn null_id(&mut self) -> Result<u32> {
        if self.null == NONE {
            self.null = next(self.values.len())?;
            self.values.push(T::default_value());
        }
        Ok(self.null)
    }
}

impl<T: ArrowPrimitiveType> Keys for IntegerKeys<T>
where
    T::Native: Hash + Eq,
{
    fn intern(&mut self, columns: &[ArrayRef], _: usize, ids: &mut Vec<u32>) -> Result<()> {
        let column = only(columns)?;
        let column = column.as_primitive_opt::<T>().ok_or_else(|| unexpected(column))?;
        if column.null_count() == 0 {
            self.number(column.values(), ids)?;
        } else {
            for key in column {
                ids.push(match key {
                    Some(key) => self.id(key)?,
                    None => self.null_id()?,
                });
            }
        }
        Ok(())
    }

    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let values = match ids.first() {
            Some(first) if follow(ids) => self.values[*first as usize..][..ids.len()].to_vec(),
            _ => ids.iter().map(|id| self.values[*id as usize]).collect::<Vec<_>>(),
        };
        let nulls = ids.contains(&self.null).then(|| ids.iter().map(|id| *id != self.null).collect::<NullBuffer>());
        Ok(vec![Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))])
    }

    fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    #[test]
    fn keys_have_their_numbers_whatever_the_order_they_come_in() {
        let mut keys = IntegerKeys::<Int64Type>::default();
        let first = (0..1_000).map(|n| n * 7 % 1_000).collect::<Vec<i64>>();
        let again = first.iter().chain(&first[3..]).chain(first.iter().rev()).chain(&[5_000, 5_001]);
        let again = again.chain(&first).chain(&[5_000, 5_001, 5_002]).copied();
        let (mut ids, mut numbers) = (Vec::new(), HashMap::new());
        for some in first.iter().copied().chain(again.clone()).collect::<Vec<_>>().chunks(700) {
            keys.intern(&[Arc::new(Int64Array::from(some.to_vec()))], some.len(), &mut ids).expect("they are integers");
        }
        let expected = first.iter().copied().chain(again).map(|key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        });
        assert!(expected.eq(ids));
    }

    #[test]
    fn null_is_no_number_wherever_it_came() {
        let mut keys = IntegerKeys::<Int64Type>::default();
        let mut number = |some: Vec<Option<i64>>| {
            let mut ids = Vec::new();
            let rows = some.len();
            keys.intern(&[Arc::new(Int64Array::from(some))], rows, &mut ids).expect("they are integers");
            ids
        };
        assert_eq!(number(vec![Some(7), None, Some(3)]), [0, 1, 2]);
        assert_eq!(number(vec![Some(7)]), [0]);
        let mut many = vec![Some(7); KEYS_AT_ONCE];
        many.extend([Some(0), Some(3)]);
        assert_eq!(number(many)[KEYS_AT_ONCE..], [3, 2]);
    }

    #[test]
    fn keys_keep_their_numbers_while_the_array_grows() {
        let mut keys = IntegerKeys::<Int64Type>::default();
        let all = (0..50_000).map(|n| n * 7 - 1_000).chain([i64::MAX, i64::MIN, 40_000_000]).collect::<Vec<_>>();
        let mut first = Vec::new();
        for some in all.chunks(333) {
            let column: ArrayRef = Arc::new(Int64Array::from(some.to_vec()));
            keys.intern(&[column], some.len(), &mut first).expect("they are integers");
        }
        assert!(first.iter().copied().eq(0..50_003));
        let mut again = Vec::new();
        keys.intern(&[Arc::new(Int64Array::from(all))], 50_003, &mut again).expect("they are integers");
        assert_eq!(first, again);
        assert!(keys.others.len() < 1_000 && keys.direct.len() <= 1 << 20, "{} entries", keys.direct.len());
    }
}
