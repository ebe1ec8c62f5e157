//! Closed windows on their way out, many small ones in one batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::{cast, concat, filter};
use arrow::datatypes::{DataType, SchemaRef};
use lineside_model::Result;

use super::keys::Keys;
use super::layout::ViewLayout;
use super::slice::Slice;
use crate::Emitter;

/// The most rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Rows of closed windows that were not put out yet.
#[derive(Debug)]
pub(super) struct Output {
    schema: SchemaRef,
    /// Which output of the operator.
    number: usize,
    batch_rows: usize,
    starts: Vec<i64>,
    ends: Vec<i64>,
    /// Names of the windows, if they have any.
    names: Option<StringBuilder>,
    ids: Vec<u32>,
    aggregates: Vec<Vec<ArrayRef>>,
}

impl Output {
    /// Nothing yet.
    pub(super) fn new(schema: SchemaRef, aggregates: usize) -> Self {
        let batch_rows = schema.fields().iter().map(|field| distinct_limit(field.data_type())).min();
        Self {
            schema,
            number: 0,
            batch_rows: batch_rows.unwrap_or(BATCH_ROWS).min(BATCH_ROWS),
            starts: Vec::new(),
            ends: Vec::new(),
            names: None,
            ids: Vec::new(),
            aggregates: vec![Vec::new(); aggregates],
        }
    }

    /// Nothing yet of a view, by the output of this number.
    pub(super) fn of_view(number: usize, view: &ViewLayout) -> Self {
        let names = view.named.then(StringBuilder::new);
        Self { number, names, ..Self::new(SchemaRef::clone(&view.output), view.results.len()) }
    }

    /// Adds a closed window of a view.
    pub(super) fn push(&mut self, window: i64, slice: &Slice, view: &ViewLayout) -> Result<()> {
        let (keys, columns) = slice.emit(&view.results)?;
        self.add(window, &keys, columns, view);
        Ok(())
    }

    /// Adds those groups of a window whose number is wanted.
    pub(super) fn push_some(
        &mut self,
        window: i64,
        slice: &Slice,
        view: &ViewLayout,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let (keys, columns) = slice.emit(&view.results)?;
        let mask = keys.iter().map(|key| Some(wanted(*key))).collect::<BooleanArray>();
        let columns = columns.iter().map(|column| filter(column, &mask)).collect::<std::result::Result<_, _>>()?;
        let keys = keys.into_iter().filter(|key| wanted(*key)).collect::<Vec<_>>();
        self.add(window, &keys, columns, view);
        Ok(())
    }

    fn add(&mut self, window: i64, keys: &[u32], columns: Vec<ArrayRef>, view: &ViewLayout) {
        let bounds = view.windows.bounds(window);
        self.ids.extend_from_slice(keys);
        self.starts.resize(self.ids.len(), bounds.start);
        self.ends.resize(self.ids.len(), bounds.end);
        if let Some(names) = &mut self.names {
            let name = view.windows.name(window).unwrap_or_default();
            keys.iter().for_each(|_| names.append_value(name));
        }
        for (pieces, column) in self.aggregates.iter_mut().zip(columns) {
            pieces.push(column);
        }
    }

    /// Adds closed windows of one key each, with their results.
    pub(super) fn extend(
        &mut self,
        windows: impl IntoIterator<Item = (u32, Range<i64>)>,
        results: impl IntoIterator<Item = ArrayRef>,
    ) {
        for (key, bounds) in windows {
            self.ids.push(key);
            self.starts.push(bounds.start);
            self.ends.push(bounds.end);
        }
        self.aggregates.iter_mut().zip(results).for_each(|(pieces, column)| pieces.push(column));
    }

    /// Whether a batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= self.batch_rows
    }

    /// Puts everything out.
    pub(super) fn flush(&mut self, keys: &dyn Keys, out: &mut dyn Emitter) -> Result<()> {
        let rows = self.ids.len();
        if rows == 0 {
            return Ok(());
        }
        let times = |values: &mut Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(std::mem::take(values)).with_timezone("UTC"))
        };
        let mut columns = vec![times(&mut self.starts), times(&mut self.ends)];
        columns.extend(self.names.as_mut().map(|names| -> ArrayRef { Arc::new(names.finish()) }));
        columns.extend(keys.columns(&self.ids)?);
        self.ids.clear();
        for pieces in &mut self.aggregates {
            columns.push(concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?);
            pieces.clear();
        }
        for start in (0..rows).step_by(self.batch_rows) {
            let len = self.batch_rows.min(rows - start);
            let cast = |(column, field): (&ArrayRef, &Arc<arrow::datatypes::Field>)| {
                cast(&column.slice(start, len), field.data_type())
            };
            let columns = columns.iter().zip(self.schema.fields()).map(cast).collect::<std::result::Result<_, _>>()?;
            out.emit_to(self.number, RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?)?;
        }
        Ok(())
    }
}

/// How many rows of a column may all be different: a dictionary has no more words than its keys can count.
fn distinct_limit(data_type: &DataType) -> usize {
    match data_type {
        DataType::Dictionary(key, _) if **key == DataType::Int8 => 1 << 7,
        DataType::Dictionary(key, _) if **key == DataType::UInt8 => 1 << 8,
        _ => BATCH_ROWS,
    }
}
