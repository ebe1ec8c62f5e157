//! What a window says about its readings: how many, their sum, mean, extremes, spread, first, last, percentiles, what they
//! come to over time, how two quantities go together.
//!
//! Every aggregate is kept as a *partial*: columns of numbers with one place ("slot") for each key. Partials of two stretches
//! of time can be merged into the partial of both, which is what lets overlapping windows share work.
//!
//! * Nulls are left out, as SQL does; a key without any value has count 0 and null for all else.
//! * NaN counts as a value greater than all others, as in Postgres: sums and means become NaN, `max` is NaN, `min` is not.
//!   Leave such readings out with `WHERE` if they are not wanted. Only the approximate percentile ignores what is not finite.
//! * Quality is not looked at here: a query makes values null whose quality it does not take.

mod area;
mod avg;
mod count;
mod counter;
mod ends;
mod ewma;
mod external;
mod extreme;
mod first_last;
mod pairs;
mod path;
mod percentile;
mod range;
mod rows;
mod share;
mod slope;
pub(crate) mod stddev;
mod sum;
mod summary;
mod tally;
mod tdigest;
pub(crate) mod values;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;

use arrow::array::ArrayRef;
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, FieldRef};
use lineside_model::{Error, Problem, Result, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use area::Interpolation;
pub use ewma::Smoothing;
pub use external::{External, ExternalAggregate, ExternalGroups};
pub use pairs::PairStatistic;
pub(crate) use rows::Rows;
pub(crate) use share::{Shared, Statistic};

/// What is computed over the values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateFunction {
    /// How many rows, or how many values of a column that are not null.
    Count,
    /// The sum. Integers are summed exactly; a sum beyond the result type is null.
    Sum,
    /// The arithmetic mean.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The standard deviation of a sample (divided by n − 1); null for one value.
    StddevSample,
    /// The standard deviation of a population (divided by n).
    StddevPopulation,
    /// The square of the standard deviation of a sample.
    VarianceSample,
    /// The square of the standard deviation of a population.
    VariancePopulation,
    /// The greatest value less the least.
    ValueRange,
    /// How many different values there are.
    CountDistinct,
    /// The most frequent value; of several the least.
    Mode,
    /// The value with the earliest event time; of equal times the one that arrived first.
    FirstValue,
    /// The value with the latest event time; of equal times the one that arrived last.
    LastValue,
    /// The value below which a fraction of the values lies.
    Percentile {
        /// From 0 to 1: 0.5 is the median.
        fraction: f64,
        /// Whether every value is kept, to interpolate between the closest ranks (SQL's `percentile_cont`), or only a
        /// t-digest of bounded size.
        exact: bool,
    },
    /// The last value less the first.
    Delta,
    /// The last value less the first, by the seconds between them.
    RateOfChange,
    /// The slope of the line of least squares over time, per second.
    Slope,
    /// The integral over time, in values times seconds.
    Integral(Interpolation),
    /// The integral over time, by its time.
    TimeWeightedAvg(Interpolation),
    /// For how many seconds a condition held, over a column of booleans.
    DurationIn,
    /// How far a counter has counted, falls being taken as restarts from zero.
    CounterIncrease,
    /// The exponentially weighted moving average after the last reading.
    Ewma(Smoothing),
    /// A statistic of pairs of numbers, over a column of structures `(y, x)` of two doubles.
    Paired(PairStatistic),
    /// A function that is computed elsewhere.
    External(External),
}

