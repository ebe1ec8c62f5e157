//! How far a reading can be trusted, as OPC UA and field buses say it: good, uncertain or bad.
//!
//! On a batch the column `quality` is a dictionary of these three words, one byte a row; SQL compares it as text:
//! `WHERE quality = 'good'`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int8Array, StringArray};
use arrow::datatypes::{DataType, Int8Type};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use crate::schema::as_type;

/// How far a reading can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The value is what the sensor measured.
    #[default]
    Good = 0,
    /// The value may be off: a sensor near its limit, a substituted value.
    Uncertain = 1,
    /// There is no value to trust: the device did not answer, answered with an exception, or with NaN.
    Bad = 2,
}

static WORDS: LazyLock<ArrayRef> = LazyLock::new(|| Arc::new(StringArray::from(vec!["good", "uncertain", "bad"])));

impl Quality {
    /// The word in files and queries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }

    /// From the word in files and queries.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Good, Self::Uncertain, Self::Bad].into_iter().find(|q| q.word() == word)
    }

    /// The Arrow type of a quality column.
    pub fn data_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))
    }

    /// A quality column; one byte a row, the words are shared.
    pub fn column(rows: impl IntoIterator<Item = Self>) -> ArrayRef {
        let keys = rows.into_iter().map(|q| q as i8).collect::<Vec<_>>();
        Arc::new(
            DictionaryArray::<Int8Type>::try_new(Int8Array::from(keys), Arc::clone(&WORDS))
                .expect("the three variants index the three words"),
        )
    }

    /// The quality of each row of a column of words. Null and a word that is none of the three are bad.
    ///
    /// # Errors
    /// If the column is no text.
    pub fn of_column(column: &ArrayRef) -> Result<Vec<Self>, ArrowError> {
        let Some(coded) = column.as_dictionary_opt::<Int8Type>() else {
            return Self::of_words(column);
        };
        let known = if Arc::ptr_eq(coded.values(), &WORDS) {
            vec![Self::Good, Self::Uncertain, Self::Bad]
        } else {
            Self::of_words(coded.values())?
        };
        let of_key = |key: Option<i8>| known.get(usize::try_from(key?).ok()?).copied();
        Ok(coded.keys().iter().map(|key| of_key(key).unwrap_or(Self::Bad)).collect())
    }

    fn of_words(words: &ArrayRef) -> Result<Vec<Self>, ArrowError> {
        let words = as_type(words, &DataType::Utf8)?;
        let of_word = |word: Option<&str>| word.and_then(Self::from_word).unwrap_or(Self::Bad);
        Ok(words.as_string::<i32>().iter().map(of_word).collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::cast;

    use super::*;

    #[test]
    fn what_is_written_is_read_however_the_words_are_kept() {
        let all = [Quality::Good, Quality::Bad, Quality::Uncertain];
        let column = Quality::column(all);
        let same = |column: &ArrayRef| assert_eq!(Quality::of_column(column).expect("words"), all, "{column:?}");
        same(&column);
        let plain = cast(&column, &DataType::Utf8).expect("words");
        same(&plain);
        for to in [DataType::Int8, DataType::Int32] {
            same(&cast(&plain, &DataType::Dictionary(Box::new(to), Box::new(DataType::Utf8))).expect("words"));
        }
    }

    #[test]
    fn what_is_no_word_of_ours_is_bad() {
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("good"), None, Some("fine")]));
        assert_eq!(Quality::of_column(&words).expect("words"), [Quality::Good, Quality::Bad, Quality::Bad]);
    }
}
