//! `OVER (PARTITION BY … ORDER BY ts …)`: every row goes on, and says beside what it was what the rows before it come to.
//!
//! The mean of the last minute at each reading, the reading before this one, how long a condition has held: use it where an answer is
//! wanted with every reading, and a window where one answer for a stretch of time will do. Rows leave in the order of event
//! time, each when the watermark has passed it. A reading that comes later is counted as late, one without event time as
//! `no_time`; one of bad quality takes part unless the query leaves it out.
//!
//! Aggregates slide with their [`Frame`]; anything else is a [`SeriesFunction`], whose file tells how to add one. Ranks
//! within windows are another operator: [`rank`].

mod column;
mod frame;
mod lag;
mod operator;
pub mod rank;
mod row_number;
mod series_function;
mod slide;
mod waiting;

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lineside_model::{Problem, Problems, Result, Span};

use self::column::Column;
use self::operator::{Layout, Over};
use self::series_function::Series;
use crate::aggregate::{AggregateFunction, result_type, update_type};
use crate::window::keys;
use crate::{PlannedOperator, TimeColumn};

pub use self::frame::Frame;
pub use self::lag::LAG_MAX;
pub use self::row_number::RowNumber;
pub use self::series_function::{Arguments, Condition, Nothing, Number, Numbers, Outcome, SeriesFunction};
pub use self::slide::SLIDING;

/// The most rows that a `ROWS` frame may reach back.
pub const ROWS_MAX: u64 = 1_000_000;
/// The most keys, where something is kept of each for ever.
pub const KEYS_MAX: usize = 1_000_000;

/// A function before `OVER`, its constants checked.
#[derive(Clone)]
pub struct OverFunction {
    /// The types its arguments are cast to; `None`: as they are.
    reads: Vec<Option<DataType>>,
    result: DataType,
    nullable: bool,
    /// What is kept of each key, for people.
    keeps: String,
    /// How long after a row nothing of it is left; `None`: something is kept of each key for ever.
    forgets_after: Option<Span>,
    /// Whether rows of the same time are taken together.
    has_peers: bool,
    make: Arc<dyn Fn() -> Box<dyn Column> + Send + Sync>,
}

impl OverFunction {
    /// A function of a series.
    pub fn series<F: SeriesFunction>(function: F) -> Self {
        Self::shared(&Arc::new(function))
    }

    fn shared<F: SeriesFunction>(function: &Arc<F>) -> Self {
        let (keeps, function) = (function.keeps(), Arc::clone(function));
        Self {
            reads: F::Arguments::TYPES.iter().cloned().map(Some).collect(),
            result: F::Value::TYPE,
            nullable: true,
            keeps,
            forgets_after: None,
            has_peers: false,
            make: Arc::new(move || Box::new(Series::new(Arc::clone(&function)))),
        }
    }

    /// `lag`: the value so many rows back in a column of type `input`, nulls counted or not.
    ///
    /// # Errors
    /// If values of this type are not kept, or more than [`LAG_MAX`] rows would be.
    pub fn lag(input: &DataType, back: usize, ignore_nulls: bool) -> Result<Self, Problem> {
        lag::lag(input, back, ignore_nulls)
    }

    /// An aggregate of the rows in a frame, over a column of type `input` (`None`: over whole rows).
    ///
    /// # Errors
    /// If it does not slide, does not work on such a column, or its frame is too long.
    pub fn aggregate(function: &AggregateFunction, input: Option<&DataType>, frame: Frame) -> Result<Self, Problem> {
        let name = function.name();
        match frame {
            Frame::Rows(Some(rows)) if rows > ROWS_MAX => {
                let problem =
                    Problem::whole(format!("a frame of {rows} rows is too long, at most {ROWS_MAX} are kept"));
                return Err(problem.hint("take a shorter frame, or HOP(…) with GROUP BY"));
            }
            Frame::Range(Some(span)) if span < Span::ZERO => {
                let problem = Problem::whole(format!("a frame of {span} would begin after the row"));
                return Err(problem.hint("leave out the sign"));
            }
            _ => {}
        }
        if !slide::slides(function) {
            let problem = Problem::whole(format!("{name} does not slide from row to row"));
            return Err(problem.hint(format!("use HOP(…) with GROUP BY, or one of: {SLIDING}")));
        }
        let result = result_type(function, input)?;
        let read = input.map(|input| update_type(function, input));
        let (make, kept) = slide::sliding(function, read.as_ref(), frame)
            .ok_or_else(|| Problem::whole(format!("{name} does not slide from row to row")))?;
        debug_assert!(can_cast_types(&kept, &result), "{name} of {input:?} gives {kept}, not {result}");
        let forgets_after = if let Frame::Range(span) = frame { span } else { None };
        Ok(Self {
            reads: vec![read].into_iter().filter(Option::is_some).collect(),
            result,
            nullable: *function != AggregateFunction::Count,
            keeps: match frame {
                Frame::Range(None) | Frame::Rows(None) => "one running value".to_owned(),
                bounded if *function == AggregateFunction::LastValue => format!("the last value of {bounded}"),
                bounded => format!("the values of {bounded}"),
            },
            forgets_after,
            has_peers: frame.has_peers(),
            make: make.into(),
        })
    }

