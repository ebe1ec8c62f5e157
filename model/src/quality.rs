//! How far a reading can be trusted, as OPC UA and field buses say it: good, uncertain or bad.
//!
//! On a batch the column `quality` is a dictionary of these three words, one byte a row; SQL compares it as text:
//! `WHERE quality = 'good'`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, DictionaryArray, Int8Array, StringArray};
use arrow::datatypes::{DataType, Int8Type};
use serde::{Deserialize, Serialize};

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
}
