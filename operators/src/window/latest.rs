//! What a view put out last, as columns.
//!
//! Where windows follow one another closely, the next one has the same keys, and of most of them the same results. So the results
//! of a window are kept, and only what the step to the next one has changed is read off the partials again; the columns of a batch
//! are copied from there. Where most changes, results are read right into the batch and nothing is kept.
//!
//! The columns of the keys are the same for one batch as for the next one as long as no key comes or goes. Then both have them in common.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::FieldRef;
use lineside_model::Result;

use super::keys::Keys;
use super::slice::Step;
use crate::aggregate::{Column, Partial, Picked, Statistic};

/// Columns of what was put out last.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// The number of the window whose results these are; 0 if they are of none.
    window: u64,
    /// Each result with a row for each slot,
    results: Vec<Column>,
    /// and those that have changed.
    changed: Vec<Column>,
    /// Keys by their number,
    ids: Vec<u32>,
    /// and their columns.
    keys: Vec<ArrayRef>,
}

impl Latest {
    /// Notes the results of a window, reading them off its partials. `results` are those that are put out.
    pub(super) fn note(
        &mut self,
        partials: &[Box<dyn Partial>],
        step: Option<Step<'_>>,
        results: &[(usize, Statistic)],
    ) -> Result<()> {
        let Some(step) = step else {
            self.window = 0;
            return Ok(());
        };
        let follows = self.window > 0 && self.window + 1 == step.number;
        // Nothing, if something goes wrong midway.
        self.window = 0;
        let column = || Column::new(step.slots);
        self.results.resize_with(results.len(), column);
        self.changed.resize_with(results.len(), column);
        for ((column, changed), (partial, statistic)) in self.results.iter_mut().zip(&mut self.changed).zip(results) {
            let partial = partials[*partial].as_ref();
            if !follows {
                column.clear();
                partial.emit_statistic(*statistic, &Picked::Run(0..step.slots), column)?;
                if !column.is_numbers() {
                    column.clear();
                }
            } else if column.is_numbers() {
                changed.clear();
                partial.emit_statistic(*statistic, &Picked::Each(step.changed), changed)?;
                column.replace_rows(step.changed, changed)?;
            }
        }
        self.window = step.number;
        Ok(())
    }

    /// One of the results of the window that was noted last; `None` if there was none, or if these are no numbers.
    pub(super) fn result(&self, n: usize) -> Option<&Column> {
        self.results.get(n).filter(|column| self.window > 0 && column.is_numbers())
    }

    /// The columns of these keys, which are `ids` and may be exchanged for others.
    pub(super) fn keys(&mut self, ids: &mut Vec<u32>, keys: &dyn Keys, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
        if !self.ids.starts_with(ids) {
            let columns = keys.columns(ids)?.into_iter().zip(fields).map(as_planned);
            self.keys = columns.collect::<Result<_>>()?;
            std::mem::swap(&mut self.ids, ids);
            return Ok(self.keys.clone());
        }
        Ok(self.keys.iter().map(|column| column.slice(0, ids.len())).collect())
    }
}

/// A column of the type that was planned.
pub(super) fn as_planned((column, field): (ArrayRef, &FieldRef)) -> Result<ArrayRef> {
    Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
}
