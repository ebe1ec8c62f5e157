//! Windows: what a stretch of time says about each sensor, put out when the stretch is over.
//!
//! Tumbling windows follow one another (every second, the last second); hopping windows overlap (every 5 s, the last
//! minute); cumulating windows grow by steps (the day so far, every hour); those of a calendar are days, weeks, months and
//! shifts by the wall clock. A window closes when the watermark reaches its end. A reading that comes later is counted as late, unless an
//! overlapping window that it belongs to is still open. A reading without event time is counted and dropped; one of bad
//! quality is counted, and its values take part if the query says so. Nothing is put out for a window without readings.
//!
//! `docs/windows.md` says how it works and what bounds it.

mod aggregate;
mod assign;
pub mod calendar;
mod columns;
mod early;
pub mod keyed;
pub mod keys;
mod kind;
mod late;
mod latest;
mod layout;
mod output;
mod ranked;
mod repeat;
mod runs;
mod shifts;
mod slice;
mod sliding;
mod slots;
mod stack;
mod view;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Problem, Problems, Result, Span};

use self::aggregate::WindowAggregate;
use self::assign::{Grid, SPAN_LIMIT, Windows};
pub use self::calendar::Calendar;
use self::columns::{Columns, names_of};
pub use self::early::{Early, Emission, plan_emitting};
pub use self::kind::WindowKind;
use self::layout::Layout;
pub use self::repeat::plan_rows;
use crate::aggregate::keeps;
pub use crate::aggregate::{AggregateFunction, result_type};
use crate::operator::BuildOperator;
use crate::{Operator, PlannedOperator, TimeColumn};

/// The column of a window's first moment.
pub const WINDOW_START: &str = "window_start";
/// The column of the moment after a window's last.
pub const WINDOW_END: &str = "window_end";
/// The column of what a window is called, where windows have names.
pub const SHIFT: &str = "shift";
/// How many groups there may be at a time, unless the user says otherwise.
pub const MAX_GROUPS: usize = 1_000_000;
/// The most windows that one reading may belong to.
pub const OVERLAP_LIMIT: i64 = 100_000;

/// One aggregate of a windowed query.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateSpec {
    /// What is computed.
    pub function: AggregateFunction,
    /// The input column it is computed over; `None` for `count(*)`.
    pub column: Option<usize>,
    /// The output column.
    pub name: String,
}

/// A windowed aggregation. Columns are counted from 0 in the input.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowSpec {
    /// How windows follow one another.
    pub kind: WindowKind,
    /// The column of event time that windows are cut by.
    pub time: usize,
    /// How far that column may be behind the watermark, see [`TimeColumn::delay`].
    pub time_delay: Span,
    /// The columns that rows are grouped by.
    pub keys: Vec<usize>,
    /// What is computed for each window and group.
    pub aggregates: Vec<AggregateSpec>,
    /// How many groups each worker has at a time at most, at least 1: rows of more are dropped as
    /// [`TooManyKeys`](lineside_model::Reason::TooManyKeys).
    pub max_groups: usize,
}

/// Checks a windowed aggregation over an input. It puts out `window_start`, `window_end`, the keys and the aggregates, in the
/// order of `window_end`, and within a window in the order in which keys were first seen; where copies share rows out at will, that is
/// any order.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: WindowSpec, input: &SchemaRef) -> Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    spec.kind.check(&mut problems);
    if spec.time_delay < Span::ZERO || spec.time_delay > SPAN_LIMIT {
        let message = format!("the delay of the time column is {}, it must not be negative", spec.time_delay);
        problems.push(Problem::whole(message));
    }
    let columns = Columns::of(spec.time, spec.kind.fields(), &spec.keys, &spec.aggregates, input, &mut problems);
    if !problems.0.is_empty() {
        return Err(problems);
    }

    let partition_by = names_of(&spec.keys, input);
    let explain = explain(&spec);
    let start_delay = Span(spec.kind.longest().micros() + spec.time_delay.micros());
    let times = [(WINDOW_END, spec.time_delay), (WINDOW_START, start_delay)];
    let times = times.into_iter().map(|(name, delay)| TimeColumn { name: name.to_owned(), delay }).collect();
    let output = SchemaRef::clone(&columns.output);
    let gathers = spec.aggregates.iter().all(|aggregate| aggregate.function.takes_any_order());
    let query = WindowQuery { spec, input: SchemaRef::clone(input), columns };
    // Once here, so that what could not be built is told now and not by a worker.
    let build = together(&[&query]).map_err(|error| Problem::whole(error.to_string()))?;
    let windows = Some(Arc::new(query));
    Ok(PlannedOperator {
        partition_by,
        explain,
        times,
        windows,
        tells_late: true,
        gathers,
        ..PlannedOperator::new(output, build)
    })
}

