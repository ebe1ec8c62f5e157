//! Keys of one integer column, such as tags numbered by the register map.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::ArrowNativeType;
use hashbrown::HashMap;
use lineside_model::Result;

use super::{Keys, NONE, next, only, unexpected};

/// Integers below this are looked up in an array.
const DIRECT_LIMIT: usize = 1 << 16;

/// One column of integers. Small ones are looked up in an array, as tags numbered from 0 are the common case.
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
    fn id(&mut self, key: T::Native) -> Result<u32> {
        let direct = key.to_usize().and_then(|key| self.direct.get(key)).filter(|id| **id != NONE);
        if let Some(id) = direct.or_else(|| self.others.get(&key)) {
            return Ok(*id);
        }
        let id = next(self.values.len())?;
        self.values.push(key);
        match key.to_usize().filter(|key| *key < DIRECT_LIMIT) {
            Some(small) => {
                if small >= self.direct.len() {
                    self.direct.resize((small + 1).next_power_of_two(), NONE);
                }
                self.direct[small] = id;
            }
            None => {
                self.others.insert(key, id);
            }
        }
        Ok(id)
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
            // Twice through: the first loop has no calls in it, and mostly finds everything.
            let start = ids.len();
            let direct = |key: &T::Native| key.to_usize().and_then(|key| self.direct.get(key)).copied();
            ids.extend(column.values().iter().map(|key| direct(key).unwrap_or(NONE)));
            if ids[start..].contains(&NONE) {
                for (id, key) in ids[start..].iter_mut().zip(column.values()).filter(|(id, _)| **id == NONE) {
                    *id = self.id(*key)?;
                }
            }
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
        let values = ids.iter().map(|id| self.values[*id as usize]).collect::<Vec<_>>();
        let nulls = ids.contains(&self.null).then(|| ids.iter().map(|id| *id != self.null).collect::<NullBuffer>());
        Ok(vec![Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))])
    }

    fn len(&self) -> usize {
        self.values.len()
    }
}