impl AggregateFunction {
    /// Its name in SQL.
    pub fn name(&self) -> &str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::StddevSample => "stddev",
            Self::StddevPopulation => "stddev_pop",
            Self::VarianceSample => "var_samp",
            Self::VariancePopulation => "var_pop",
            Self::ValueRange => "value_range",
            Self::CountDistinct => "count_distinct",
            Self::Mode => "mode",
            Self::FirstValue => "first_value",
            Self::LastValue => "last_value",
            Self::Percentile { exact: true, .. } => "percentile_cont",
            Self::Percentile { exact: false, .. } => "approx_percentile_cont",
            Self::Delta => "delta",
            Self::RateOfChange => "rate_of_change",
            Self::Slope => "slope",
            Self::Integral(_) => "integral",
            Self::TimeWeightedAvg(_) => "time_weighted_avg",
            Self::DurationIn => "duration_in",
            Self::CounterIncrease => "counter_increase",
            Self::Ewma(_) => "ewma",
            Self::Paired(statistic) => statistic.name(),
            Self::External(function) => function.0.name(),
        }
    }

    /// Whether the result is there for every group, since it counts.
    pub(crate) const fn counts(&self) -> bool {
        matches!(self, Self::Count | Self::CountDistinct | Self::Paired(PairStatistic::RegrCount))
    }

    /// What it keeps that grows with the readings or their values, if it does, for `explain`.
    fn keeps(&self) -> Option<String> {
        let name = self.name();
        match self {
            Self::Percentile { exact: true, .. } => {
                Some(format!("{name} keeps every value of the open windows, 8 bytes each"))
            }
            Self::Integral(_) | Self::TimeWeightedAvg(_) | Self::DurationIn | Self::CounterIncrease | Self::Ewma(_) => {
                Some(format!(
                    "{name} keeps every reading of the open windows, 16 bytes each, since readings may come out of order"
                ))
            }
            Self::External(function) => Some(format!("{name} keeps {}", function.0.keeps())),
            Self::CountDistinct | Self::Mode => Some(format!("{name} keeps every different value of the open windows")),
            _ => None,
        }
    }
}

/// What these keep that grows with the readings or their values, each once, for `explain`.
pub(crate) fn keeps<'f>(functions: impl Iterator<Item = &'f AggregateFunction>) -> BTreeSet<String> {
    functions.filter_map(AggregateFunction::keeps).collect()
}

/// The type of the result over a column of type `input` (`None`: over whole rows). Types are those of DataFusion, so that a
/// query has the same types here as over a table.
///
/// # Errors
/// If the function cannot be computed over such a column.
pub fn result_type(function: &AggregateFunction, input: Option<&DataType>) -> Result<DataType, Problem> {
    let name = function.name();
    let Some(input) = input else {
        return match function {
            AggregateFunction::Count => Ok(DataType::Int64),
            _ => Err(Problem::whole(format!("{name} needs a column")).hint(format!("write {name}(value)"))),
        };
    };
    let value = value_type(input);
    match function {
        AggregateFunction::Count => return Ok(DataType::Int64),
        AggregateFunction::CountDistinct if values::is_ordered(value) => return Ok(DataType::Int64),
        AggregateFunction::DurationIn if *value == DataType::Boolean => return Ok(DataType::Float64),
        AggregateFunction::DurationIn => {
            let problem = Problem::whole(format!("{name} takes a condition, found {input}"));
            return Err(problem.hint(format!("write {name}(value > 80)")));
        }
        AggregateFunction::Min | AggregateFunction::Max if values::is_ordered(value) => return Ok(value.clone()),
        AggregateFunction::FirstValue | AggregateFunction::LastValue | AggregateFunction::Mode
            if values::is_ordered(value) && can_cast_types(&values::kept_type(value), input) =>
        {
            return Ok(input.clone());
        }
        AggregateFunction::Min
        | AggregateFunction::Max
        | AggregateFunction::FirstValue
        | AggregateFunction::LastValue
        | AggregateFunction::CountDistinct
        | AggregateFunction::Mode => {
            let hint = "use a column of numbers, text, booleans, dates or timestamps, or CAST it to one";
            return Err(Problem::whole(format!("{name} does not work on {input}")).hint(hint));
        }
        AggregateFunction::External(function) => return Ok(function.0.result_type().clone()),
        AggregateFunction::Paired(statistic) => {
            let double = |field: &FieldRef| field.data_type() == &DataType::Float64;
            return match (input, statistic) {
                (DataType::Struct(fields), PairStatistic::RegrCount) if fields.iter().all(double) => {
                    Ok(DataType::UInt64)
                }
                (DataType::Struct(fields), _) if fields.len() == 2 && fields.iter().all(double) => {
                    Ok(DataType::Float64)
                }
                _ => {
                    Err(Problem::whole(format!("{name} does not work on {input}")).hint(format!("write {name}(y, x)")))
                }
            };
        }
        _ => {}
    }
    if let AggregateFunction::Ewma(smoothing) = function {
        check_smoothing(*smoothing)?;
    }
    if let AggregateFunction::Percentile { fraction, .. } = function
        && !(0.0..=1.0).contains(fraction)
    {
        let problem = Problem::whole(format!("{name} expects a fraction from 0 to 1, found {fraction}"));
        return Err(problem.hint("write 0.95 for the 95th percentile"));
    }
    if !(value.is_integer() || value.is_floating()) {
        let problem = Problem::whole(format!("{name} does not work on {input}"));
        return Err(problem.hint("use a column of numbers, or CAST(… AS DOUBLE)"));
    }
    Ok(match function {
        AggregateFunction::Sum if value.is_signed_integer() => DataType::Int64,
        AggregateFunction::Sum if value.is_unsigned_integer() => DataType::UInt64,
        AggregateFunction::Percentile { exact: true, .. } if value.is_floating() => value.clone(),
        AggregateFunction::Percentile { exact: false, .. } => value.clone(),
        _ => DataType::Float64,
    })
}

