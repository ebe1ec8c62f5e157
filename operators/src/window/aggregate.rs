//! The operator that aggregates over windows: rows in, one row for each window and key out when the watermark closes it.
//!
//! | in, windows of 10 s every 5 s | out |
//! | --- | --- |
//! | reading at 7 s | nothing yet; it belongs to `[0 s, 10 s)` and `[5 s, 15 s)` |
//! | watermark 10 s | the window `[0 s, 10 s)` with one reading |
//! | reading at 8 s | nothing; late for `[0 s, 10 s)`, it still joins `[5 s, 15 s)` |
//! | reading at 3 s | counted as late: its windows are closed |
//! | watermark 15 s | the window `[5 s, 15 s)` with two readings |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::assign::{Grid, TIME_LIMIT};
use super::keys::{self, Keys};
use super::output::Output;
use super::runs::{Place, Run, Stretch, cut, regrouped, stretches};
use super::slice::{Slice, SliceState};
use super::sliding::Sliding;
use crate::aggregate::{Partial, Rows, Shared};
use crate::{Emitter, Operator, Port, Snapshot};

const KIND: &str = "window";
const VERSION: u32 = 2;
/// So many keys may be remembered beyond twice those of open windows.
const KEYS_SPARE: usize = 1024;

/// What was planned, shared by all workers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) grid: Grid,
    pub(super) time: usize,
    pub(super) time_delay: Span,
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    /// Columns that aggregates read, and the type they are cast to once for all.
    pub(super) values: Vec<(usize, DataType)>,
    /// What is kept for the aggregates, and which of `values` it reads.
    pub(super) shared: Shared,
    pub(super) output: SchemaRef,
}

/// Aggregates over tumbling and hopping windows.
#[derive(Debug)]
pub(super) struct WindowAggregate {
    layout: Arc<Layout>,
    /// The partials that are kept, empty.
    empty: Vec<Box<dyn Partial>>,
    keys: Box<dyn Keys>,
    /// Slices that have rows and belong to an open window.
    slices: BTreeMap<i64, Slice>,
    sliding: Sliding,
    /// The first window that is not closed.
    next: i64,
    /// Rows in all slices.
    rows: u64,
    /// Keys in all slices, each counted once for each slice it is in.
    entries: usize,
    scratch: Scratch,
}

/// Buffers that are used again for each batch.
#[derive(Debug, Default)]
struct Scratch {
    runs: Vec<Run>,
    ids: Vec<u32>,
    slots: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct WindowState {
    next: i64,
    middle: i64,
    keys: Vec<u8>,
    slices: Vec<(i64, SliceState)>,
}

impl WindowAggregate {
    pub(super) fn new(layout: Arc<Layout>) -> Result<Self> {
        Ok(Self {
            empty: layout.shared.build(&layout.values)?,
            keys: keys::keys(&layout.key_types)?,
            layout,
            slices: BTreeMap::new(),
            sliding: Sliding::new(i64::MIN),
            next: i64::MIN,
            rows: 0,
            entries: 0,
            scratch: Scratch::default(),
        })
    }

    /// Takes a batch that was cut into runs.
    fn update(&mut self, runs: &[Run], batch: &Batch<'_>, slots: &mut Vec<u32>, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        for Run { place, rows } in runs {
            let number = match place {
                Place::Slice(number) => *number,
                Place::Nowhere(reason) => {
                    out.dropped(*reason, rows.len());
                    continue;
                }
            };
            let last = layout.grid.last_window(number);
            if layout.grid.first_window(number) > last {
                out.dropped(Reason::Filtered, rows.len());
                continue;
            }
            if last < self.next {
                out.dropped(Reason::Late, rows.len());
                continue;
            }
            if !self.slices.contains_key(&number) {
                let before = self.slices.range(..number).next_back().map(|(_, slice)| slice);
                self.slices.insert(number, Slice::after(before, self.keys.len(), &self.empty));
            }
            let Some(slice) = self.slices.get_mut(&number) else { continue };
            let live = slice.live();
            slice.update(&batch.ids[rows.clone()], self.keys.len(), slots, |partial, slots| Rows {
                slots,
                times: &batch.times.values()[rows.clone()],
                column: layout.shared.partials[partial].1.map(|at| batch.values[at].as_ref()),
                start: rows.start,
            })?;
            self.entries += slice.live() - live;
            self.rows += rows.len() as u64;
            self.sliding.touched(number);
        }
        Ok(())
    }

    /// Puts out the windows before `open`, skipping those without rows.
    fn close(&mut self, open: i64, out: &mut dyn Emitter) -> Result<()> {
        let grid = self.layout.grid;
        let mut closed = Output::new(SchemaRef::clone(&self.layout.output), self.layout.shared.results.len());
        while let Some(first) = self.slices.first_entry() {
            let window = self.next.max(grid.first_window(*first.key()));
            if window >= open {
                break;
            }
            if grid.slices_per_window() == 1 {
                closed.push(&grid.bounds(window), first.get(), &self.layout.shared.results)?;
            } else {
                let whole = self.sliding.window(&self.slices, grid.slices_of(window), &self.empty)?;
                closed.push(&grid.bounds(window), &whole, &self.layout.shared.results)?;
            }
            self.next = window + 1;
            while let Some(first) = self.slices.first_entry()
                && grid.last_window(*first.key()) < self.next
            {
                let slice = first.remove();
                self.rows = self.rows.saturating_sub(slice.rows());
                self.entries -= slice.live();
            }
            if closed.is_full() {
                closed.flush(self.keys.as_ref(), out)?;
            }
        }
        self.next = self.next.max(open);
        closed.flush(self.keys.as_ref(), out)
    }

