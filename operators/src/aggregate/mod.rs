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

mod approximate;
mod area;
mod avg;
mod band;
mod column;
mod count;
mod counter;
mod ends;
mod entries;
mod ewma;
mod external;
mod extreme;
mod first_last;
mod function;
mod means;
mod pairs;
mod path;
mod percentile;
mod range;
mod ranks;
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
use std::fmt::Debug;

use arrow::datatypes::DataType;
use lineside_model::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use area::Interpolation;
pub(crate) use column::{Column, Picked};
pub use ewma::Smoothing;
pub use external::{External, ExternalAggregate, ExternalGroups};
pub use function::{AggregateFunction, result_type};
pub(crate) use function::{keeps, update_type};
pub use pairs::PairStatistic;
pub(crate) use ranks::Ranks;
pub(crate) use rows::Rows;
pub(crate) use share::{Shared, Statistic};

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
        AggregateFunction::Percentile { fraction, exact: true } => Box::new(percentile::Percentiles::at(&[*fraction])),
        AggregateFunction::Percentile { fraction, exact: false } => {
            Box::new(approximate::ApproxPercentile::at(*fraction))
        }
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

    /// The same, in the room this one has taken, which large slices would otherwise ask for again and again.
    fn emptied(self: Box<Self>) -> Box<dyn Partial> {
        self.fresh()
    }

    /// A copy.
    fn copy(&self) -> Box<dyn Partial>;

    /// Makes room for slots up to `slots`; new ones are empty.
    fn resize(&mut self, slots: usize);

    /// Takes rows, each into its slot, in the order of arrival.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// Takes the slots of `other` (of the same kind, over another stretch of time): its slot `i` goes into slot `map[i]`. A slot
    /// without rows may go anywhere and changes nothing there; an empty one becomes what goes into it, to the last bit.
    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()>;

    /// Puts together what two partials of as many slots know, slot by slot, in the room this one has taken: `one`, and `next` as
    /// [`Partial::merge`] takes it. `same` has the number of each slot.
    fn together(self: Box<Self>, one: &dyn Partial, next: &dyn Partial, same: &[u32]) -> Result<Box<dyn Partial>> {
        let mut both = one.copy();
        both.merge(next, same)?;
        Ok(both)
    }

    /// Puts the same two together again where only these slots of them have changed; some may be named twice. Says whether it can do
    /// so.
    fn together_again(&mut self, _one: &dyn Partial, _next: &dyn Partial, _changed: &[u32]) -> Result<bool> {
        Ok(false)
    }

    /// Takes slots of its own: for each pair in order, slot `from` (of a later stretch of time) into slot `into`. `from` stays.
    fn fold(&mut self, pairs: &[Pair]) -> Result<()>;

    /// Moves these slots out, in this order, and leaves them empty. Each slot is named once.
    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial>;

    /// Takes the slots of `other`, of an earlier stretch of time, each into another slot; gives what was in those slots before.
    fn put_before(&mut self, other: &dyn Partial, map: &[u32]) -> Result<Box<dyn Partial>> {
        let was = self.take(map);
        self.merge(other, map)?;
        self.merge(was.as_ref(), map)?;
        Ok(was)
    }

    /// Puts back what was taken from these slots, whatever they have now.
    fn put_back(&mut self, taken: &dyn Partial, slots: &[u32]) -> Result<()> {
        drop(self.take(slots));
        self.merge(taken, slots)
    }

    /// Merges a stretch of time right behind, and goes on to take rows of both in any order.
    fn absorb(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        self.merge(other, map)
    }

    /// Adds the results of these slots to a column.
    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()>;

    /// Adds one of several results that can be read off the partial.
    fn emit_statistic(&self, statistic: Statistic, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        debug_assert_eq!(statistic, Statistic::Whole, "it has one result");
        self.emit(picked, column)
    }

    /// Whether the partial is as large as the readings themselves, so that keeping merged copies of it does not pay.
    fn is_holistic(&self) -> bool {
        false
    }

    /// What follows the `wanted` results of windows that overlap, if there are any and the partial is as large as the readings: nothing
    /// yet.
    fn ranks(&self, _wanted: &mut dyn Iterator<Item = Statistic>) -> Option<Ranks> {
        None
    }

    /// Its values come into a window: those of slot `i` into slot `map[i]`.
    fn enter(&self, _ranks: &mut Ranks, _map: &[u32]) {}

    /// As many values as it has go from a window, those that came first.
    fn leave(&self, _ranks: &mut Ranks, _map: &[u32]) {}

    /// The columns as bytes, for a snapshot.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes over what [`Partial::save`] gave for so many slots.
    ///
    /// # Errors
    /// If the bytes are not such columns.
    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()>;
}

/// Whether slots go where they are. Then a loop goes straight over both columns, many slots at a time.
fn stay(map: &[u32]) -> bool {
    map.first() == Some(&0) && (0u32..).zip(map).fold(true, |all, (slot, to)| all & (slot == *to))
}

/// Puts entries of a column back, see [`Partial::put_back`].
fn put_back_entries<T: Clone>(column: &mut [T], taken: &[T], slots: &[u32]) {
    taken.iter().zip(slots).for_each(|(entry, slot)| column[*slot as usize].clone_from(entry));
}

/// Puts entries before those of a column, see [`Partial::put_before`].
fn put_before_entries<T: Copy>(column: &mut [T], other: &[T], map: &[u32], both: impl Fn(&T, &T) -> T) -> Vec<T> {
    let entry = |(entry, slot): (&T, &u32)| {
        let mine = &mut column[*slot as usize];
        let both = both(entry, mine);
        std::mem::replace(mine, both)
    };
    other.iter().zip(map).map(entry).collect()
}

/// Fills a column anew with what comes of two entries each.
fn fill_together<T>(column: &mut Vec<T>, one: &[T], next: &[T], both: impl Fn(&T, &T) -> T) {
    column.clear();
    column.extend(one.iter().zip(next).map(|(one, next)| both(one, next)));
}

/// The same for some of them.
fn fill_again<T>(column: &mut [T], one: &[T], next: &[T], changed: &[u32], both: impl Fn(&T, &T) -> T) {
    for slot in changed {
        let slot = *slot as usize;
        column[slot] = both(&one[slot], &next[slot]);
    }
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