fn check_smoothing(smoothing: Smoothing) -> Result<(), Problem> {
    let (message, hint) = match smoothing {
        Smoothing::Alpha(alpha) if alpha > 0.0 && alpha <= 1.0 => return Ok(()),
        Smoothing::HalfLife(half) if half > Span::ZERO => return Ok(()),
        Smoothing::Alpha(alpha) => {
            (format!("ewma expects alpha above 0 and up to 1, found {alpha}"), "ewma(value, 0.2)")
        }
        Smoothing::HalfLife(half) => {
            (format!("ewma expects a half-life above zero, found {half}"), "ewma(value, INTERVAL '10' SECOND)")
        }
    };
    Err(Problem::whole(message).hint(format!("write {hint}")))
}

/// The type that values have to be cast to before [`Partial::update`]; the column must have passed [`result_type`].
pub(crate) fn update_type(function: &AggregateFunction, input: &DataType) -> DataType {
    let value = value_type(input);
    match function {
        AggregateFunction::Count | AggregateFunction::Paired(_) | AggregateFunction::External(_) => input.clone(),
        AggregateFunction::Sum if value.is_signed_integer() => DataType::Int64,
        AggregateFunction::Sum if value.is_unsigned_integer() => DataType::UInt64,
        AggregateFunction::Min
        | AggregateFunction::Max
        | AggregateFunction::FirstValue
        | AggregateFunction::LastValue
        | AggregateFunction::CountDistinct
        | AggregateFunction::Mode => values::kept_type(value),
        _ => DataType::Float64,
    }
}

