//! One state machine per sensor: the frame under all signal operators.
//!
//! An operator that follows sensors one by one writes what happens to *one* of them, as a [`SeriesStep`]: arithmetic on a
//! state and a reading. [`PerSeries`] does the rest: it finds the columns, puts readings in order where that matters, keeps
//! the states, counts rows that were of no use, wakes a step when its time is up, saves and restores. [`SeriesKind`] makes
//! a kind of operator of a step: its options, and the ones that all of them share.

pub mod kind;
pub mod output;
pub mod per_series;

use std::fmt::Debug;

use lineside_model::{Reason, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::reading::Reading;

pub use kind::{OfSeries, SeriesKind};
pub use output::{Kept, Rows, SeriesOutput, SeriesRow};
pub(crate) use per_series::Dropped;
pub use per_series::{MAX_SERIES, PerSeries};

/// The shortest time there is: what is due a moment after a reading is due when no reading of that very time can come any
/// more.
pub const MOMENT: lineside_model::Span = lineside_model::Span::from_micros(1);

/// A state machine for one sensor. The step itself holds the checked options and is the same for all sensors.
pub trait SeriesStep: Debug + Send + Sync + 'static {
    /// The word under which state is saved: the operator's type.
    const KIND: &'static str;
    /// The version of the layout of [`SeriesStep::State`].
    const VERSION: u32;
    /// What time means to the step when no reading comes.
    const FOLLOWS: Follows;
    /// In which order it takes readings.
    const ORDER: Order;

    /// What is remembered of one sensor.
    type State: Debug + Send + Serialize + DeserializeOwned;
    /// What collects its output.
    type Output: SeriesOutput;

    /// The state before the first reading.
    fn start(&self) -> Self::State;

    /// Takes a reading.
    ///
    /// # Errors
    /// The reason why the row is dropped. It may have changed the state all the same.
    fn step(&self, state: &mut Self::State, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason>;

    /// When something follows without a further reading, by the time that the step [follows](Self::FOLLOWS). It is later
    /// than the last reading.
    fn due(&self, state: &Self::State) -> Option<Timestamp> {
        let _unused = state;
        None
    }

    /// The time named by [`SeriesStep::due`] has come. Afterwards `due` must be later than `now`, or `None`. For a step that
    /// follows the clock, `now` is what the clock says; for others, what `due` said.
    fn elapsed(&self, state: &mut Self::State, sensor: &str, now: Timestamp, out: &mut Self::Output) {
        let _unused = (state, sensor, now, out);
    }
}

/// What time means to a step when no reading comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing happens without a reading.
    Readings,
    /// Event time goes on with the watermark. The end of the input is not taken for time that went by.
    Watermark,
    /// The clock.
    Clock,
}

/// In which order a step takes readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they come, at once: for what must not wait. What to do with a reading older than the last one is the step's matter.
    Arrival,
    /// By event time, readings of the same time as they come: the result is the same as if all had been sorted first. A
    /// reading waits until the watermark has reached it, which without disorder is at once; one behind the watermark is
    /// dropped as `late`.
    Time,
}
