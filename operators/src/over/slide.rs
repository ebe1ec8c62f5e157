//! The aggregates that slide: what is kept of a frame so that adding a row and letting one go cost the same whatever its length.
//!
//! | aggregate | kept of a frame | cost of a row |
//! | --- | --- | --- |
//! | count, sum of integers | the values and their sum; what leaves is subtracted, which is exact | 1 |
//! | sum of floats, avg, stddev | two stacks: partial results from the middle back, one from the middle on | 3 merges at most |
//! | min, max | only values that no later one beats | 2 at most |
//! | first_value | the values | 1 |
//! | last_value | the last value | 1 |
//!
//! Floats are never subtracted, so that what has left leaves no trace: not a rounding error, and not a NaN.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Not;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use lineside_model::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::column::MakeColumn;
use super::frame::{Frame, Slide, Sliding};
use super::series_function::{Cell, Number, Value};
use super::{Arguments, Outcome};
use crate::aggregate::AggregateFunction;
use crate::aggregate::stddev::Moments;
use crate::aggregate::values::{Float, Signed, Text, Unsigned};

/// The aggregates that slide, for people.
pub const SLIDING: &str = "count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value";

/// Whether an aggregate slides.
pub(super) fn slides(function: &AggregateFunction) -> bool {
    sliding(function, Some(&DataType::Float64), Frame::Rows(None)).is_some()
}

/// An aggregate over values of the type that `update_type` gave, and the type of its result; `None` if it does not slide.
pub(super) fn sliding(
    function: &AggregateFunction,
    values: Option<&DataType>,
    frame: Frame,
) -> Option<(MakeColumn, DataType)> {
    fn of<S: Slide>(frame: Frame) -> (MakeColumn, DataType) {
        (Box::new(move || Box::new(Sliding::<S>::new(frame))), S::Value::TYPE)
    }
    fn kept<S: Slide, U: Slide, F: Slide, T: Slide>(values: Option<&DataType>, frame: Frame) -> (MakeColumn, DataType) {
        match values {
            Some(DataType::Int64) => of::<S>(frame),
            Some(DataType::UInt64) => of::<U>(frame),
            Some(DataType::Utf8) => of::<T>(frame),
            _ => of::<F>(frame),
        }
    }
    Some(match function {
        AggregateFunction::Count => of::<Count>(frame),
        AggregateFunction::Sum if values == Some(&DataType::Int64) => of::<IntegerSum<Signed>>(frame),
        AggregateFunction::Sum if values == Some(&DataType::UInt64) => of::<IntegerSum<Unsigned>>(frame),
        AggregateFunction::Sum => of::<Stacks<Sum>>(frame),
        AggregateFunction::Avg => of::<Stacks<Mean>>(frame),
        AggregateFunction::StddevSample => of::<Stacks<Spread<1, false>>>(frame),
        AggregateFunction::StddevPopulation => of::<Stacks<Spread<0, false>>>(frame),
        AggregateFunction::VarianceSample => of::<Stacks<Spread<1, true>>>(frame),
        AggregateFunction::VariancePopulation => of::<Stacks<Spread<0, true>>>(frame),
        AggregateFunction::Min => {
            kept::<Extreme<Signed, false>, Extreme<Unsigned, false>, Extreme<Float, false>, Extreme<Text, false>>(
                values, frame,
            )
        }
        AggregateFunction::Max => {
            kept::<Extreme<Signed, true>, Extreme<Unsigned, true>, Extreme<Float, true>, Extreme<Text, true>>(
                values, frame,
            )
        }
        AggregateFunction::FirstValue => {
            kept::<First<Signed>, First<Unsigned>, First<Float>, First<Text>>(values, frame)
        }
        AggregateFunction::LastValue => kept::<Last<Signed>, Last<Unsigned>, Last<Float>, Last<Text>>(values, frame),
        _ => return None,
    })
}

/// Whether a row has a value: of a column that is not null, or of no column at all.
#[derive(Debug)]
pub(super) struct Presence;

impl Arguments for Presence {
    const TYPES: &'static [DataType] = &[];
    type Columns<'a> = Option<&'a dyn Array>;
    type Row<'a> = bool;

    fn columns(columns: &[ArrayRef]) -> Result<Option<&dyn Array>> {
        Ok(columns.first().map(AsRef::as_ref))
    }

    #[inline]
    fn row<'a>(column: &'a Option<&'a dyn Array>, row: usize) -> bool {
        column.is_none_or(|column| column.is_valid(row))
    }
}

/// How many rows have a value.
#[derive(Debug)]
struct Count;