/// The type of the values, for a dictionary that of its words.
fn value_type(input: &DataType) -> &DataType {
    match input {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// An empty partial of `function` over values of the type that [`update_type`] gave (`None`: over whole rows).
pub(crate) fn partial(function: &AggregateFunction, values: Option<&DataType>) -> Result<Box<dyn Partial>> {
    let float = || values.is_some_and(DataType::is_floating);
    Ok(match function {
        AggregateFunction::Count => Box::new(count::Count::default()),
        AggregateFunction::Sum if float() => Box::new(sum::FloatSum::default()),
        AggregateFunction::Sum if values == Some(&DataType::UInt64) => Box::new(sum::IntegerSum::unsigned()),
        AggregateFunction::Sum => Box::new(sum::IntegerSum::signed()),
        AggregateFunction::Avg => Box::new(avg::Avg::default()),
        AggregateFunction::Min => extreme::least(values)?,
        AggregateFunction::Max => extreme::greatest(values)?,
        AggregateFunction::StddevSample => Box::new(stddev::Stddev::of_sample()),
        AggregateFunction::StddevPopulation => Box::new(stddev::Stddev::of_population()),
        AggregateFunction::VarianceSample => Box::new(stddev::Stddev::of_sample().squared()),
        AggregateFunction::VariancePopulation => Box::new(stddev::Stddev::of_population().squared()),
        AggregateFunction::ValueRange => Box::new(range::ValueRange::default()),
        AggregateFunction::CountDistinct => tally::distinct(values)?,
        AggregateFunction::Mode => tally::mode(values)?,
        AggregateFunction::FirstValue => first_last::first(values)?,
        AggregateFunction::LastValue => first_last::last(values)?,
        AggregateFunction::Percentile { fraction, exact: true } => Box::new(percentile::Percentile::at(*fraction)),
        AggregateFunction::Percentile { fraction, exact: false } => Box::new(tdigest::ApproxPercentile::at(*fraction)),
        AggregateFunction::Delta => Box::new(ends::Change::delta()),
        AggregateFunction::RateOfChange => Box::new(ends::Change::rate()),
        AggregateFunction::Slope => Box::new(slope::Slope::default()),
        AggregateFunction::Integral(between) => Box::new(path::Follow::new(area::Integral(*between))),
        AggregateFunction::TimeWeightedAvg(between) => Box::new(path::Follow::new(area::TimeWeighted(*between))),
        AggregateFunction::DurationIn => Box::new(path::Follow::new(area::Integral(Interpolation::Hold))),
        AggregateFunction::CounterIncrease => Box::new(path::Follow::new(counter::CounterIncrease)),
        AggregateFunction::Ewma(smoothing) => Box::new(path::Follow::new(ewma::Ewma(*smoothing))),
        AggregateFunction::External(function) => Box::new(external::ExternalPartial::new(function.clone())),
        AggregateFunction::Paired(statistic) => Box::new(pairs::Paired::new(*statistic)),
    })
}

/// Two slots of a partial, one of which goes into the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The slot that is read.
    pub(crate) from: u32,
    /// The slot that takes it, another one.
    pub(crate) into: u32,
}

impl Pair {
    /// The two entries of a column.
    fn of<T>(self, column: &mut [T]) -> Result<(&T, &mut T)> {
        match column.get_disjoint_mut([self.from as usize, self.into as usize]) {
            Ok([from, into]) => Ok((from, into)),
            Err(e) => Err(Error::internal("an aggregate was told to take what it has not").caused_by(e)),
        }
    }
}

/// One aggregate of all keys of a stretch of time: columns with a place for each slot.
pub(crate) trait Partial: Any + Send + Debug {
    /// An empty one of the same kind.
    fn fresh(&self) -> Box<dyn Partial>;

    /// A copy.
    fn copy(&self) -> Box<dyn Partial>;

    /// Makes room for slots up to `slots`; new ones are empty.
    fn resize(&mut self, slots: usize);

    /// Takes rows, each into its slot, in the order of arrival.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// Takes the slots of `other` (of the same kind, over another stretch of time): its slot `i` goes into slot `map[i]`. A slot
    /// without rows may go anywhere and changes nothing there.
    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()>;

    /// Takes slots of its own: for each pair in order, slot `from` (of a later stretch of time) into slot `into`. `from` stays.
    fn fold(&mut self, pairs: &[Pair]) -> Result<()>;

    /// Moves these slots out, in this order, and leaves them empty. Each slot is named once.
    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial>;

    /// The same for a stretch of time right behind, and goes on to take rows of both in any order.
    fn absorb(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        self.merge(other, map)
    }

    /// The results of all slots, in their order.
    fn emit(&self) -> Result<ArrayRef>;

    /// One of several results that can be read off the partial.
    fn emit_statistic(&self, statistic: Statistic) -> Result<ArrayRef> {
        debug_assert_eq!(statistic, Statistic::Whole, "it has one result");
        self.emit()
    }

    /// Whether the partial is as large as the readings themselves, so that keeping merged copies of it does not pay.
    fn is_holistic(&self) -> bool {
        false
    }

    /// The columns as bytes, for a snapshot.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes over what [`Partial::save`] gave for so many slots.
    ///
    /// # Errors
    /// If the bytes are not such columns.
    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()>;
}

/// Moves entries of a column out, in this order, and leaves empty ones.
fn take_entries<T: Clone>(column: &mut [T], slots: &[u32], empty: &T) -> Vec<T> {
    slots.iter().map(|slot| std::mem::replace(&mut column[*slot as usize], empty.clone())).collect()
}

/// `other` as what it must be: a partial of the same aggregate of the same plan.
fn same<T: Partial>(other: &dyn Partial) -> Result<&T> {
    let other: &dyn Any = other;
    other.downcast_ref().ok_or_else(|| Error::internal("partials of different aggregates met"))
}

fn to_bytes(columns: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(columns).map_err(|e| Error::internal("an aggregate was not saved").caused_by(e))
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|e| Error::data("saved state of an aggregate is damaged").caused_by(e))
}

/// Checks that saved columns have a place for each slot.
fn check_slots(lengths: impl IntoIterator<Item = usize>, slots: usize) -> Result<()> {
    if lengths.into_iter().all(|length| length == slots) {
        Ok(())
    } else {
        Err(Error::data("saved state of an aggregate does not fit its keys"))
    }
}
