//! The operator of `OVER (…)`: every row goes on with a column more for each function, once the watermark has passed it.
//!
//! | in, `sum(value) OVER (… RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW)` | out |
//! | --- | --- |
//! | reading 1.0 at 5 s | nothing yet: an earlier one may come |
//! | reading 2.0 at 3 s, watermark 4 s | the reading of 3 s with 2.0 |
//! | watermark 6 s | the reading of 5 s with 3.0 |
//! | reading at 4 s | counted as late |
//!
//! Rows leave in the order of time, and are taken by the functions in this order. Where a frame counts all rows of the same time
//! in (`RANGE`), a row waits until the watermark is behind its time, otherwise only until it is reached.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType, UInt32Type};
use lineside_model::schema::as_type;
use lineside_model::{Error, Reason, Result, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::OverFunction;
use super::column::{Column, Sorted};
use super::waiting::{Held, Place, Waiting};
use crate::window::keys::{self, Keys};
use crate::{Emitter, Operator, Port, Snapshot, saved_rows};

const KIND: &str = "over";
const VERSION: u32 = 1;
/// So many rows are taken out at a time, or all of one time.
const CHUNK_ROWS: usize = 8192;
/// So many keys may be remembered beyond twice those that are needed.
const KEYS_SPARE: usize = 1024;

/// What was planned, shared by all workers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) input: SchemaRef,
    pub(super) time: usize,
    pub(super) time_delay: Span,
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    /// How many of the input's columns, the first ones, go on.
    pub(super) passed_on: usize,
    pub(super) functions: Vec<OverFunction>,
    /// Columns that functions read, and the type each is cast to.
    pub(super) reads: Vec<(usize, DataType)>,
    /// For each function, which of `reads` are its arguments.
    pub(super) arguments: Vec<Vec<usize>>,
    pub(super) output: SchemaRef,
    /// Whether a row waits for all of its time.
    pub(super) has_peers: bool,
    /// The most keys, where they are never forgotten.
    pub(super) keys_max: Option<usize>,
}

/// Adds columns to rows.
#[derive(Debug)]
pub(super) struct Over {
    layout: Arc<Layout>,
    keys: Box<dyn Keys>,
    columns: Vec<Box<dyn Column>>,
    waiting: Waiting,
    /// No row before it is on time.
    passed: Timestamp,
    /// Once there are more keys they are looked through.
    keys_limit: usize,
}

#[derive(Serialize, Deserialize)]
struct OverState {
    passed: Timestamp,
    keys: Vec<u8>,
    columns: Vec<(String, u32, Vec<u8>)>,
    waiting: Vec<u8>,
}

impl Over {
    pub(super) fn new(layout: Arc<Layout>) -> Result<Self> {
        Ok(Self {
            keys: keys::keys(&layout.key_types)?,
            columns: layout.functions.iter().map(OverFunction::column).collect(),
            layout,
            waiting: Waiting::default(),
            passed: Timestamp::MIN,
            keys_limit: KEYS_SPARE,
        })
    }

    /// The rows that are on time; the others are counted.
    fn on_time(&self, rows: RecordBatch, out: &mut dyn Emitter) -> Result<RecordBatch> {
        let times = times_of(&rows, self.layout.time)?;
        let missing = times.null_count();
        if missing == 0 && times.values().iter().all(|time| *time >= self.passed.micros()) {
            return Ok(rows);
        }
        let keep = times.iter().map(|time| time.is_some_and(|time| time >= self.passed.micros()));
        let keep = BooleanArray::from(keep.collect::<Vec<_>>());
        let late = rows.num_rows() - missing - keep.true_count();
        for (reason, rows) in [(Reason::NoTime, missing), (Reason::Late, late)] {
            if rows > 0 {
                out.dropped(reason, rows);
            }
        }
        if late > 0 && out.wants_late(0) {
            let is_late = times.iter().map(|time| time.is_some_and(|time| time < self.passed.micros()));
            let is_late = BooleanArray::from(is_late.collect::<Vec<_>>());
            out.late(0, filter_record_batch(&rows, &is_late)?, self.layout.time)?;
        }
        Ok(filter_record_batch(&rows, &keep)?)
    }

    /// Numbers the keys of rows; those that there is no room for are counted.
    fn numbered(&mut self, rows: RecordBatch, out: &mut dyn Emitter) -> Result<(RecordBatch, Vec<u32>)> {
        let mut ids = Vec::with_capacity(rows.num_rows());
        let keyed_by = (self.layout.keys.as_slice(), self.layout.key_types.as_slice());
        let max = self.layout.keys_max.unwrap_or(usize::MAX);
        let (rows, refused) = keys::number_rows(&mut self.keys, keyed_by, rows, max, &mut ids)?;
        if refused > 0 {
            out.dropped(Reason::TooManyKeys, refused);
        }
        Ok((rows, ids))
    }

    /// Puts rows to those that wait.
    fn hold(&mut self, rows: RecordBatch, ids: Vec<u32>) -> Result<()> {
        let times = times_of(&rows, self.layout.time)?.clone();
        let mut made = vec![Arc::new(UInt32Array::from(ids)) as ArrayRef];
        for (column, data_type) in &self.layout.reads {
            made.push(as_type(rows.column(*column), data_type)?);
        }
        self.waiting.push(Held { rows, made }, times.values())
    }

    /// Puts out the rows that wait for nothing more.
    fn drain(&mut self, out: &mut dyn Emitter) -> Result<()> {
        let last = match self.layout.has_peers && self.passed != Timestamp::MAX {
            // Before the first watermark nothing has passed.
            true if self.passed == Timestamp::MIN => return Ok(()),
            true => self.passed.micros() - 1,
            false => self.passed.micros(),
        };
        let mut places = Vec::new();
        loop {
            self.waiting.pop(last, CHUNK_ROWS, &mut places);
            if places.is_empty() {
                return Ok(());
            }
            self.run(&places, out)?;
            self.waiting.release(&places);
        }
    }

