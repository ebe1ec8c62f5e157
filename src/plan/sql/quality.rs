//! Which readings an aggregate trusts: those of bad quality are left out unless the query asks for them.
//!
//! A device that does not answer gives rows of bad quality, whose value may be the last one known, zero or nothing. Averaged
//! with the others they would make a wrong number that looks right. So where the rows have a column `quality` by the
//! convention of readings, every aggregate but `count(*)` sees the value of a row only if its quality is one that the
//! query takes. A query that names `quality` itself, in `WHERE`, in `GROUP BY`, or within the aggregate, has its own say.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Int8Type};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lineside_model::{Quality, schema};

use super::relation::Relation;
use crate::config::options::QualityOption;

/// The names of the functions that leave out the value of a reading, for people.
const IF_GOOD: &str = "if_good";
const IF_USABLE: &str = "if_usable";

/// The quality of the rows of a relation, if it has one that aggregates have to look at.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    quality: Expr,
    worst: Quality,
}

impl Trust {
    /// `names` are those of the columns of the relation, `groups` what its rows are grouped by.
    pub(super) fn of(relation: &Relation, names: &DFSchema, groups: &[Expr], option: QualityOption) -> Option<Self> {
        let worst = match option {
            QualityOption::Good => Quality::Good,
            QualityOption::Usable => Quality::Uncertain,
            QualityOption::All => return None,
        };
        let place = names.index_of_column_by_name(None, schema::QUALITY)?;
        let quality = relation.columns.get(place)?.clone();
        let read = relation.schema.field(relation.plain(&quality)?);
        if read.data_type() != &Quality::data_type() {
            return None;
        }
        let trust = Self { quality, worst };
        let own_say = groups.iter().any(|expr| trust.is_named_in(expr));
        (!own_say).then_some(trust)
    }

    /// Whether an expression uses the quality.
    pub(super) fn is_named_in(&self, expr: &Expr) -> bool {
        expr.exists(|part| Ok(*part == self.quality)).unwrap_or(true)
    }

    /// The value where it is trusted, otherwise null.
    pub(super) fn trusted(&self, value: Expr) -> Expr {
        let function = match self.worst {
            Quality::Good => IF_GOOD,
            Quality::Uncertain | Quality::Bad => IF_USABLE,
        };
        let function =
            Trusted { name: function, worst: self.worst, signature: Signature::any(2, Volatility::Immutable) };
        ScalarUDF::from(function).call(vec![value, self.quality.clone()])
    }

    /// What `explain` says of it; `left` are the names of the aggregates that leave out readings.
    pub(super) fn told(&self, left: &[String]) -> String {
        let out = match self.worst {
            Quality::Good => "of bad or uncertain quality",
            Quality::Uncertain | Quality::Bad => "of bad quality",
        };
        format!(
            "readings {out} take part in count(*), not in {}; quality = \"all\" in the query's table takes them all",
            left.join(", ")
        )
    }
}

/// Whether it is a column of which only readings of some quality are taken, and nothing else is computed of it.
pub(super) fn is_trusted_column(expr: &Expr) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    [IF_GOOD, IF_USABLE].contains(&call.func.name()) && call.args.iter().all(|arg| matches!(arg, Expr::Column(_)))
}

/// Whether a query has its own say: a condition on the column `quality`, wherever it stands.
pub(super) fn names_quality(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| match node {
        LogicalPlan::Filter(filter) => Ok(filter.predicate.column_refs().iter().any(|c| c.name == schema::QUALITY)),
        _ => Ok(false),
    })
}

/// The value of a reading, or null if its quality is worse than `worst`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Trusted {
    name: &'static str,
    worst: Quality,
    signature: Signature,
}

impl ScalarUDFImpl for Trusted {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _] => Ok(value.clone()),
            _ => exec_err!("{} takes a value and a quality", self.name),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, quality] = arguments.args.as_slice() else {
            return exec_err!("{} takes a value and a quality", self.name);
        };
        let quality = quality.to_array(arguments.number_rows)?;
        match distrusted(&quality, self.worst)? {
            // Mostly every reading is trusted, and then nothing is copied.
            None => Ok(value.clone()),
            Some(distrusted) => {
                let value = value.to_array(arguments.number_rows)?;
                Ok(ColumnarValue::Array(nullif(&value, &distrusted)?))
            }
        }
    }
}

/// Which rows have a quality worse than `worst`, if any has. A row without quality, or with a word that is none, is trusted.
fn distrusted(quality: &ArrayRef, worst: Quality) -> Result<Option<BooleanArray>> {
    let Some(quality) = quality.as_dictionary_opt::<Int8Type>() else {
        return exec_err!("a quality was expected, given {}", quality.data_type());
    };
    let Some(words) = quality.values().as_string_opt::<i32>() else {
        return exec_err!("the words of a quality were expected, given {}", quality.values().data_type());
    };
    let is_worse = |word: Option<&str>| word.and_then(Quality::from_word).is_some_and(|quality| quality > worst);
    let worse = words.iter().map(is_worse).collect::<Vec<_>>();
    let keys = quality.keys();
    // Mostly no row is worse. To see that takes a loop without branches for each word that would be: one or two.
    let occurs = |word: usize| keys.values().iter().fold(false, |found, key| found | (*key as usize == word));
    if !(0..worse.len()).any(|word| worse[word] && occurs(word)) {
        return Ok(None);
    }
    let of_row = |row: usize| keys.is_valid(row) && worse.get(keys.value(row) as usize).copied().unwrap_or(false);
    let found = BooleanBuffer::collect_bool(keys.len(), of_row);
    Ok((found.count_set_bits() > 0).then(|| BooleanArray::new(found, None)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int8Array, StringArray};

    use super::*;

    fn found(keys: Vec<Option<i8>>, words: Vec<&str>, worst: Quality) -> Option<Vec<bool>> {
        let (keys, words) = (Int8Array::from(keys), Arc::new(StringArray::from(words)));
        let column: ArrayRef = Arc::new(DictionaryArray::try_new(keys, words).unwrap());
        distrusted(&column, worst).unwrap().map(|rows| rows.values().iter().collect())
    }

    #[test]
    fn words_are_found_wherever_the_dictionary_has_them() {
        let keys = vec![Some(0), Some(1), None, Some(2), Some(3)];
        let words = vec!["bad", "good", "strange", "uncertain"];
        let of = |worst| found(keys.clone(), words.clone(), worst);
        assert_eq!(of(Quality::Uncertain), Some(vec![true, false, false, false, false]));
        assert_eq!(of(Quality::Good), Some(vec![true, false, false, false, true]));
        assert_eq!(of(Quality::Bad), None);
    }

    #[test]
    fn nothing_is_copied_where_every_reading_is_trusted() {
        let words = vec!["good", "uncertain", "bad"];
        assert_eq!(found(vec![Some(0), Some(1), Some(0)], words.clone(), Quality::Uncertain), None);
        assert_eq!(found(vec![None], words, Quality::Good), None);
    }
}