    /// How many columns it reads of each row.
    pub fn arguments(&self) -> usize {
        self.reads.len()
    }

    /// Whether a key is forgotten some time after its last row.
    pub fn forgets(&self) -> bool {
        self.forgets_after.is_some()
    }

    /// The type of what it gives.
    pub fn result(&self) -> &DataType {
        &self.result
    }

    /// Checks the types of its arguments.
    ///
    /// # Errors
    /// What does not fit, without its place.
    pub fn check(&self, inputs: &[&DataType]) -> Result<(), Problem> {
        if inputs.len() != self.reads.len() {
            let (expected, found) = (self.reads.len(), inputs.len());
            return Err(Problem::whole(format!("expected {expected} columns, found {found}")));
        }
        for (n, (input, read)) in inputs.iter().zip(&self.reads).enumerate() {
            let Some(read) = read else { continue };
            let value = if let DataType::Dictionary(_, value) = input { value } else { *input };
            let fits = match read {
                DataType::Float64 => value.is_numeric() || value == read,
                DataType::Boolean => value == read,
                read => can_cast_types(input, read),
            };
            if !fits {
                let (expected, hint) = match read {
                    DataType::Boolean => ("a condition", "compare it with something: value > 80"),
                    _ => ("a number", "CAST(… AS DOUBLE)"),
                };
                let problem = Problem::whole(format!("expected {expected} as argument {}, found {input}", n + 1));
                return Err(problem.hint(hint));
            }
        }
        Ok(())
    }

    fn column(&self) -> Box<dyn Column> {
        (self.make)()
    }
}

impl Debug for OverFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverFunction").field("keeps", &self.keeps).field("result", &self.result).finish_non_exhaustive()
    }
}

/// One column that is added.
#[derive(Clone, Debug)]
pub struct OverColumn {
    /// Its name.
    pub name: String,
    /// The function.
    pub function: OverFunction,
    /// The columns of the input that it is given.
    pub arguments: Vec<usize>,
}

/// Columns to be added to every row. Columns are counted from 0 in the input.
#[derive(Clone, Debug)]
pub struct OverSpec {
    /// The event time that rows are ordered by.
    pub time: usize,
    /// How far that column may be behind the watermark, see [`TimeColumn::delay`].
    pub time_delay: Span,
    /// Rows that are equal in these columns are one series; none: all rows are.
    pub keys: Vec<usize>,
    /// How many columns of the input, the first ones, go on; those behind them are arguments only.
    pub passed_on: usize,
    /// What is added behind them.
    pub columns: Vec<OverColumn>,
}

