//! Windows whose edges depend on the readings of each key: sessions, so many readings, the time between two conditions.
//!
//! Each key has windows of its own, at most one open at a time (sliding count windows overlap). Rows are looked at in the order of
//! event time, once the watermark has passed them, so disorder within the bound changes nothing. A window comes out when the watermark
//! says that it is over. Readings without event time are counted as `no_time`, those behind the watermark as `late`, unless a
//! session is open for them. Null is a key like any other.

mod book;
mod condition;
mod count;
mod operator;
mod order;
mod session;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use lineside_model::{Problem, Problems, Span};

use self::condition::Conditions;
use self::count::Counts;
use self::operator::{KeyWindows, KeyedAggregate, Layout};
use self::session::Sessions;
use super::assign::SPAN_LIMIT;
use super::columns::{Columns, column, edges, names_of};
use super::{AggregateSpec, OVERLAP_LIMIT, WINDOW_END, WINDOW_START, bound_of_groups};
use crate::aggregate::{AggregateFunction, Shared, keeps};
use crate::{Operator, PlannedOperator};

/// How the readings of a key become windows. Columns are counted from 0 in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyedKind {
    /// Readings that follow each other without a pause. `window_end` is the time of the last one plus the gap.
    Session {
        /// The longest pause within a session.
        gap: Span,
        /// How long a session may be.
        max_size: Option<Span>,
    },
    /// So many readings. `window_end` is the time of the last one, which belongs to the window.
    Count {
        /// How many.
        size: u64,
        /// How many readings after the start of one the next starts.
        slide: u64,
        /// What is left comes out, and counting starts anew, after a longer pause.
        gap: Option<Span>,
    },
    /// From a reading for which a condition holds. `window_end` is the time of the reading that ends it.
    Condition {
        /// The column that says whether a window starts.
        start: usize,
        /// The column that says whether it stops; that reading still belongs to it. `None`: it lasts while it would start.
        stop: Option<usize>,
        /// How long a window may be.
        max_size: Option<Span>,
    },
}

/// An aggregation over windows of each key. Columns are counted from 0 in the input.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedSpec {
    /// How readings become windows.
    pub kind: KeyedKind,
    /// The column of event time.
    pub time: usize,
    /// How far that column may be behind the watermark, see [`TimeColumn::delay`](crate::TimeColumn::delay).
    pub time_delay: Span,
    /// The columns whose values have windows of their own; they come out with them.
    pub keys: Vec<usize>,
    /// The column that says which readings take part in aggregates; others shape the windows only. `None`: all do.
    pub kept: Option<usize>,
    /// What is computed for each window.
    pub aggregates: Vec<AggregateSpec>,
    /// How many keys each worker has at a time at most, at least 1: rows of more are dropped as
    /// [`TooManyKeys`](lineside_model::Reason::TooManyKeys).
    pub max_groups: usize,
}

/// Checks an aggregation over windows of each key. It puts out `window_start`, `window_end`, the keys and the aggregates, in the order
/// of `window_end` and `window_start`; only what a count window leaves over after a gap comes later.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: &KeyedSpec, input: &SchemaRef) -> Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    check_kind(&spec.kind, spec.time_delay, &mut problems);
    let Columns { key_types, values, aggregates, output } =
        Columns::of(spec.time, edges(), &spec.keys, &spec.aggregates, input, &mut problems);
    let shared = Shared::of(&aggregates, &values);
    // Dictionaries wait as their words, since those of many batches may not fit one; functions from elsewhere want what they know.
    let as_it_is = |at: usize| {
        let reads = |(function, column): &(AggregateFunction, Option<usize>)| {
            *column == Some(at) && matches!(function, AggregateFunction::External(_))
        };
        aggregates.iter().any(reads)
    };
    let mut columns = Vec::new();
    for (n, (at, data_type)) in values.into_iter().enumerate() {
        columns.push(match data_type {
            DataType::Dictionary(_, words) if !as_it_is(n) => (at, *words),
            other => (at, other),
        });
    }
    let (start, stop) = match spec.kind {
        KeyedKind::Condition { start, stop, .. } => (Some(start), stop),
        KeyedKind::Session { .. } | KeyedKind::Count { .. } => (None, None),
    };
    let mut condition = |at: Option<usize>| {
        let at = at?;
        let field = column(at, input, &mut problems)?;
        if *field.data_type() != DataType::Boolean {
            let problem = format!("\"{}\" is {}, a condition is a boolean", field.name(), field.data_type());
            problems.push(Problem::whole(problem).hint("compare it with something"));
        }
        columns.push((at, DataType::Boolean));
        Some(columns.len() - 1)
    };
    let (start, stop, kept) = (condition(start), condition(stop), condition(spec.kept));
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let layout = Arc::new(Layout {
        time: spec.time,
        time_delay: spec.time_delay,
        keys: spec.keys.clone(),
        key_types,
        max_groups: spec.max_groups,
        columns,
        shared,
        start,
        stop,
        kept,
        output,
    });
    let planned = match spec.kind {
        KeyedKind::Session { gap, max_size } => build(Sessions { gap, max_size }, &layout),
        KeyedKind::Count { size, slide, gap } => build(Counts::new(size, slide, gap), &layout),
        KeyedKind::Condition { stop, max_size, .. } => build(Conditions { stops: stop.is_some(), max_size }, &layout),
    }?;
    let behind = |span: Span| Span(span.micros().saturating_add(spec.time_delay.micros()));
    let planned = match spec.kind {
        // What is left after a gap comes out that much later than its last row.
        KeyedKind::Count { gap, .. } => planned.timed(WINDOW_END, behind(gap.unwrap_or(Span::ZERO))),
        KeyedKind::Session { max_size, .. } | KeyedKind::Condition { max_size, .. } => {
            let planned = planned.timed(WINDOW_END, spec.time_delay);
            match max_size {
                Some(size) => planned.timed(WINDOW_START, behind(size)),
                None => planned,
            }
        }
    };
    Ok(PlannedOperator {
        partition_by: names_of(&spec.keys, input),
        explain: explain(spec),
        tells_late: true,
        ..planned
    })
}

