//! Looks each row up in a table: readings get the recipe, the limits or the place of what they are about, as it is now.
//!
//! | in | out |
//! | --- | --- |
//! | reading of product 7 | nothing yet: the table was not read |
//! | table: product 7 is bread | reading of product 7, bread |
//! | reading of product 8 | counted as unmatched, or comes out with nulls |
//! | table: 7 is bread, 8 is cake | nothing; the rows of before are forgotten |
//! | reading of product 8 | reading of product 8, cake |
//!
//! A batch of the table is the whole table and takes the place of the one before. Until the first, rows wait, up to a limit;
//! more are counted as overflow. Rows are looked up when they come, whatever their event time, late ones too. A row whose key is
//! null is not found.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{Error, Problem, Problems, Reason, Result};
use serde::{Deserialize, Serialize};

use super::kept::{stored, types};
use crate::rows::{BATCH_ROWS, as_schema};
use crate::window::keys::{self, Keys, stored_type};
use crate::{Emitter, Operator, PlannedOperator, Port, Snapshot, TimeColumn};

const KIND: &str = "lookup";
const VERSION: u32 = 1;
/// So many rows wait for a table that was not read yet.
pub const WAITING_LIMIT: usize = 100_000;
/// So many keys that are not in the table may be remembered beyond as many as it has.
const KEYS_SPARE: usize = 8192;

/// A join of a stream with a table. Columns are counted from 0 in their input.
#[derive(Clone, Debug)]
pub struct LookupSpec {
    /// The columns of the stream, and its event times.
    pub stream: SchemaRef,
    /// Which of them are event times.
    pub times: Vec<TimeColumn>,
    /// The columns of the table.
    pub table: SchemaRef,
    /// The name of the table.
    pub name: String,
    /// Columns of the stream and of the table that are equal.
    pub keys: Vec<(usize, usize)>,
    /// The columns of the stream that come out, and their names there.
    pub stream_columns: Vec<(usize, String)>,
    /// The columns of the table that come out, and their names there.
    pub table_columns: Vec<(usize, String)>,
    /// Whether a row that is not found comes out with nulls. Otherwise it is counted as unmatched.
    pub alone: bool,
    /// How many rows wait for the table.
    pub waiting_limit: usize,
}

/// Checks a lookup. Port 0 is the stream, port 1 the table.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: LookupSpec) -> std::result::Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    for (stream, table) in &spec.keys {
        let (stream, table) = (spec.stream.field(*stream), spec.table.field(*table));
        if !keys::is_supported(table.data_type()) {
            let message = format!("rows cannot be looked up by \"{}\", which is {}", table.name(), table.data_type());
            problems.push(Problem::whole(message).hint("look up by a number, a text, a boolean or a time"));
        } else if stored_type(stream.data_type()) != stored_type(table.data_type()) {
            let (one, other) = (stream.data_type(), table.data_type());
            let message =
                format!("\"{}\" is {one} and \"{}\" is {other}: they are never equal", stream.name(), table.name());
            problems.push(Problem::whole(message).hint("give both the same type"));
        }
    }
    let of_stream = spec.stream_columns.iter().map(|(n, name)| spec.stream.field(*n).clone().with_name(name));
    let of_table = spec.table_columns.iter().map(|(n, name)| {
        let field = spec.table.field(*n);
        Field::new(name, field.data_type().clone(), field.is_nullable() || spec.alone)
    });
    let output = Arc::new(Schema::new(of_stream.chain(of_table).collect::<Vec<_>>()));
    let kept = |time: &TimeColumn| {
        let (_, name) = spec.stream_columns.iter().find(|(n, _)| *spec.stream.field(*n).name() == time.name)?;
        Some(TimeColumn { name: name.clone(), delay: time.delay })
    };
    let times = spec.times.iter().filter_map(kept).collect();
    let names = spec.keys.iter().map(|(_, table)| spec.table.field(*table).name().as_str()).collect::<Vec<_>>();
    let fate = if spec.alone { "comes out with nulls" } else { "is counted as unmatched" };
    let explain = vec![
        format!(
            "looks each row up in {} by {}, as the table is then; one that is not found {fate}",
            spec.name,
            names.join(", ")
        ),
        format!("state: the rows of {}; a new reading takes the place of all of them", spec.name),
        format!("until it was read first, {} rows wait, and more are counted as overflow", spec.waiting_limit),
    ];
    let layout = Arc::new(Layout {
        key_types: spec.keys.iter().map(|(_, table)| spec.table.field(*table).data_type().clone()).collect(),
        output: SchemaRef::clone(&output),
        spec,
    });
    let build = move || -> Box<dyn Operator> {
        Box::new(Lookup { layout: Arc::clone(&layout), table: None, waiting: Vec::new(), ids: Vec::new() })
    };
    problems.or(PlannedOperator {
        partition_by: Some(Vec::new()),
        explain,
        times,
        ..PlannedOperator::new(output, build)
    })
}

