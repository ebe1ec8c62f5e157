//! Windows: what a stretch of time says about each sensor, put out when the stretch is over.
//!
//! Tumbling windows follow one another (every second, the last second); hopping windows overlap (every 5 s, the last
//! minute). A window closes when the watermark reaches its end. A reading that comes later is counted as late, unless an
//! overlapping window that it belongs to is still open. A reading without event time is counted and dropped; one of bad
//! quality is counted, and its values take part if the query says so. Nothing is put out for a window without readings.
//!
//! `docs/windows.md` says how it works and what bounds it.

mod aggregate;
mod assign;
mod columns;
pub mod keyed;
pub mod keys;
mod output;
mod runs;
mod slice;
mod sliding;
mod slots;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, Span};

use self::aggregate::{Layout, WindowAggregate};
use self::assign::{Grid, SPAN_LIMIT};
use self::columns::{Columns, names_of};
pub use crate::aggregate::{AggregateFunction, result_type};
use crate::aggregate::{Shared, keeps};
use crate::{PlannedOperator, TimeColumn};

/// The column of a window's first moment.
pub const WINDOW_START: &str = "window_start";
/// The column of the moment after a window's last.
pub const WINDOW_END: &str = "window_end";
/// The most windows that one reading may belong to.
pub const OVERLAP_LIMIT: i64 = 100_000;

/// How windows follow one another. All start at multiples of the slide since 1970-01-01T00:00:00Z, plus the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// One after the other.
    Tumble {
        /// How long each is.
        size: Span,
        /// What their starts are shifted by.
        offset: Span,
    },
    /// A new one every `slide`, overlapping if that is less than `size`. If it is more, readings between two windows are
    /// counted as filtered.
    Hop {
        /// How long each is.
        size: Span,
        /// How long after the start of one the next starts.
        slide: Span,
        /// What their starts are shifted by.
        offset: Span,
    },
}

impl WindowKind {
    fn parts(&self) -> (Span, Span, Span) {
        match *self {
            Self::Tumble { size, offset } => (size, size, offset),
            Self::Hop { size, slide, offset } => (size, slide, offset),
        }
    }
}

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
}

/// Checks a windowed aggregation over an input. It puts out `window_start`, `window_end`, the keys and the aggregates, in the
/// order of `window_end`, and within a window in the order in which keys were first seen.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: WindowSpec, input: &SchemaRef) -> Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    let (size, slide, offset) = spec.kind.parts();
    check_kind(size, slide, spec.time_delay, &mut problems);
    let columns = Columns::of(spec.time, &spec.keys, &spec.aggregates, input, &mut problems);
    if !problems.0.is_empty() {
        return Err(problems);
    }

    let partition_by = names_of(&spec.keys, input);
    let explain = explain(&spec);
    let Columns { key_types, values, aggregates, output } = columns;
    let times = [(WINDOW_END, spec.time_delay), (WINDOW_START, Span(size.micros() + spec.time_delay.micros()))];
    let layout = Arc::new(Layout {
        grid: Grid::new(size, slide, offset),
        time: spec.time,
        time_delay: spec.time_delay,
        keys: spec.keys,
        key_types,
        shared: Shared::of(&aggregates, &values),
        values,
        output: SchemaRef::clone(&output),
    });
    // Once here, so that what could not be built is told now and not by a worker.
    WindowAggregate::new(Arc::clone(&layout)).map_err(|error| Problem::whole(error.to_string()))?;
    let build = move || -> Box<dyn crate::Operator> {
        Box::new(WindowAggregate::new(Arc::clone(&layout)).expect("it was built once when it was planned"))
    };
    let times = times.into_iter().map(|(name, delay)| TimeColumn { name: name.to_owned(), delay }).collect();
    Ok(PlannedOperator { partition_by, explain, times, ..PlannedOperator::new(output, build) })
}

fn check_kind(size: Span, slide: Span, time_delay: Span, problems: &mut Problems) {
    let mut sound = true;
    for (what, span) in [("size", size), ("slide", slide)] {
        if span <= Span::ZERO || span > SPAN_LIMIT {
            let problem = Problem::whole(format!("the window's {what} must be positive, found {span}"));
            problems.push(problem.hint("write a duration such as INTERVAL '10' SECOND, below 36,000 years"));
            sound = false;
        }
    }
    if sound && size.micros() / slide.micros() > OVERLAP_LIMIT {
        let problem = format!("windows of {size} every {slide} put each row into more than {OVERLAP_LIMIT} windows");
        problems.push(Problem::whole(problem).hint("use a longer slide or a shorter size"));
    }
    if time_delay < Span::ZERO || time_delay > SPAN_LIMIT {
        problems.push(Problem::whole(format!("the delay of the time column is {time_delay}, it must not be negative")));
    }
}

fn explain(spec: &WindowSpec) -> Vec<String> {
    let (size, slide, offset) = spec.kind.parts();
    let shift = if offset == Span::ZERO { String::new() } else { format!(" + {offset}") };
    let slices = Grid::new(size, slide, offset).slices_per_window();
    let mut lines = vec![
        format!(
            "windows of {size} every {slide}, from 1970-01-01T00:00:00Z{shift}, closed when the watermark reaches their end"
        ),
        "rows of closed windows are dropped and counted as late".to_owned(),
        format!("state: one entry per aggregate, group and slice that has rows; {slices} slices to a window"),
        "groups are forgotten when they are in no open window".to_owned(),
    ];
    if slide > size {
        lines.push(format!(
            "windows of {size} every {slide} leave gaps: rows in them are dropped and counted as filtered"
        ));
    }
    lines.extend(keeps(spec.aggregates.iter().map(|aggregate| &aggregate.function)));
    lines
}
