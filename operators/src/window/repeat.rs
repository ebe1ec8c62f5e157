//! Puts every row into its windows without aggregating: `SELECT * FROM HOP(…)`.
//!
//! A row comes out once for each window it belongs to, the one that ends first before the others, with the columns of the window
//! behind its own. A row without event time belongs to no window and is dropped, counted as `no_time`; one between windows
//! is counted as `filtered`. Nothing is kept in state: late rows come out like any other.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringBuilder, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result};

use super::WindowKind;
use super::assign::{Cells, Windows};
use super::runs::{Place, Runs};
use crate::rows::BATCH_ROWS;
use crate::{Emitter, Operator, PlannedOperator, Port};

/// Plans the operator: `output` has the columns of the input, then those of the window. `time` is the column of event time.
pub fn plan_rows(kind: &WindowKind, time: usize, output: SchemaRef) -> PlannedOperator {
    let (windows, named, schema) = (Windows::of(kind), kind.has_names(), SchemaRef::clone(&output));
    let build = move || -> Box<dyn Operator> {
        let cells = Cells::of([&windows]);
        Box::new(Repeat {
            windows: windows.clone(),
            cells,
            named,
            time,
            output: SchemaRef::clone(&schema),
            runs: Runs::default(),
        })
    };
    PlannedOperator::new(output, build).partitioned_by([])
}

/// The operator.
#[derive(Debug)]
struct Repeat {
    windows: Windows,
    cells: Cells,
    named: bool,
    /// Which column of the input is the event time.
    time: usize,
    output: SchemaRef,
    runs: Runs,
}

/// Rows that were put into windows and not put out yet.
#[derive(Default)]
struct Placed {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    /// Names of the windows, if they have any.
    names: Option<StringBuilder>,
}

impl Repeat {
    fn put_out(&self, rows: &RecordBatch, placed: &mut Placed, out: &mut dyn Emitter) -> Result<()> {
        let Placed { rows: places, starts, ends, names } = std::mem::take(placed);
        placed.names = self.named.then(StringBuilder::new);
        let once_each = (0u32..).zip(&places).all(|(row, place)| row == *place) && places.len() == rows.num_rows();
        let taken = if once_each { rows.clone() } else { take_record_batch(rows, &UInt32Array::from(places))? };
        let mut columns = taken.columns().to_vec();
        for edges in [starts, ends] {
            columns.push(Arc::new(TimestampMicrosecondArray::from(edges).with_timezone("UTC")) as ArrayRef);
        }
        columns.extend(names.map(|mut names| -> ArrayRef { Arc::new(names.finish()) }));
        out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), columns)?)
    }
}

impl Operator for Repeat {
    fn process(&mut self, _: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let times = rows.column(self.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("the event time of a window is not in microseconds"))?;
        self.runs.cut(times, |time| self.cells.located(time));
        let mut placed = Placed { names: self.named.then(StringBuilder::new), ..Placed::default() };
        for (place, run) in self.runs.iter() {
            let time = match place {
                Place::Slice { cell, .. } => cell,
                Place::Nowhere(reason) => {
                    out.dropped(reason, run.len());
                    continue;
                }
            };
            let (first, last) = (self.windows.first(time), self.windows.last(time));
            if first > last {
                out.dropped(Reason::Filtered, run.len());
            }
            for row in run {
                // A row can be in very many windows, so that all rows of a batch would not fit into one.
                if placed.rows.len() >= BATCH_ROWS {
                    self.put_out(&rows, &mut placed, out)?;
                }
                for window in first..=last {
                    let bounds = self.windows.bounds(window);
                    placed.rows.push(row as u32);
                    placed.starts.push(bounds.start);
                    placed.ends.push(bounds.end);
                    if let Some(names) = &mut placed.names {
                        names.append_value(self.windows.name(window).unwrap_or_default());
                    }
                }
            }
        }
        self.put_out(&rows, &mut placed, out)
    }
}
