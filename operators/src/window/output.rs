//! Closed windows on their way out. Small ones share a batch, large ones are put out in pieces of one: results are read off the
//! partials into columns that are as long as the batch, so that a window of a million groups takes no more room than one of a thousand.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use lineside_model::Result;

use super::keys::Keys;
use super::latest::{Latest, as_planned};
use super::layout::ViewLayout;
use super::ranked::Ranked;
use super::slice::Whole;
use crate::Emitter;
use crate::aggregate::{Column, Partial, Picked, Statistic};

/// The most rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Of a large window so many rows are read at a time, for one column after the other: as many as the nearest cache holds.
const ROWS_AT_ONCE: usize = 1024;
/// A window of at most this part of a batch is not cut in two.
const WHOLE_PART: usize = 4;

/// Rows of closed windows that were not put out yet.
pub(super) struct Output<'a> {
    schema: SchemaRef,
    /// What is put out for each window and key.
    results: &'a [(usize, Statistic)],
    keys: &'a dyn Keys,
    out: &'a mut dyn Emitter,
    /// Which output of the operator.
    number: usize,
    batch_rows: usize,
    /// Bounds of windows, each with how many rows it has here.
    windows: Vec<(Range<i64>, usize)>,
    /// The bounds of the window that filled the last batch alone, and the columns of them.
    large: Option<(Range<i64>, Vec<ArrayRef>)>,
    /// Names of the windows, if they have any.
    names: Option<StringBuilder>,
    ids: Vec<u32>,
    columns: Vec<Column>,
    latest: Latest,
}

impl<'a> Output<'a> {
    /// Nothing yet.
    pub(super) fn new(
        schema: &SchemaRef,
        results: &'a [(usize, Statistic)],
        keys: &'a dyn Keys,
        out: &'a mut dyn Emitter,
    ) -> Self {
        let distinct = schema.fields().iter().map(|field| distinct_limit(field.data_type())).min();
        let batch_rows = distinct.unwrap_or(BATCH_ROWS).min(BATCH_ROWS);
        Self {
            schema: SchemaRef::clone(schema),
            results,
            keys,
            out,
            number: 0,
            batch_rows,
            windows: Vec::new(),
            large: None,
            names: None,
            ids: Vec::new(),
            columns: results.iter().map(|_| Column::new(batch_rows)).collect(),
            latest: Latest::default(),
        }
    }

    /// Nothing yet of a view, by the output of this number.
    pub(super) fn of_view(number: usize, view: &'a ViewLayout, keys: &'a dyn Keys, out: &'a mut dyn Emitter) -> Self {
        let names = view.named.then(StringBuilder::new);
        Self { number, names, ..Self::new(&view.output, &view.results, keys, out) }
    }

    /// The same, behind what the view put out last.
    pub(super) fn after(self, latest: Latest) -> Self {
        Self { latest, ..self }
    }

    /// Adds a closed window of a view.
    pub(super) fn push(&mut self, window: i64, whole: &Whole<'_>, view: &ViewLayout) -> Result<()> {
        let bounds = view.windows.bounds(window);
        let rows = whole.rising.len();
        // A small window is not cut. So where the keys stay the same, each batch has the same ones, and the columns of them.
        if rows > self.room() && rows <= self.batch_rows / WHOLE_PART {
            self.flush()?;
        }
        self.latest.note(whole.partials, whole.step, self.results)?;
        let mut from = 0;
        while from < rows {
            let some = from..rows.min(from + self.room().min(ROWS_AT_ONCE));
            from = some.end;
            self.ids.extend_from_slice(whole.rising.keys(some.clone()));
            self.windows.push((bounds.clone(), some.len()));
            if let Some(names) = &mut self.names {
                let name = view.windows.name(window).unwrap_or_default();
                some.clone().for_each(|_| names.append_value(name));
            }
            self.read(whole.partials, whole.ranked, &whole.rising.picked(some))?;
        }
        Ok(())
    }

    /// Adds closed windows of one key each, whose results are in slots of the same numbers.
    pub(super) fn push_each(&mut self, windows: &[(u32, Range<i64>)], partials: &[Box<dyn Partial>]) -> Result<()> {
        let mut from = 0;
        while from < windows.len() {
            let some = from..windows.len().min(from + self.room());
            from = some.end;
            for (key, bounds) in &windows[some.clone()] {
                self.ids.push(*key);
                self.windows.push((bounds.clone(), 1));
            }
            self.read(partials, None, &Picked::Run(some))?;
        }
        Ok(())
    }

    /// How many rows the batch can still take, which is never none.
    fn room(&self) -> usize {
        self.batch_rows - self.ids.len()
    }

    /// Adds the results of these slots, and puts out a batch that is full.
    fn read(&mut self, partials: &[Box<dyn Partial>], ranked: Option<&Ranked>, picked: &Picked<'_>) -> Result<()> {
        for (n, (column, (partial, statistic))) in self.columns.iter_mut().zip(self.results).enumerate() {
            if let Some(latest) = self.latest.result(n) {
                column.copy_rows(latest, picked)?;
                continue;
            }
            match ranked.and_then(|ranked| ranked.get(*partial)) {
                Some(ranks) => ranks.emit(*statistic, picked, column)?,
                None => partials[*partial].emit_statistic(*statistic, picked, column)?,
            }
        }
        if self.room() == 0 { self.flush() } else { Ok(()) }
    }

    /// Puts everything out; gives what was put out last.
    pub(super) fn finish(mut self) -> Result<Latest> {
        self.flush()?;
        Ok(self.latest)
    }

    /// The starts and ends of the windows of all rows. Batches of one large window share theirs.
    fn bounds(&mut self, rows: usize) -> Vec<ArrayRef> {
        let (first, _) = &self.windows[0];
        let only = self.windows.iter().all(|(bounds, _)| bounds == first).then(|| first.clone());
        if let (Some(only), Some((bounds, columns))) = (&only, &self.large)
            && bounds == only
            && columns[0].len() >= rows
        {
            return columns.iter().map(|column| column.slice(0, rows)).collect();
        }
        let times = |edge: fn(&Range<i64>) -> i64| -> ArrayRef {
            let mut times = Vec::with_capacity(rows);
            self.windows.iter().for_each(|(bounds, rows)| times.resize(times.len() + rows, edge(bounds)));
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let columns = vec![times(|bounds| bounds.start), times(|bounds| bounds.end)];
        self.large = only.filter(|_| rows == self.batch_rows).map(|bounds| (bounds, columns.clone()));
        columns
    }

    /// Puts everything out.
    pub(super) fn flush(&mut self) -> Result<()> {
        let rows = self.ids.len();
        if rows == 0 {
            return Ok(());
        }
        let mut columns = self.bounds(rows);
        self.windows.clear();
        columns.extend(self.names.as_mut().map(|names| -> ArrayRef { Arc::new(names.finish()) }));
        let fields = self.schema.fields();
        columns.extend(self.latest.keys(&mut self.ids, self.keys, &fields[columns.len()..])?);
        self.ids.clear();
        for (column, field) in self.columns.iter_mut().zip(&fields[columns.len()..]) {
            columns.push(as_planned((column.finish()?, field))?);
        }
        self.out.emit_to(self.number, RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?)
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
