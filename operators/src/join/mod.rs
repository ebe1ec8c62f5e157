//! Joins: rows of two streams brought together by their times and keys.
//!
//! The torque of a screw with the pressure that the line had just then (the last one before); a measurement with all alarms of
//! the five seconds around it; the minute of one oven with the same minute of another. A row of the left waits until the watermark has passed
//! all that it could be joined with, so the answer is the one that a batch over the whole day would give. A row behind the
//! watermark is counted as late, one without time as `no_time`; a row whose key is null has no partner.
//!
//! One operator does all of these: they differ in how far the times may be apart and in how many of the rows within
//! reach are taken. `docs/joins.md` says how it works and what bounds it.

mod kept;
pub mod lookup;
mod output;
mod timed;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lineside_model::{Problem, Problems, Span};

use self::timed::{Layout, SideLayout, TimedJoin};
use crate::window::keys::{self, stored_type};
use crate::{PlannedOperator, TimeColumn};

/// Event times beyond this, 73,000 years from 1970, are taken for nonsense, so that no arithmetic here can overflow.
const TIME_LIMIT: i64 = 1 << 61;
/// The furthest that two rows may be apart, 36,000 years.
const SPAN_LIMIT: Span = Span(1 << 60);
/// Of how many keys the last row is kept for ever, where the join has no bound to how old it may be.
pub const KEYS_LIMIT: usize = 1_000_000;

/// Which of the right rows within reach a left row is joined with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// All of them.
    Every,
    /// The latest.
    Last,
    /// The earliest.
    First,
    /// The one nearest in time; of two as near the earlier.
    Nearest,
}

/// One side of a join. Columns are counted from 0 in its input.
#[derive(Clone, Debug)]
pub struct JoinSide {
    /// What it is called in `explain`.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The column of event time.
    pub time: usize,
    /// How far that column may be behind the watermark, see [`TimeColumn::delay`].
    pub delay: Span,
    /// The columns that are equal in joined rows, in the same order for both sides.
    pub keys: Vec<usize>,
    /// The columns that come out, and their names there.
    pub columns: Vec<(usize, String)>,
    /// Whether a row without partner comes out alone, the columns of the other side null. Otherwise it is counted as unmatched.
    pub alone: bool,
}

/// A join of two streams by time.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// The first input.
    pub left: JoinSide,
    /// The second input.
    pub right: JoinSide,
    /// A right row is within reach if its time less the time of the left row is at least this; `None`: however old it is.
    pub earliest: Option<Span>,
    /// … and at most this.
    pub latest: Span,
    /// Which of those are taken.
    pub pick: Pick,
    /// Of how many keys the last row is kept where `earliest` is `None`.
    pub keys_limit: usize,
}

impl JoinSpec {
    /// How far behind the watermark a left row that comes out may be.
    fn left_delay(&self) -> Span {
        Span(self.left.delay.micros().max(self.right.delay.micros() + self.latest.micros()).max(0))
    }

    /// The same for the right; `None` if there is no bound.
    fn right_delay(&self) -> Option<Span> {
        Some(Span((self.left_delay().micros() - self.earliest?.micros()).max(self.right.delay.micros()).max(0)))
    }
}

/// Checks a join. It puts out the columns of the left, then those of the right, in the order of the left rows' times.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: &JoinSpec) -> Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    check(spec, &mut problems);
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let mut fields = Vec::new();
    for (side, other) in [(&spec.left, &spec.right), (&spec.right, &spec.left)] {
        for (column, name) in &side.columns {
            let field = side.schema.field(*column);
            let nullable = field.is_nullable() || other.alone;
            fields.push(Field::new(name, field.data_type().clone(), nullable));
        }
    }
    let output = Arc::new(Schema::new(fields));
    let key_types = spec.left.keys.iter().map(|key| stored_type(spec.left.schema.field(*key).data_type())).collect();
    let layout = Arc::new(Layout {
        left: side(&spec.left, &mut problems),
        right: side(&spec.right, &mut problems),
        key_types,
        earliest: spec.earliest.map(Span::micros),
        latest: spec.latest.micros(),
        pick: spec.pick,
        keys_limit: spec.keys_limit,
        output: SchemaRef::clone(&output),
    });
    // Once here, so that what could not be built is told now and not by a worker.
    TimedJoin::new(Arc::clone(&layout)).map_err(|error| Problem::whole(error.to_string()))?;
    let build = move || -> Box<dyn crate::Operator> {
        Box::new(TimedJoin::new(Arc::clone(&layout)).expect("it was built once when it was planned"))
    };
    let same = |(left, right): &(&usize, &usize)| {
        let name = spec.left.schema.field(**left).name();
        (name == spec.right.schema.field(**right).name()).then(|| name.clone())
    };
    let keys = spec.left.keys.iter().zip(&spec.right.keys).filter_map(|pair| same(&pair)).collect::<Vec<_>>();
    let partition_by = (!keys.is_empty()).then_some(keys);
    let operator = PlannedOperator {
        partition_by,
        explain: explain(spec),
        times: times(spec),
        ..PlannedOperator::new(output, build)
    };
    problems.or(operator)
}

fn side(side: &JoinSide, problems: &mut Problems) -> SideLayout {
    let columns = side.columns.iter().map(|(column, _)| *column).collect::<Vec<_>>();
    let schema = side.schema.project(&columns).map(Arc::new).unwrap_or_else(|error| {
        problems.push(Problem::whole(error.to_string()));
        Arc::clone(&side.schema)
    });
    SideLayout {
        time: side.time,
        delay: side.delay.micros(),
        keys: side.keys.clone(),
        columns,
        schema,
        alone: side.alone,
    }
}