/// Where the rows are that may leave, and how many there are in all.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    at: VecDeque<i64>,
    count: i64,
}

impl Slide for Count {
    const KIND: &'static str = "sliding count";
    const VERSION: u32 = 1;
    type Arguments = Presence;
    type State = Counted;
    type Value = i64;

    fn add(state: &mut Counted, at: i64, row: bool, leaves: bool) {
        if row {
            state.count = state.count.saturating_add(1);
            if leaves {
                state.at.push_back(at);
            }
        }
    }

    fn evict(state: &mut Counted, at: i64) {
        while state.at.pop_front_if(|first| *first < at).is_some() {
            state.count = state.count.saturating_sub(1);
        }
    }

    fn is_empty(state: &Counted) -> bool {
        state.count == 0
    }

    fn value(state: &Counted) -> Option<i64> {
        Some(state.count)
    }
}

/// The sum of integers, in 128 bits; null if it does not fit 64.
#[derive(Debug)]
struct IntegerSum<K>(PhantomData<K>);

/// Values that may leave, their sum and their number with those that stay.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Summed<V> {
    values: VecDeque<(i64, V)>,
    sum: i128,
    count: u64,
}

impl<K> Slide for IntegerSum<K>
where
    K: Cell<Value: Copy + Into<i128> + TryFrom<i128>>,
    for<'a> K::Seen<'a>: Into<i128>,
{
    const KIND: &'static str = "sliding integer sum";
    const VERSION: u32 = 1;
    type Arguments = Value<K>;
    type State = Summed<K::Value>;
    type Value = K::Value;

    fn add(state: &mut Self::State, at: i64, row: Option<K::Seen<'_>>, leaves: bool) {
        if let Some(value) = row {
            // A damaged snapshot may hold any sum, so it must not overflow.
            state.sum = state.sum.saturating_add(value.into());
            state.count = state.count.saturating_add(1);
            if leaves {
                state.values.push_back((at, K::own(value)));
            }
        }
    }

    fn evict(state: &mut Self::State, at: i64) {
        while let Some((_, value)) = state.values.pop_front_if(|(first, _)| *first < at) {
            state.sum = state.sum.saturating_sub(value.into());
            state.count = state.count.saturating_sub(1);
        }
    }

    fn is_empty(state: &Self::State) -> bool {
        state.count == 0
    }

    fn value(state: &Self::State) -> Option<K::Value> {
        (state.count > 0).then(|| K::Value::try_from(state.sum).ok()).flatten()
    }
}

/// What is known of some values and can be merged, but not undone.
trait Fold: Copy + Default + Debug + Send + Serialize + DeserializeOwned + 'static {
    const KIND: &'static str;
    /// Of these values and one more that follows.
    fn with(self, value: f64) -> Self;
    /// Of these values and others that follow.
    fn merged(self, other: &Self) -> Self;
    fn value(&self) -> Option<f64>;
}

/// A fold by two stacks: the values are parted at a middle; each before it has the fold of itself and all up to the middle, and
/// behind it runs one fold.
#[derive(Debug)]
struct Stacks<F>(PhantomData<F>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stacked<F> {
    values: VecDeque<(i64, f64)>,
    /// Those of the values before the middle, the first value's last.
    before: Vec<F>,
    behind: F,
}

impl<F: Fold> Slide for Stacks<F> {
    const KIND: &'static str = F::KIND;
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Stacked<F>;
    type Value = f64;

    fn add(state: &mut Self::State, at: i64, row: Option<f64>, leaves: bool) {
        if let Some(value) = row {
            state.behind = state.behind.with(value);
            if leaves {
                state.values.push_back((at, value));
            }
        }
    }

    fn evict(state: &mut Self::State, at: i64) {
        while state.values.front().is_some_and(|(first, _)| *first < at) {
            if state.before.is_empty() {
                let mut fold = F::default();
                for (_, value) in state.values.iter().rev() {
                    fold = F::default().with(*value).merged(&fold);
                    state.before.push(fold);
                }
                state.behind = F::default();
            }
            state.values.pop_front();
            state.before.pop();
        }
        if state.values.is_empty() {
            state.before.clear();
        }
    }

    fn is_empty(state: &Self::State) -> bool {
        state.values.is_empty()
    }

    fn value(state: &Self::State) -> Option<f64> {
        match state.before.last() {
            Some(before) => before.merged(&state.behind).value(),
            None => state.behind.value(),
        }
    }
}

/// Sum and number.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    count: u64,
}

