//! Group keys become dense numbers, once for all aggregates, so that what follows are arrays and not maps.
//!
//! One integer column and one text column (plain or dictionary) have ways of their own; any other combination goes through
//! Arrow's row format. Null is a key like any other, as in SQL's `GROUP BY`.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, DictionaryArray, LargeStringArray, PrimitiveArray, StringArray,
    StringArrayType, downcast_dictionary_array, downcast_integer,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::row::{RowConverter, SortField};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use lineside_model::{Error, Result};

/// No number was given yet.
const NONE: u32 = u32::MAX;
/// Integers below this are looked up in an array.
const DIRECT_LIMIT: usize = 1 << 16;

/// Numbers keys in the order of their first appearance.
pub(super) trait Keys: Send + Debug {
    /// The number of each row's key, appended to `ids`; new keys get the next number.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()>;

    /// The keys of these numbers, as columns of the types that [`stored_type`] names.
    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>>;

    /// How many keys there are.
    fn len(&self) -> usize;
}

/// The type in which keys of a type are given back: dictionaries as their words.
pub(super) fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => stored_type(value),
        other => other.clone(),
    }
}

/// Whether columns of this type can be keys.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(stored_type(data_type))])
}

/// A numbering for key columns of these types.
pub(super) fn keys(types: &[DataType]) -> Result<Box<dyn Keys>> {
    macro_rules! integers {
        ($kind:ty) => {
            Ok(Box::new(IntegerKeys::<$kind>::default()))
        };
    }
    let stored = types.iter().map(stored_type).collect::<Vec<_>>();
    match stored.as_slice() {
        [] => Ok(Box::new(NoKeys)),
        [DataType::Utf8] => Ok(Box::new(TextKeys::default())),
        [only] if only.is_integer() && !matches!(types[0], DataType::Dictionary(..)) => downcast_integer! {
            only => (integers),
            other => Err(Error::internal(format!("{other} is no integer")))
        },
        _ => Ok(Box::new(RowKeys::new(stored)?)),
    }
}

/// All rows belong together.
#[derive(Debug)]
struct NoKeys;

impl Keys for NoKeys {
    fn intern(&mut self, _: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        ids.resize(ids.len() + rows, 0);
        Ok(())
    }

    fn columns(&self, _: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn len(&self) -> usize {
        1
    }
}

/// One column of integers. Small ones are looked up in an array, as tags numbered from 0 are the common case.
struct IntegerKeys<T: ArrowPrimitiveType> {
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
        match key.to_usize().and_then(|key| self.direct.get(key)) {
            Some(id) if *id != NONE => Ok(*id),
            _ => self.rare(key),
        }
    }

    /// The number of a key that is large, negative or new.
    #[cold]
    fn rare(&mut self, key: T::Native) -> Result<u32> {
        if let Some(id) = self.others.get(&key) {
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
        ids.reserve(column.len());
        if column.null_count() == 0 {
            for key in column.values() {
                ids.push(self.id(*key)?);
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
        Ok(vec![std::sync::Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))])
    }

    fn len(&self) -> usize {
        self.values.len()
    }
}

/// Numbers for strings of bytes, which lie one after another.
#[derive(Debug, Default)]
struct Interner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    fn get(&self, id: u32) -> &[u8] {
        bytes_of(&self.bytes, &self.ends, id)
    }

    fn id(&mut self, key: &[u8]) -> Result<u32> {
        let Self { bytes, ends, table, hasher } = self;
        let hash = hasher.hash_one(key);
        if let Some(id) = table.find(hash, |id| bytes_of(bytes, ends, *id) == key) {
            return Ok(*id);
        }
        let id = next(ends.len())?;
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        table.insert_unique(hash, id, |id| hasher.hash_one(bytes_of(bytes, ends, *id)));
        Ok(id)
    }
}

fn bytes_of<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = id.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start..ends[id]]
}