    /// Forgets keys that are in no open window, once they are more than half of all.
    fn forget(&mut self) -> Result<()> {
        if self.keys.len() <= 2 * self.entries + KEYS_SPARE {
            return Ok(());
        }
        let mut map = vec![0; self.keys.len()];
        self.slices.values().flat_map(Slice::keys).for_each(|id| map[id as usize] = 1);
        let live = (0u32..).zip(&map).filter(|(_, used)| **used == 1).map(|(id, _)| id).collect::<Vec<_>>();
        self.keys = keys::numbered(&self.layout.key_types, &self.keys.columns(&live)?, live.len())?;
        for (new, old) in (0u32..).zip(&live) {
            map[*old as usize] = new;
        }
        self.slices.values_mut().for_each(|slice| slice.renumber(&map));
        self.sliding = Sliding::new(self.sliding.middle());
        Ok(())
    }
}

/// A batch as the slices take it.
struct Batch<'a> {
    ids: Cow<'a, [u32]>,
    times: TimestampMicrosecondArray,
    values: Vec<ArrayRef>,
}

impl Batch<'_> {
    /// These rows, in this order.
    fn take(&self, order: &[u32]) -> Result<Batch<'static>> {
        let rows = UInt32Array::from(order.to_vec());
        Ok(Batch {
            ids: order.iter().map(|row| self.ids[*row as usize]).collect(),
            times: take(&self.times, &rows, None)?.as_primitive::<TimestampMicrosecondType>().clone(),
            values: self
                .values
                .iter()
                .map(|column| take(column, &rows, None))
                .collect::<std::result::Result<_, _>>()?,
        })
    }
}

impl Operator for WindowAggregate {
    fn process(&mut self, _: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let Scratch { mut runs, mut ids, mut slots } = std::mem::take(&mut self.scratch);
        let times = rows.column(layout.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times: TimestampMicrosecondArray =
            times.ok_or_else(|| Error::internal("the time column has no microseconds"))?.clone();
        cut(&times, &layout.grid, &mut runs);
        ids.clear();
        let keys = layout.keys.iter().map(|column| ArrayRef::clone(rows.column(*column))).collect::<Vec<_>>();
        self.keys.intern(&keys, rows.num_rows(), &mut ids)?;
        let as_read = |(column, data_type): &(usize, DataType)| {
            let column = rows.column(*column);
            if column.data_type() == data_type { Ok(ArrayRef::clone(column)) } else { cast(column, data_type) }
        };
        let values = layout.values.iter().map(as_read).collect::<std::result::Result<Vec<_>, _>>()?;
        let batch = Batch { ids: Cow::Borrowed(&ids), times, values };
        for stretch in stretches(&runs) {
            match stretch {
                Stretch::Straight(runs) => self.update(runs, &batch, &mut slots, out)?,
                Stretch::Scattered(runs) => {
                    let (order, runs) = regrouped(runs);
                    self.update(&runs, &batch.take(&order)?, &mut slots, out)?;
                }
            }
        }
        drop(batch);
        self.scratch = Scratch { runs, ids, slots };
        Ok(())
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let watermark = if watermark == Timestamp::MAX { watermark } else { watermark - self.layout.time_delay };
        let open = self.layout.grid.first_open(watermark);
        if open > self.next {
            self.close(open, out)?;
        }
        self.forget()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let slices = self.slices.iter().map(|(number, slice)| Ok((*number, slice.save()?)));
        let state = WindowState {
            next: self.next,
            middle: self.sliding.middle(),
            keys: keys::save(self.keys.as_ref(), &self.layout.key_types)?,
            slices: slices.collect::<Result<_>>()?,
        };
        Snapshot::save(KIND, VERSION, &state)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<WindowState>(KIND, VERSION)?;
        let mut fresh = Self::new(Arc::clone(&self.layout))?;
        fresh.next = state.next;
        fresh.sliding = Sliding::new(state.middle);
        fresh.keys = keys::load(&state.keys, &self.layout.key_types)?;
        let known = self.layout.grid.slice_of(-TIME_LIMIT)..=self.layout.grid.slice_of(TIME_LIMIT);
        for (number, slice) in &state.slices {
            if !known.contains(number) {
                return Err(Error::data("saved state of a window is damaged: a slice is beyond all time"));
            }
            let slice = Slice::load(slice, &fresh.empty, fresh.keys.len())?;
            fresh.rows = fresh.rows.saturating_add(slice.rows());
            fresh.entries += slice.live();
            fresh.slices.insert(*number, slice);
        }
        *self = fresh;
        Ok(())
    }

    fn oldest_open(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, _) = self.slices.first_key_value()?;
        let bounds = self.layout.grid.bounds(self.next.max(self.layout.grid.first_window(*first)));
        Some((Timestamp(bounds.start), Timestamp(bounds.end)))
    }

    fn open_rows(&self) -> u64 {
        self.rows
    }
}