#[derive(Debug)]
struct Layout {
    spec: LookupSpec,
    key_types: Vec<DataType>,
    output: SchemaRef,
}

#[derive(Debug)]
struct Lookup {
    layout: Arc<Layout>,
    table: Option<Table>,
    waiting: Vec<RecordBatch>,
    ids: Vec<u32>,
}

/// The table as it was read, with its rows by key.
#[derive(Debug)]
struct Table {
    rows: RecordBatch,
    /// Those of the table first, in the order of their first appearance; then such as were asked for and are not there.
    keys: Box<dyn Keys>,
    /// For each key where its rows begin in `places`, and one more for the end.
    starts: Vec<u32>,
    places: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct LookupState {
    table: Option<Saved>,
    waiting: Option<Saved>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    rows: usize,
    columns: Vec<u8>,
}

impl Table {
    fn new(layout: &Layout, rows: RecordBatch) -> Result<Self> {
        let columns = layout.spec.keys.iter().map(|(_, table)| *table).collect::<Vec<_>>();
        let (columns, nulls) = key_columns(&rows, &columns);
        let mut keys = keys::keys(&layout.key_types)?;
        let mut ids = Vec::with_capacity(rows.num_rows());
        keys.intern(&columns, rows.num_rows(), &mut ids)?;
        let found = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let mut starts = vec![0u32; keys.len() + 1];
        let known = ids.iter().enumerate().filter(|(row, _)| found(*row));
        known.for_each(|(_, id)| starts[*id as usize + 1] += 1);
        for key in 1..starts.len() {
            starts[key] += starts[key - 1];
        }
        let mut next = starts.clone();
        let mut places = vec![0u32; starts.last().copied().unwrap_or_default() as usize];
        for ((row, place), id) in (0..rows.num_rows()).zip(0u32..).zip(&ids) {
            if found(row) {
                places[next[*id as usize] as usize] = place;
                next[*id as usize] += 1;
            }
        }
        Ok(Self { rows, keys, starts, places })
    }

    /// The rows of a key.
    fn rows_of(&self, key: u32) -> &[u32] {
        match self.starts.get(key as usize..).unwrap_or_default() {
            [start, end, ..] => &self.places[*start as usize..*end as usize],
            _ => &[],
        }
    }
}

fn key_columns(rows: &RecordBatch, columns: &[usize]) -> (Vec<ArrayRef>, Option<NullBuffer>) {
    let columns = columns.iter().map(|column| ArrayRef::clone(rows.column(*column))).collect::<Vec<_>>();
    let union =
        |nulls: Option<NullBuffer>, key: &ArrayRef| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref());
    let nulls = columns.iter().fold(None, union);
    (columns, nulls)
}

impl Lookup {
    fn look_up(&mut self, rows: &RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let Some(table) = &mut self.table else { return Err(Error::internal("rows were looked up in no table")) };
        let columns = layout.spec.keys.iter().map(|(stream, _)| *stream).collect::<Vec<_>>();
        let (columns, nulls) = key_columns(rows, &columns);
        self.ids.clear();
        table.keys.intern(&columns, rows.num_rows(), &mut self.ids)?;
        let (mut left, mut right) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        let mut unmatched = 0;
        for ((row, place), key) in (0..rows.num_rows()).zip(0u32..).zip(&self.ids) {
            let known = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let found = if known { table.rows_of(*key) } else { &[] };
            match (found, layout.spec.alone) {
                ([], false) => unmatched += 1,
                ([], true) => {
                    left.push(place);
                    right.push(None);
                }
                (found, _) => {
                    left.extend(std::iter::repeat_n(place, found.len()));
                    right.extend(found.iter().map(|place| Some(*place)));
                }
            }
            if left.len() >= BATCH_ROWS {
                emit(&layout, rows, &table.rows, &mut left, &mut right, out)?;
            }
        }
        emit(&layout, rows, &table.rows, &mut left, &mut right, out)?;
        if unmatched > 0 {
            out.dropped(Reason::Unmatched, unmatched);
        }
        // Keys that are not in the table are numbered as well; now and then they are forgotten.
        if table.keys.len() > 2 * table.starts.len() + KEYS_SPARE {
            *table = Table::new(&layout, table.rows.clone())?;
        }
        Ok(())
    }
}