/// One column of text, or of a dictionary of text: a dictionary's words are looked up once a batch.
#[derive(Debug, Default)]
struct TextKeys {
    /// Each key with a letter before it, so that null, which has none, is not taken for the empty text.
    interner: Interner,
    scratch: Vec<u8>,
    words: Vec<u32>,
}

impl TextKeys {
    fn id(&mut self, key: Option<&str>) -> Result<u32> {
        self.scratch.clear();
        if let Some(key) = key {
            self.scratch.push(b't');
            self.scratch.extend_from_slice(key.as_bytes());
        }
        self.interner.id(&self.scratch)
    }

    fn intern_text<'a>(&mut self, column: impl StringArrayType<'a>, ids: &mut Vec<u32>) -> Result<()> {
        for key in column.iter() {
            ids.push(self.id(key)?);
        }
        Ok(())
    }

    fn intern_dictionary<K: arrow::datatypes::ArrowDictionaryKeyType>(
        &mut self,
        column: &DictionaryArray<K>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let words = cast(column.values(), &DataType::Utf8)?;
        let words = words.as_string::<i32>();
        self.words.clear();
        self.words.resize(words.len(), NONE);
        for row in 0..column.len() {
            let id = match column.key(row).filter(|word| words.is_valid(*word)) {
                None => self.id(None)?,
                Some(word) if self.words[word] != NONE => self.words[word],
                Some(word) => {
                    let id = self.id(Some(words.value(word)))?;
                    self.words[word] = id;
                    id
                }
            };
            ids.push(id);
        }
        Ok(())
    }
}

impl Keys for TextKeys {
    fn intern(&mut self, columns: &[ArrayRef], _: usize, ids: &mut Vec<u32>) -> Result<()> {
        let column = only(columns)?;
        if let Some(text) = column.as_any().downcast_ref::<StringArray>() {
            return self.intern_text(text, ids);
        }
        if let Some(text) = column.as_any().downcast_ref::<LargeStringArray>() {
            return self.intern_text(text, ids);
        }
        downcast_dictionary_array! {
            column => self.intern_dictionary(column, ids),
            _ => Err(unexpected(column)),
        }
    }

    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let text = |id: &u32| {
            let (_, text) = self.interner.get(*id).split_first()?;
            Some(std::str::from_utf8(text).expect("only whole texts are stored"))
        };
        Ok(vec![std::sync::Arc::new(ids.iter().map(text).collect::<StringArray>())])
    }

    fn len(&self) -> usize {
        self.interner.ends.len()
    }
}

/// Any columns, in Arrow's row format.
#[derive(Debug)]
struct RowKeys {
    types: Vec<DataType>,
    converter: RowConverter,
    interner: Interner,
}

impl RowKeys {
    fn new(types: Vec<DataType>) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        Ok(Self { types, converter: RowConverter::new(fields)?, interner: Interner::default() })
    }
}

impl Keys for RowKeys {
    fn intern(&mut self, columns: &[ArrayRef], _: usize, ids: &mut Vec<u32>) -> Result<()> {
        let columns = columns.iter().zip(&self.types).map(|(column, data_type)| cast(column, data_type));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        for row in &self.converter.convert_columns(&columns)? {
            ids.push(self.interner.id(row.as_ref())?);
        }
        Ok(())
    }

    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows = ids.iter().map(|id| parser.parse(self.interner.get(*id)));
        Ok(self.converter.convert_rows(rows)?)
    }

    fn len(&self) -> usize {
        self.interner.ends.len()
    }
}

fn next(len: usize) -> Result<u32> {
    u32::try_from(len).ok().filter(|id| *id != NONE).ok_or_else(|| {
        Error::user("more than four thousand million keys in open windows").hint("group by fewer columns")
    })
}

fn only(columns: &[ArrayRef]) -> Result<&ArrayRef> {
    columns.first().ok_or_else(|| Error::internal("the key column is missing"))
}

fn unexpected(column: &ArrayRef) -> Error {
    Error::internal(format!("the key column has the unexpected type {}", column.data_type()))
}
