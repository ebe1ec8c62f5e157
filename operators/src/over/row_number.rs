//! `row_number()`: counts the rows of each key, from 1. `WHERE n = 1` keeps the first row of a key and drops what repeats it.

use lineside_model::Timestamp;

use super::{Nothing, SeriesFunction};

/// The number of the row.
#[derive(Debug)]
pub struct RowNumber;

impl SeriesFunction for RowNumber {
    const KIND: &'static str = "row_number";
    const VERSION: u32 = 1;
    type Arguments = Nothing;
    type State = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: &mut u64, _: Timestamp, (): ()) -> Option<u64> {
        *state = state.saturating_add(1);
        Some(*state)
    }

    fn keeps(&self) -> String {
        "a counter".to_owned()
    }
}