fn build<W: KeyWindows + Sync>(windows: W, layout: &Arc<Layout>) -> Result<PlannedOperator, Problem> {
    // Once here, so that what could not be built is told now and not by a worker.
    KeyedAggregate::new(windows, Arc::clone(layout)).map_err(|error| Problem::whole(error.to_string()))?;
    let output = SchemaRef::clone(&layout.output);
    let layout = Arc::clone(layout);
    Ok(PlannedOperator::new(output, move || -> Box<dyn Operator> {
        let operator = KeyedAggregate::new(windows, Arc::clone(&layout));
        Box::new(operator.expect("it was built once when it was planned"))
    }))
}

fn check_kind(kind: &KeyedKind, time_delay: Span, problems: &mut Problems) {
    let mut check = |what: &str, span: Option<Span>| {
        if span.is_some_and(|span| span <= Span::ZERO || span > SPAN_LIMIT) {
            let problem = Problem::whole(format!("the window's {what} must be positive and below 36,000 years"));
            problems.push(problem.hint("write a duration such as INTERVAL '30' SECOND"));
        }
    };
    match *kind {
        KeyedKind::Session { gap, max_size } => {
            check("gap", Some(gap));
            check("longest length", max_size);
        }
        KeyedKind::Condition { max_size, .. } => check("longest length", max_size),
        KeyedKind::Count { size, slide, gap } => {
            check("gap", gap);
            if size == 0 || slide == 0 {
                let problem =
                    Problem::whole("a window has at least one row, and the next starts at least one row later");
                problems.push(problem.hint("write a number of rows such as 100"));
            } else if slide > size {
                let problem = format!("windows of {size} rows every {slide} leave rows out");
                problems.push(Problem::whole(problem).hint("use a slide that is not greater than the size"));
            } else if size / slide > OVERLAP_LIMIT.unsigned_abs() {
                let problem = format!("windows of {size} rows every {slide} put each into more than {OVERLAP_LIMIT}");
                problems.push(Problem::whole(problem).hint("use a greater slide or a smaller size"));
            }
        }
    }
    if time_delay < Span::ZERO || time_delay > SPAN_LIMIT {
        problems.push(Problem::whole(format!("the delay of the time column is {time_delay}, it must not be negative")));
    }
}

fn explain(spec: &KeyedSpec) -> Vec<String> {
    let cut = |max_size: Option<Span>| max_size.map_or(String::new(), |size| format!(", cut at {size}"));
    let mut lines = Vec::new();
    let unbounded = "state is unbounded in time for a key";
    match spec.kind {
        KeyedKind::Session { gap, max_size } => {
            lines.push(format!("sessions with pauses of at most {gap}{}, per key", cut(max_size)));
            if max_size.is_none() {
                lines.push(format!("{unbounded} that never pauses for longer than {gap}; MAX_SIZE bounds it"));
            }
        }
        KeyedKind::Count { size, slide, gap } => {
            let every = if slide == size { String::new() } else { format!(" every {slide}") };
            lines.push(format!("windows of {size} rows{every} per key, counted in the order of event time"));
            lines.push(match gap {
                Some(gap) => format!("a key that is silent for more than {gap} puts out what it has, and starts anew"),
                None => format!("{unbounded} that falls silent before a window is full; GAP bounds it"),
            });
        }
        KeyedKind::Condition { stop, max_size, .. } => {
            let until = if stop.is_some() { "until the stop condition does" } else { "while it does" };
            lines.push(format!("windows from where the start condition holds {until}{}, per key", cut(max_size)));
            lines.push("rows outside windows are dropped and counted as filtered".to_owned());
            if max_size.is_none() {
                lines.push(format!("{unbounded} whose window never stops; MAX_SIZE bounds it"));
            }
        }
    }
    let slots = match spec.kind {
        KeyedKind::Count { size, slide, .. } if slide < size => {
            let per_window = if size % slide == 0 { size / slide } else { 2 * (size / slide) + 1 };
            format!("{per_window} slices of a window")
        }
        _ => "open window".to_owned(),
    };
    lines.push(format!("state: rows until the watermark passes them, and one entry per aggregate, key and {slots}"));
    lines.push(bound_of_groups(spec.max_groups));
    lines.push(match spec.kind {
        KeyedKind::Session { .. } => {
            "late rows join a session that is still open, others are counted as late".to_owned()
        }
        _ => "late rows are dropped and counted as late".to_owned(),
    });
    lines.extend(keeps(spec.aggregates.iter().map(|aggregate| &aggregate.function)));
    lines
}
