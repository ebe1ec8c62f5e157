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
use super::runs::{Place, Run, cut};
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
            runs: Vec::new(),
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
    runs: Vec<Run>,
}

impl Operator for Repeat {
    fn process(&mut self, _: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let times = rows.column(self.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("the event time of a window is not in microseconds"))?;
        cut(times, |time| self.cells.located(time), &mut self.runs);
        let (mut places, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = self.named.then(StringBuilder::new);
        for Run { place, rows } in &self.runs {
            let time = match place {
                Place::Slice { cell, .. } => *cell,
                Place::Nowhere(reason) => {
                    out.dropped(*reason, rows.len());
                    continue;
                }
            };
            let (first, last) = (self.windows.first(time), self.windows.last(time));
            if first > last {
                out.dropped(Reason::Filtered, rows.len());
            }
            for row in rows.clone() {
                for window in first..=last {
                    let bounds = self.windows.bounds(window);
                    places.push(row as u32);
                    starts.push(bounds.start);
                    ends.push(bounds.end);
                    if let Some(names) = &mut names {
                        names.append_value(self.windows.name(window).unwrap_or_default());
                    }
                }
            }
        }
        let once_each = (0u32..).zip(&places).all(|(row, place)| row == *place) && places.len() == rows.num_rows();
        let rows = if once_each { rows } else { take_record_batch(&rows, &UInt32Array::from(places))? };
        let mut columns = rows.columns().to_vec();
        for edges in [starts, ends] {
            columns.push(Arc::new(TimestampMicrosecondArray::from(edges).with_timezone("UTC")) as ArrayRef);
        }
        columns.extend(names.map(|mut names| -> ArrayRef { Arc::new(names.finish()) }));
        out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), columns)?)
    }
}