    fn run(&mut self, places: &[Place], out: &mut dyn Emitter) -> Result<()> {
        let picked = self.waiting.pick(places);
        let made = picked.whole().made()?;
        let times = places.iter().map(|place| place.time).collect::<Vec<_>>();
        let mut results = Vec::with_capacity(self.columns.len());
        let fields = &self.layout.output.fields()[self.layout.passed_on..];
        for ((column, arguments), field) in self.columns.iter_mut().zip(&self.layout.arguments).zip(fields) {
            let arguments = arguments.iter().map(|n| Arc::clone(&made[n + 1])).collect::<Vec<_>>();
            let ids = made[0].as_primitive::<UInt32Type>().values();
            let result = column.run(&Sorted { ids, times: &times, arguments: &arguments })?;
            results.push(as_type(&result, field.data_type())?);
        }
        let mut start = 0;
        picked.each(self.layout.passed_on, &mut |part, mut columns| {
            columns.extend(results.iter().map(|result| result.slice(start, part.len())));
            start += part.len();
            out.emit(RecordBatch::try_new(SchemaRef::clone(&self.layout.output), columns)?)
        })
    }

    /// Forgets keys of which nothing is left, once there may be many of them.
    fn forget(&mut self) -> Result<()> {
        if self.keys.len() <= self.keys_limit {
            return Ok(());
        }
        let mut needed = vec![false; self.keys.len()];
        for ids in self.waiting.ids() {
            ids.as_primitive::<UInt32Type>().values().iter().for_each(|id| needed[*id as usize] = true);
        }
        for (key, needed) in needed.iter_mut().enumerate() {
            for column in &mut self.columns {
                *needed |= !column.forget(key, self.passed);
            }
        }
        let kept = (0u32..).zip(&needed).filter(|(_, needed)| **needed).map(|(id, _)| id).collect::<Vec<_>>();
        if kept.len() < needed.len() {
            self.keys = keys::numbered(&self.layout.key_types, &self.keys.columns(&kept)?, kept.len())?;
            self.columns.iter_mut().for_each(|column| column.retain(&kept));
            let mut numbers = vec![0; needed.len()];
            (0u32..).zip(&kept).for_each(|(new, old)| numbers[*old as usize] = new);
            for ids in self.waiting.ids_mut() {
                let renumbered = ids.as_primitive::<UInt32Type>().values().iter().map(|id| numbers[*id as usize]);
                *ids = Arc::new(UInt32Array::from_iter_values(renumbered));
            }
        }
        self.keys_limit = 2 * kept.len() + KEYS_SPARE;
        Ok(())
    }
}

impl Operator for Over {
    fn process(&mut self, _: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let rows = self.on_time(rows, out)?;
        let (rows, ids) = self.numbered(rows, out)?;
        self.hold(rows, ids)?;
        if !self.layout.has_peers {
            self.drain(out)?;
        }
        self.forget()
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let passed = if watermark == Timestamp::MAX { watermark } else { watermark - self.layout.time_delay };
        if passed > self.passed {
            self.passed = passed;
            self.drain(out)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let mut waiting = Vec::new();
        self.waiting.all().each(self.layout.input.fields().len(), &mut |_, columns| {
            waiting.push(RecordBatch::try_new(SchemaRef::clone(&self.layout.input), columns)?);
            Ok(())
        })?;
        let saved = |column: &dyn Column| {
            let (kind, version) = column.kind();
            Ok((kind.to_owned(), version, column.save()?))
        };
        let state = OverState {
            passed: self.passed,
            keys: keys::save(self.keys.as_ref(), &self.layout.key_types)?,
            columns: self.columns.iter().map(|column| saved(column.as_ref())).collect::<Result<_>>()?,
            waiting: saved_rows::save(&self.layout.input, &waiting)?,
        };
        Snapshot::save(KIND, VERSION, &state)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let other = |what: &str| {
            Error::user(format!("saved state of OVER has other {what}"))
                .hint("the pipeline was changed since the state was saved; start it with an empty state directory")
        };
        let state = snapshot.load::<OverState>(KIND, VERSION)?;
        let mut fresh = Self::new(Arc::clone(&self.layout))?;
        fresh.passed = state.passed;
        fresh.keys = keys::load(&state.keys, &self.layout.key_types)?;
        if state.columns.len() != fresh.columns.len() {
            return Err(other("columns"));
        }
        for (column, (kind, version, bytes)) in fresh.columns.iter_mut().zip(&state.columns) {
            if column.kind() != (kind.as_str(), *version) {
                return Err(other("functions"));
            }
            column.load(bytes, fresh.keys.len())?;
        }
        let (schema, batches) = saved_rows::load(&state.waiting)?;
        if schema.fields() != self.layout.input.fields() {
            return Err(other("rows"));
        }
        for rows in batches {
            let mut ids = Vec::new();
            let columns = self.layout.keys.iter().map(|n| ArrayRef::clone(rows.column(*n))).collect::<Vec<_>>();
            fresh.keys.intern(&columns, rows.num_rows(), &mut ids)?;
            fresh.hold(rows, ids)?;
        }
        *self = fresh;
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        self.waiting.len() as u64
    }
}

fn times_of(rows: &RecordBatch, column: usize) -> Result<&arrow::array::TimestampMicrosecondArray> {
    let times = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    times.ok_or_else(|| Error::internal("the time column of OVER has no microseconds"))
}