/// A windowed aggregation that was checked. Those that read the same can be computed [`together`].
#[derive(Debug)]
pub struct WindowQuery {
    spec: WindowSpec,
    input: SchemaRef,
    columns: Columns,
}

impl WindowQuery {
    /// Whether one operator can compute both, given that they read the same rows: if their windows are cut by the same time and
    /// their rows grouped by the same keys.
    pub fn goes_with(&self, other: &Self) -> bool {
        let common =
            |query: &Self| (query.spec.time, query.spec.time_delay, query.spec.max_groups, query.spec.keys.clone());
        common(self) == common(other) && self.input == other.input
    }
}

/// Makes an operator that computes several queries at once, the rows of each coming out by an output of its own, in this order.
/// All must go with the first.
///
/// # Errors
/// If it cannot be built, which is our bug.
pub fn together(queries: &[&WindowQuery]) -> Result<BuildOperator> {
    let layout = Layout::of(queries).ok_or_else(|| Error::internal("there are no queries to compute"))?;
    let layout = Arc::new(layout);
    WindowAggregate::new(Arc::clone(&layout))?;
    Ok(Box::new(move || -> Box<dyn Operator> {
        Box::new(WindowAggregate::new(Arc::clone(&layout)).expect("it was built once when it was planned"))
    }))
}

fn explain(spec: &WindowSpec) -> Vec<String> {
    let WindowSpec { kind, .. } = spec;
    let from = match kind.offset() {
        Span::ZERO => "from 1970-01-01T00:00:00Z".to_owned(),
        offset => format!("from 1970-01-01T00:00:00Z + {offset}"),
    };
    let (windows, slices) = match kind {
        WindowKind::Tumble { size, .. } => (format!("windows of {size} every {size}, {from}"), 1),
        WindowKind::Hop { size, slide, offset } => {
            let slices = Grid::new(*size, *slide, *offset).cells_per_window();
            (format!("windows of {size} every {slide}, {from}"), slices)
        }
        WindowKind::Cumulate { size, step, .. } => {
            let steps = size.micros() / step.micros();
            (format!("windows of {size}, {from}, and of each its first {step}, and so on by steps of {step}"), steps)
        }
        WindowKind::Calendar(calendar) => (calendar.to_string(), 1),
    };
    let mut lines = vec![
        format!("{windows}, closed when the watermark reaches their end"),
        "rows of closed windows are dropped and counted as late".to_owned(),
        format!("state: one entry per aggregate, group and slice that has rows; {slices} slices to a window"),
        bound_of_groups(spec.max_groups),
    ];
    let gaps = match kind {
        WindowKind::Tumble { .. } | WindowKind::Cumulate { .. } => None,
        WindowKind::Hop { size, slide, .. } => (slide > size).then(|| format!("windows of {size} every {slide}")),
        WindowKind::Calendar(calendar) => calendar.has_gaps().then(|| "shifts".to_owned()),
    };
    lines.extend(gaps.map(|what| format!("{what} leave gaps: rows in them are dropped and counted as filtered")));
    lines.extend(keeps(spec.aggregates.iter().map(|aggregate| &aggregate.function)));
    let ranks = |function: &AggregateFunction| matches!(function, AggregateFunction::Percentile { exact: true, .. });
    if Windows::of(kind).overlap() && spec.aggregates.iter().any(|aggregate| ranks(&aggregate.function)) {
        let line = "percentile_cont follows windows as they slide: 8 bytes more for each value of one window, and those around \
                    each rank";
        lines.push(line.to_owned());
    }
    lines
}

/// A line for `explain`.
fn bound_of_groups(max: usize) -> String {
    format!("groups are forgotten when they are in no open window; rows of more than {max} at a time are too_many_keys")
}