impl Fold for Sum {
    const KIND: &'static str = "sliding sum";
    fn with(self, value: f64) -> Self {
        Self { sum: self.sum + value, count: self.count.saturating_add(1) }
    }
    fn merged(self, other: &Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count.saturating_add(other.count) }
    }
    fn value(&self) -> Option<f64> {
        (self.count > 0).then_some(self.sum)
    }
}

/// The mean.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Mean(Sum);

impl Fold for Mean {
    const KIND: &'static str = "sliding avg";
    fn with(self, value: f64) -> Self {
        Self(self.0.with(value))
    }
    fn merged(self, other: &Self) -> Self {
        Self(self.0.merged(&other.0))
    }
    fn value(&self) -> Option<f64> {
        self.0.value().map(|sum| sum / self.0.count as f64)
    }
}

/// The standard deviation, or its square; `LESS` is taken from the number before dividing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spread<const LESS: u8, const SQUARED: bool>(Moments);

impl<const LESS: u8, const SQUARED: bool> Fold for Spread<LESS, SQUARED> {
    const KIND: &'static str = "sliding stddev";
    fn with(mut self, value: f64) -> Self {
        self.0.add(value);
        self
    }
    fn merged(mut self, other: &Self) -> Self {
        self.0.merge(&other.0);
        self
    }
    fn value(&self) -> Option<f64> {
        let less = f64::from(LESS);
        if SQUARED { self.0.variance(less) } else { self.0.deviation(less) }
    }
}

/// The least or the greatest value.
#[derive(Debug)]
struct Extreme<K, const GREATEST: bool>(PhantomData<K>);

impl<K: Cell, const GREATEST: bool> Slide for Extreme<K, GREATEST> {
    const KIND: &'static str = "sliding extreme";
    const VERSION: u32 = 1;
    type Arguments = Value<K>;
    /// Each beaten by none behind it, so that the first is the best.
    type State = VecDeque<(i64, K::Value)>;
    type Value = K::Value;

    fn add(state: &mut Self::State, at: i64, row: Option<K::Seen<'_>>, leaves: bool) {
        let Some(value) = row else { return };
        let stays =
            |kept: &K::Value| if GREATEST { K::before(value, K::see(kept)) } else { K::before(K::see(kept), value) };
        while state.pop_back_if(|(_, kept)| stays(kept).not()).is_some() {}
        if leaves || state.is_empty() {
            state.push_back((at, K::own(value)));
        }
    }

    fn evict(state: &mut Self::State, at: i64) {
        while state.pop_front_if(|(first, _)| *first < at).is_some() {}
    }

    fn is_empty(state: &Self::State) -> bool {
        state.is_empty()
    }

    fn value(state: &Self::State) -> Option<K::Value> {
        state.front().map(|(_, best)| best.clone())
    }
}

/// The first value.
#[derive(Debug)]
struct First<K>(PhantomData<K>);

impl<K: Cell> Slide for First<K> {
    const KIND: &'static str = "sliding first";
    const VERSION: u32 = 1;
    type Arguments = Value<K>;
    type State = VecDeque<(i64, K::Value)>;
    type Value = K::Value;

    fn add(state: &mut Self::State, at: i64, row: Option<K::Seen<'_>>, leaves: bool) {
        if let Some(value) = row
            && (leaves || state.is_empty())
        {
            state.push_back((at, K::own(value)));
        }
    }

    fn evict(state: &mut Self::State, at: i64) {
        while state.pop_front_if(|(first, _)| *first < at).is_some() {}
    }

    fn is_empty(state: &Self::State) -> bool {
        state.is_empty()
    }

    fn value(state: &Self::State) -> Option<K::Value> {
        state.front().map(|(_, value)| value.clone())
    }
}

/// The last value.
#[derive(Debug)]
struct Last<K>(PhantomData<K>);

impl<K: Cell> Slide for Last<K> {
    const KIND: &'static str = "sliding last";
    const VERSION: u32 = 1;
    type Arguments = Value<K>;
    type State = Option<(i64, K::Value)>;
    type Value = K::Value;

    fn add(state: &mut Self::State, at: i64, row: Option<K::Seen<'_>>, _: bool) {
        if let Some(value) = row {
            let (place, kept) = state.get_or_insert_default();
            *place = at;
            K::keep(kept, value);
        }
    }

    fn evict(state: &mut Self::State, at: i64) {
        if state.as_ref().is_some_and(|(place, _)| *place < at) {
            *state = None;
        }
    }

    fn is_empty(state: &Self::State) -> bool {
        state.is_none()
    }

    fn value(state: &Self::State) -> Option<K::Value> {
        state.as_ref().map(|(_, value)| value.clone())
    }
}