fn emit(
    layout: &Layout,
    stream: &RecordBatch,
    table: &RecordBatch,
    left: &mut Vec<u32>,
    right: &mut Vec<Option<u32>>,
    out: &mut dyn Emitter,
) -> Result<()> {
    let (left, right) = (std::mem::take(left), std::mem::take(right));
    let rows = left.len();
    if rows == 0 {
        return Ok(());
    }
    let every = rows == stream.num_rows() && left.iter().copied().eq(0u32..stream.num_rows() as u32);
    let (left, right) = (UInt32Array::from(left), UInt32Array::from(right));
    let mut columns = Vec::with_capacity(layout.output.fields().len());
    for (column, _) in &layout.spec.stream_columns {
        let column = stream.column(*column);
        columns.push(if every { ArrayRef::clone(column) } else { take(column, &left, None)? });
    }
    for (column, _) in &layout.spec.table_columns {
        columns.push(take(table.column(*column), &right, None)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    out.emit(RecordBatch::try_new_with_options(SchemaRef::clone(&layout.output), columns, &options)?)
}

impl Operator for Lookup {
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        if port == 1 {
            self.table = Some(Table::new(&self.layout, rows)?);
            let waiting = std::mem::take(&mut self.waiting);
            return waiting.iter().try_for_each(|rows| self.look_up(rows, out));
        }
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.table.is_some() {
            return self.look_up(&rows, out);
        }
        // More may wait than are allowed: those of a snapshot from before the limit was lowered.
        let room = self.layout.spec.waiting_limit.saturating_sub(self.open_rows() as usize);
        if rows.num_rows() > room {
            out.dropped(Reason::Overflow, rows.num_rows() - room);
        }
        if room > 0 {
            self.waiting.push(rows.slice(0, room.min(rows.num_rows())));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let table =
            self.table.as_ref().map(|table| save(&layout_schema(&self.layout, 1), std::slice::from_ref(&table.rows)));
        let waiting = (!self.waiting.is_empty()).then(|| save(&layout_schema(&self.layout, 0), &self.waiting));
        Snapshot::save(KIND, VERSION, &LookupState { table: table.transpose()?, waiting: waiting.transpose()? })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<LookupState>(KIND, VERSION)?;
        let table = state.table.map(|saved| load(&layout_schema(&self.layout, 1), &saved)).transpose()?;
        let waiting = state.waiting.map(|saved| load(&layout_schema(&self.layout, 0), &saved)).transpose()?;
        self.table = table.map(|rows| Table::new(&self.layout, rows)).transpose()?;
        self.waiting = waiting.into_iter().collect();
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        self.waiting.iter().map(|rows| rows.num_rows() as u64).sum()
    }
}

fn layout_schema(layout: &Layout, port: Port) -> SchemaRef {
    Arc::clone(if port == 0 { &layout.spec.stream } else { &layout.spec.table })
}

fn save(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Saved> {
    let stored = stored(schema);
    let words = batches.iter().map(|rows| as_schema(&stored, rows.columns(), rows.num_rows()));
    let rows = arrow::compute::concat_batches(&stored, &words.collect::<Result<Vec<_>>>()?)?;
    Ok(Saved { rows: rows.num_rows(), columns: keys::save_columns(rows.columns(), &types(&stored))? })
}

fn load(schema: &SchemaRef, saved: &Saved) -> Result<RecordBatch> {
    let columns = keys::load_columns(&saved.columns, &types(&stored(schema)))?;
    as_schema(schema, &columns, saved.rows)
}
