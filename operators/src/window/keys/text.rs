//! Keys of one column of text, plain or as a dictionary, whose words are looked up once a batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, downcast_dictionary_array};
use arrow::datatypes::{ArrowDictionaryKeyType, DataType};
use lineside_model::Result;
use lineside_model::schema::as_type;

use super::interner::Interner;
use super::{Keys, NONE, only};

/// Numbers texts.
#[derive(Debug)]
pub(super) struct TextKeys {
    interner: Interner,
    null: u32,
    /// The numbers of the words of the present dictionary, as far as they occurred.
    words: Vec<u32>,
}

impl TextKeys {
    pub(super) fn new() -> Self {
        Self { interner: Interner::default(), null: NONE, words: Vec::new() }
    }

    fn null_id(&mut self) -> Result<u32> {
        if self.null == NONE {
            self.null = self.interner.nameless()?;
        }
        Ok(self.null)
    }

    fn intern_text(&mut self, column: &StringArray, ids: &mut Vec<u32>) -> Result<()> {
        for key in column {
            ids.push(match key {
                Some(key) => self.interner.id(key.as_bytes())?,
                None => self.null_id()?,
            });
        }
        Ok(())
    }

    fn intern_dictionary<K: ArrowDictionaryKeyType>(
        &mut self,
        column: &DictionaryArray<K>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let words = as_type(column.values(), &DataType::Utf8)?;
        let words = words.as_string::<i32>();
        self.words.clear();
        self.words.resize(words.len(), NONE);
        for row in 0..column.len() {
            ids.push(match column.key(row).filter(|word| words.is_valid(*word)) {
                None => self.null_id()?,
                Some(word) => {
                    if self.words[word] == NONE {
                        self.words[word] = self.interner.id(words.value(word).as_bytes())?;
                    }
                    self.words[word]
                }
            });
        }
        Ok(())
    }
}

impl Keys for TextKeys {
    fn intern(&mut self, columns: &[ArrayRef], _: usize, ids: &mut Vec<u32>) -> Result<()> {
        let column = only(columns)?;
        ids.reserve(column.len());
        downcast_dictionary_array! {
            column => self.intern_dictionary(column, ids),
            _ => self.intern_text(as_type(column, &DataType::Utf8)?.as_string(), ids),
        }
    }

    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let text = |id: &u32| {
            let text = || std::str::from_utf8(self.interner.get(*id)).expect("only whole texts are stored");
            (*id != self.null).then(text)
        };
        Ok(vec![Arc::new(ids.iter().map(text).collect::<StringArray>())])
    }

    fn len(&self) -> usize {
        self.interner.len()
    }
}