fn check(spec: &JoinSpec, problems: &mut Problems) {
    for side in [&spec.left, &spec.right] {
        let columns = side.columns.iter().map(|(column, _)| column);
        for column in columns.chain(&side.keys).chain([&side.time]) {
            if *column >= side.schema.fields().len() {
                problems.push(Problem::whole(format!("{} has no column number {column}", side.name)));
                return;
            }
        }
        let time = side.schema.field(side.time);
        if !matches!(time.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
            let message = format!("\"{}\" of {} is no timestamp in microseconds", time.name(), side.name);
            problems.push(Problem::whole(message).hint("join by the event times of both sides"));
        }
    }
    for (left, right) in spec.left.keys.iter().zip(&spec.right.keys) {
        let (left, right) = (spec.left.schema.field(*left), spec.right.schema.field(*right));
        if !keys::is_supported(left.data_type()) {
            let message = format!("rows cannot be joined by \"{}\", which is {}", left.name(), left.data_type());
            problems.push(Problem::whole(message).hint("join by a number, a text, a boolean or a time"));
        } else if stored_type(left.data_type()) != stored_type(right.data_type()) {
            let (one, other) = (left.data_type(), right.data_type());
            let message =
                format!("\"{}\" is {one} and \"{}\" is {other}: they are never equal", left.name(), right.name());
            problems.push(Problem::whole(message).hint("CAST one of them"));
        }
    }
    let spans = spec.earliest.into_iter().chain([spec.latest, spec.left.delay, spec.right.delay]);
    if spans.into_iter().any(|span| span > SPAN_LIMIT || span < Span(-SPAN_LIMIT.micros())) {
        problems.push(Problem::whole("rows cannot be more than 36,000 years apart"));
    }
    if spec.earliest.is_some_and(|earliest| earliest > spec.latest) {
        let message = "no two rows can be joined: the time is to be after and before what it cannot both be";
        problems.push(Problem::whole(message).hint("exchange the two bounds"));
    }
    if spec.earliest.is_none() && spec.pick != Pick::Last {
        let message = "rows of the right would have to be kept for ever";
        problems.push(Problem::whole(message).hint("say how far the times may be apart"));
    }
}

/// The two times that were compared; what is known of other times of the rows is lost while they wait.
fn times(spec: &JoinSpec) -> Vec<TimeColumn> {
    let named = |side: &JoinSide, delay: Option<Span>| {
        let (_, name) = side.columns.iter().find(|(column, _)| *column == side.time)?;
        Some(TimeColumn { name: name.clone(), delay: delay? })
    };
    let left = named(&spec.left, Some(spec.left_delay()));
    left.into_iter().chain(named(&spec.right, spec.right_delay())).collect()
}

fn explain(spec: &JoinSpec) -> Vec<String> {
    let JoinSpec { left, right, earliest, latest, pick, .. } = spec;
    let (one, other) = (&left.name, &right.name);
    let name = |side: &JoinSide, column: usize| side.schema.field(column).name().clone();
    let keys = left.keys.iter().zip(&right.keys);
    let keys = keys.map(|(l, r)| match (name(left, *l), name(right, *r)) {
        (l, r) if l == r => l,
        (l, r) => format!("{l} = {r}"),
    });
    let keys = keys.collect::<Vec<_>>().join(", ");
    let same = if keys.is_empty() { String::new() } else { format!(" with the same {keys}") };
    let which = match pick {
        Pick::Every => "every row",
        Pick::Last => "the last row",
        Pick::First => "the first row",
        Pick::Nearest => "the nearest row",
    };
    let bound = |span: Span| match span.micros() {
        0 => format!("{one}.{}", name(left, left.time)),
        less if less < 0 => format!("{one}.{} - {}", name(left, left.time), Span(-less)),
        _ => format!("{one}.{} + {span}", name(left, left.time)),
    };
    let right_time = format!("{other}.{}", name(right, right.time));
    let time = match earliest {
        Some(earliest) if earliest == latest => format!("{right_time} = {}", bound(*latest)),
        Some(earliest) => format!("{right_time} from {} to {}", bound(*earliest), bound(*latest)),
        None => format!("{right_time} at most {}", bound(*latest)),
    };
    let mut lines = vec![format!("joins each row of {one} with {which} of {other}{same}: {time}")];
    for (side, text) in [(left, one), (right, other)] {
        let reference = *pick != Pick::Every && std::ptr::eq(side, right);
        let fate = match (side.alone, reference) {
            (true, _) => "comes out alone",
            (false, true) => continue,
            (false, false) => "is counted as unmatched",
        };
        lines.push(format!("a row of {text} without partner {fate}"));
    }
    lines.push(format!("state: a row of {one} until the watermark is {}past it", by(spec.left_delay())));
    lines.push(match spec.right_delay() {
        Some(delay) => format!("state: a row of {other} until the watermark is {}past it", by(delay)),
        None => {
            let each = if keys.is_empty() { String::new() } else { format!(" for each {keys}") };
            let limit = if keys.is_empty() {
                String::new()
            } else {
                format!(", of at most {}; rows of more are counted as too_many_keys", spec.keys_limit)
            };
            format!("state: the last row of {other}{each} for ever{limit}")
        }
    });
    lines.push("rows behind the watermark are dropped and counted as late".to_owned());
    lines
}

fn by(delay: Span) -> String {
    if delay == Span::ZERO { String::new() } else { format!("{delay} ") }
}
