//! Aggregates that can be read off one partial are given one: count, sum, mean and extremes of a column of floats; exact percentiles
//! of a column.

use arrow::datatypes::DataType;
use lineside_model::Result;

use super::percentile::Percentiles;
use super::summary::Summary;
use super::{AggregateFunction, Partial, partial};

/// What is kept for one or several aggregates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    /// The partial of one aggregate.
    One(AggregateFunction),
    /// Count, sum and extremes together.
    Summary,
    /// Exact percentiles at these fractions.
    Percentiles(Vec<f64>),
}

/// Which result of a partial is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// The only one.
    Whole,
    /// How many rows there were.
    Rows,
    /// How many values there were.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The least of them.
    Least,
    /// The greatest of them.
    Greatest,
    /// The exact percentile of this number.
    Percentile(usize),
}

impl Statistic {
    /// Which exact percentile is meant, if one is.
    pub(crate) fn percentile(self) -> Option<usize> {
        match self {
            Self::Percentile(number) => Some(number),
            _ => None,
        }
    }
}

/// Partials for aggregates, each over one of `values`.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is kept, and over which of the values; `None`: over whole rows.
    pub(crate) partials: Vec<(Kept, Option<usize>)>,
    /// For each aggregate which partial it is read off, and what of it.
    pub(crate) results: Vec<(usize, Statistic)>,
}

impl Shared {
    /// Finds the partials that serve these aggregates. `values` are the columns they read.
    pub(crate) fn of(aggregates: &[(AggregateFunction, Option<usize>)], values: &[(usize, DataType)]) -> Self {
        let of_rows = |function: &AggregateFunction, at: Option<usize>| {
            (*function == AggregateFunction::Count && at.is_none()).then_some(Statistic::Rows)
        };
        let of_values = |function: &AggregateFunction, at: Option<usize>, column: usize| {
            (at == Some(column)).then(|| statistic(function)).flatten()
        };
        // A column is summarised if that serves at least two aggregates. Rows are counted by the first one that is.
        let floats = (0..values.len()).filter(|at| values[*at].1 == DataType::Float64);
        let pays = |column: &usize| {
            let own = aggregates.iter().filter(|(function, at)| of_values(function, *at, *column).is_some()).count();
            let rows = aggregates.iter().filter(|(function, at)| of_rows(function, *at).is_some()).count();
            own > 0 && own + rows > 1
        };
        let summarised = floats.filter(pays).collect::<Vec<_>>();
        let mut partials = summarised.iter().map(|column| (Kept::Summary, Some(*column))).collect::<Vec<_>>();
        let result = |(function, at): &(AggregateFunction, Option<usize>)| {
            let shared = (summarised.iter().enumerate()).find_map(|(place, column)| {
                let found = of_values(function, *at, *column).or_else(|| of_rows(function, *at));
                found.map(|statistic| (place, statistic))
            });
            shared.unwrap_or_else(|| {
                if let AggregateFunction::Percentile { fraction, exact: true } = function {
                    return percentile(&mut partials, *fraction, *at);
                }
                let one = (Kept::One(function.clone()), *at);
                let place = partials.iter().position(|known| *known == one).unwrap_or_else(|| {
                    partials.push(one);
                    partials.len() - 1
                });
                (place, Statistic::Whole)
            })
        };
        let results = aggregates.iter().map(result).collect();
        Self { partials, results }
    }

    /// An empty partial of each kind.
    pub(crate) fn build(&self, values: &[(usize, DataType)]) -> Result<Vec<Box<dyn Partial>>> {
        let build = |(kept, at): &(Kept, Option<usize>)| match kept {
            Kept::Summary => Ok::<Box<dyn Partial>, _>(Box::new(Summary::default())),
            Kept::Percentiles(fractions) => Ok(Box::new(Percentiles::at(fractions)) as Box<dyn Partial>),
            Kept::One(function) => partial(function, at.map(|at| &values[at].1)),
        };
        self.partials.iter().map(build).collect()
    }
}

/// Finds the partial that keeps the values of a column for exact percentiles, and gives this one a number there.
fn percentile(partials: &mut Vec<(Kept, Option<usize>)>, fraction: f64, at: Option<usize>) -> (usize, Statistic) {
    let known = partials.iter_mut().enumerate().find_map(|(place, (kept, column))| match kept {
        Kept::Percentiles(fractions) if *column == at => Some((place, fractions)),
        _ => None,
    });
    let Some((place, fractions)) = known else {
        partials.push((Kept::Percentiles(vec![fraction]), at));
        return (partials.len() - 1, Statistic::Percentile(0));
    };
    let number = fractions.iter().position(|known| *known == fraction).unwrap_or_else(|| {
        fractions.push(fraction);
        fractions.len() - 1
    });
    (place, Statistic::Percentile(number))
}

fn statistic(function: &AggregateFunction) -> Option<Statistic> {
    match function {
        AggregateFunction::Count => Some(Statistic::Count),
        AggregateFunction::Sum => Some(Statistic::Sum),
        AggregateFunction::Avg => Some(Statistic::Mean),
        AggregateFunction::Min => Some(Statistic::Least),
        AggregateFunction::Max => Some(Statistic::Greatest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AggregateFunction::{Avg, Count, LastValue, Max, Min};

    #[test]
    fn aggregates_of_one_column_of_floats_are_read_off_one_partial() {
        let values = [(3, DataType::Float64)];
        let shared = Shared::of(&[(Count, None), (Avg, Some(0)), (LastValue, Some(0)), (Max, Some(0))], &values);
        assert_eq!(shared.partials, [(Kept::Summary, Some(0)), (Kept::One(LastValue), Some(0))]);
        let results = [(0, Statistic::Rows), (0, Statistic::Mean), (1, Statistic::Whole), (0, Statistic::Greatest)];
        assert_eq!(shared.results, results);
    }

    #[test]
    fn exact_percentiles_of_one_column_keep_its_values_once() {
        let values = [(3, DataType::Float64), (4, DataType::Float64)];
        let at = |fraction, column| (AggregateFunction::Percentile { fraction, exact: true }, Some(column));
        let shared = Shared::of(&[at(0.5, 0), at(0.5, 1), at(0.9, 0), at(0.5, 0)], &values);
        let first = (Kept::Percentiles(vec![0.5, 0.9]), Some(0));
        assert_eq!(shared.partials, [first, (Kept::Percentiles(vec![0.5]), Some(1))]);
        let numbers = [(0, 0), (1, 0), (0, 1), (0, 0)];
        assert_eq!(shared.results, numbers.map(|(place, number)| (place, Statistic::Percentile(number))));
    }

    #[test]
    fn one_aggregate_alone_and_integers_are_kept_as_they_are() {
        let shared = Shared::of(&[(Min, Some(0))], &[(3, DataType::Float64)]);
        assert_eq!(shared.partials, [(Kept::One(Min), Some(0))]);
        let shared = Shared::of(&[(Min, Some(0)), (Max, Some(0)), (Min, Some(0))], &[(3, DataType::Int64)]);
        assert_eq!(shared.partials, [(Kept::One(Min), Some(0)), (Kept::One(Max), Some(0))]);
        assert_eq!(shared.results, [(0, Statistic::Whole), (1, Statistic::Whole), (0, Statistic::Whole)]);
    }
}
