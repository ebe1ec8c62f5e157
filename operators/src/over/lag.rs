//! `lag(value, n)`: the value `n` rows back, for comparing a reading with the one before it.
//!
//! | ts | value | lag(value) |
//! | --- | --- | --- |
//! | 1 s | 20.0 | null |
//! | 2 s | 20.5 | 20.0 |
//! | 3 s | null | 20.5 |
//! | 4 s | 21.0 | null, or 20.5 with `IGNORE NULLS` |

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;
use lineside_model::{Problem, Timestamp};

use super::series_function::{Cell, Value};
use super::{OverFunction, SeriesFunction};
use crate::aggregate::update_type;
use crate::aggregate::values::{Float, Signed, Text, Unsigned};
use crate::aggregate::{AggregateFunction, result_type};

/// How far back a row may be.
pub const LAG_MAX: usize = 1_000_000;

/// The value so many rows back.
#[derive(Debug)]
struct Lag<K> {
    back: usize,
    ignore_nulls: bool,
    kind: PhantomData<K>,
}

impl<K: Cell> SeriesFunction for Lag<K> {
    const KIND: &'static str = "lag";
    const VERSION: u32 = 1;
    type Arguments = Value<K>;
    /// The last values, oldest first.
    type State = VecDeque<Option<K::Value>>;
    type Value = K::Value;

    fn start(&self) -> Self::State {
        VecDeque::new()
    }

    fn step(&self, state: &mut Self::State, _: Timestamp, row: Option<K::Seen<'_>>) -> Option<K::Value> {
        if self.back == 0 {
            return row.map(K::own);
        }
        let full = state.len() >= self.back;
        if row.is_none() && self.ignore_nulls {
            return state.front().filter(|_| full).cloned().flatten();
        }
        let found = if full { state.pop_front().flatten() } else { None };
        state.push_back(row.map(K::own));
        found
    }

    fn keeps(&self) -> String {
        match self.back {
            0 | 1 => "the last value".to_owned(),
            back => format!("the last {back} values"),
        }
    }
}

/// `lag` over a column of this type.
///
/// # Errors
/// If values of this type are not kept, or too many of them would be.
pub(super) fn lag(input: &DataType, back: usize, ignore_nulls: bool) -> Result<OverFunction, Problem> {
    fn of<K: Cell>(back: usize, ignore_nulls: bool) -> OverFunction {
        OverFunction::shared(&Arc::new(Lag::<K> { back, ignore_nulls, kind: PhantomData }))
    }
    if back > LAG_MAX {
        let problem = Problem::whole(format!("lag reaches {back} rows back, at most {LAG_MAX} are kept"));
        return Err(problem.hint("join the stream with itself by time, or take fewer rows"));
    }
    // What lag can keep is what last_value can keep.
    let kept = AggregateFunction::LastValue;
    let result = result_type(&kept, Some(input))
        .map_err(|problem| Problem { message: problem.message.replace(kept.name(), "lag"), ..problem })?;
    let function = match update_type(&kept, input) {
        DataType::Int64 => of::<Signed>(back, ignore_nulls),
        DataType::UInt64 => of::<Unsigned>(back, ignore_nulls),
        DataType::Float64 => of::<Float>(back, ignore_nulls),
        _ => of::<Text>(back, ignore_nulls),
    };
    Ok(OverFunction { result, ..function })
}
