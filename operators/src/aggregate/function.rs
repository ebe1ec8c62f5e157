//! The aggregates by name, and the types they go with: what each reads, what it gives, and over which columns it makes no sense.

use std::collections::BTreeSet;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, FieldRef};
use lineside_model::{Problem, Result, Span};

use super::{External, Interpolation, PairStatistic, Smoothing, values};

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

    /// Whether the order in which readings arrive does not matter, but for the last bits of a sum of floats.
    pub(crate) const fn takes_any_order(&self) -> bool {
        match self {
            Self::Count
            | Self::Sum
            | Self::Avg
            | Self::Min
            | Self::Max
            | Self::StddevSample
            | Self::StddevPopulation
            | Self::VarianceSample
            | Self::VariancePopulation
            | Self::ValueRange
            | Self::CountDistinct
            | Self::Mode
            | Self::Percentile { exact: true, .. }
            | Self::Slope
            | Self::Paired(_) => true,
            // Of readings of the same time who comes first counts, or the result is not the same to the last digits.
            Self::FirstValue
            | Self::LastValue
            | Self::Delta
            | Self::RateOfChange
            | Self::Percentile { exact: false, .. }
            | Self::Integral(_)
            | Self::TimeWeightedAvg(_)
            | Self::DurationIn
            | Self::CounterIncrease
            | Self::Ewma(_)
            | Self::External(_) => false,
        }
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

/// The type that values have to be cast to before [`Partial::update`](super::Partial::update); the column must have passed [`result_type`].
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