/// Checks columns over an input. What goes out are the first columns of the input, then the new ones, in the order of time.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: OverSpec, input: &SchemaRef) -> Result<PlannedOperator, Problems> {
    let mut problems = Problems::default();
    let width = input.fields().len();
    let columns = spec.columns.iter().flat_map(|column| &column.arguments).chain(&spec.keys).chain([&spec.time]);
    if let Some(beyond) = columns.copied().find(|n| *n >= width).or_else(|| (spec.passed_on > width).then_some(width)) {
        return Err(Problem::whole(format!("the input has no column number {beyond}")).into());
    }
    let time = input.field(spec.time);
    if !matches!(time.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
        let problem =
            format!("rows are ordered by a timestamp in microseconds, \"{}\" is {}", time.name(), time.data_type());
        problems.push(Problem::whole(problem).hint("use the event time of the input, or CAST(… AS TIMESTAMP(6))"));
    }
    for key in spec.keys.iter().map(|key| input.field(*key)) {
        if !keys::is_supported(key.data_type()) {
            let problem = format!("rows cannot be parted by \"{}\", which is {}", key.name(), key.data_type());
            problems.push(Problem::whole(problem).hint("part them by a number, a text, a boolean or a time"));
        }
    }
    let mut fields = input.fields()[..spec.passed_on].to_vec();
    let mut reads = Vec::<(usize, DataType)>::new();
    let mut arguments = Vec::with_capacity(spec.columns.len());
    for OverColumn { name, function, arguments: columns } in &spec.columns {
        let types = columns.iter().map(|column| input.field(*column).data_type()).collect::<Vec<_>>();
        if let Err(problem) = function.check(&types) {
            problems.push(problem);
            continue;
        }
        fields.push(Arc::new(Field::new(name, function.result.clone(), function.nullable)));
        let place = |((column, data_type), read): ((&usize, &&DataType), &Option<DataType>)| {
            let wanted = (*column, read.as_ref().unwrap_or(data_type).clone());
            reads.iter().position(|known| *known == wanted).unwrap_or_else(|| {
                reads.push(wanted);
                reads.len() - 1
            })
        };
        arguments.push(columns.iter().zip(&types).zip(&function.reads).map(place).collect::<Vec<_>>());
    }
    let mut names = BTreeSet::new();
    for field in fields.iter().filter(|field| !names.insert(field.name().as_str())) {
        let problem = Problem::whole(format!("two output columns are named \"{}\"", field.name()));
        problems.push(problem.hint("name one of them with AS"));
    }
    if !problems.0.is_empty() {
        return Err(problems);
    }

    let (time_name, delay) = (time.name().clone(), spec.time_delay);
    let key_names = spec.keys.iter().map(|key| input.field(*key).name().clone()).collect::<Vec<_>>();
    let functions = spec.columns.iter().map(|column| column.function.clone()).collect::<Vec<_>>();
    let keeps = functions.iter().any(|function| function.forgets_after.is_none());
    let explain = explain(&spec, &time_name, &key_names, keeps);
    let output = Arc::new(Schema::new(fields));
    let layout = Arc::new(Layout {
        input: SchemaRef::clone(input),
        time: spec.time,
        time_delay: spec.time_delay,
        key_types: spec.keys.iter().map(|key| input.field(*key).data_type().clone()).collect(),
        keys: spec.keys,
        passed_on: spec.passed_on,
        has_peers: functions.iter().any(|function| function.has_peers),
        functions,
        reads,
        arguments,
        output: SchemaRef::clone(&output),
        keys_max: keeps.then_some(KEYS_MAX),
    });
    // Once here, so that what could not be built is told now and not by a worker.
    Over::new(Arc::clone(&layout)).map_err(|error| Problem::whole(error.to_string()))?;
    let build = move || -> Box<dyn crate::Operator> {
        Box::new(Over::new(Arc::clone(&layout)).expect("it was built once when it was planned"))
    };
    // Another event time may be held back for any time, as rows wait for this one.
    let times = if spec.time < spec.passed_on { vec![TimeColumn { name: time_name, delay }] } else { Vec::new() };
    let partition_by = (!key_names.is_empty()).then_some(key_names);
    Ok(PlannedOperator { partition_by, explain, times, tells_late: true, ..PlannedOperator::new(output, build) })
}

fn explain(spec: &OverSpec, time: &str, keys: &[String], keeps: bool) -> Vec<String> {
    let of_each = match keys {
        [] => String::new(),
        keys => format!(" for each {}", keys.join(", ")),
    };
    let delay = if spec.time_delay == Span::ZERO { String::new() } else { format!(" {} behind it", spec.time_delay) };
    let mut lines = vec![
        format!("rows in the order of {time}, each put out when the watermark has passed it{delay}"),
        "rows behind the watermark are dropped and counted as late".to_owned(),
        "state: the rows that wait for the watermark".to_owned(),
    ];
    for OverColumn { name, function, .. } in &spec.columns {
        lines.push(format!("state of {name}{of_each}: {}", function.keeps));
    }
    lines.push(match (keys, keeps) {
        ([], _) => return lines,
        (_, true) => {
            format!("at most {KEYS_MAX} keys, which are never forgotten; rows of others are dropped as too_many_keys")
        }
        (_, false) => "keys are forgotten when their frames are empty".to_owned(),
    });
    lines
}
