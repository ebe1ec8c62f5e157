//! The area under a signal: its integral over time, and the time-weighted average, which is the integral by its time.
//!
//! Sensors that report when something changes are dense where the signal moves; their plain mean says more about the reporting
//! than about the process. Weighted by time, each value counts for as long as it was there.
//!
//! | readings | `avg` | `time_weighted_avg`, hold | linear | `integral`, hold |
//! | --- | --- | --- | --- | --- |
//! | 0 s: 10, 9 s: 20, 10 s: 20 | 16.67 | 11 | 15.5 | 110 |
//!
//! Between two readings the signal holds the value of the first one, as a state or a setpoint does, or goes straight to the
//! second, as a temperature does. The area goes from the first reading of the window to the last.

use super::path::{Path, Point, Rule};

/// What a signal does between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// It keeps the value of the earlier one.
    #[default]
    Hold,
    /// It goes straight from one to the other.
    Linear,
}

impl Interpolation {
    /// The word in queries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Linear => "linear",
        }
    }

    /// From the word in queries.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Hold, Self::Linear].into_iter().find(|known| known.word().eq_ignore_ascii_case(word))
    }

    fn area(self, from: Point, to: Point) -> f64 {
        // Readings at one time have no area between them, also when one is infinite.
        if from.time == to.time {
            return 0.0;
        }
        let height = match self {
            Self::Hold => from.value,
            Self::Linear => 0.5 * from.value + 0.5 * to.value,
        };
        height * from.seconds_to(to)
    }
}

/// The integral: values times seconds.
#[derive(Clone, Debug)]
pub(super) struct Integral(pub(super) Interpolation);

impl Rule for Integral {
    type Way = f64;

    fn nowhere(&self) -> f64 {
        0.0
    }

    fn step(&self, from: Point, to: Point) -> f64 {
        self.0.area(from, to)
    }

    fn join(&self, one: f64, next: f64) -> f64 {
        one + next
    }

    fn result(&self, path: &Path<f64>) -> Option<f64> {
        Some(path.way)
    }
}

/// The average over time; where no time passes, the last value.
#[derive(Clone, Debug)]
pub(super) struct TimeWeighted(pub(super) Interpolation);

impl Rule for TimeWeighted {
    type Way = f64;

    fn nowhere(&self) -> f64 {
        0.0
    }

    fn step(&self, from: Point, to: Point) -> f64 {
        self.0.area(from, to)
    }

    fn join(&self, one: f64, next: f64) -> f64 {
        one + next
    }

    fn result(&self, path: &Path<f64>) -> Option<f64> {
        let seconds = path.first.seconds_to(path.last);
        Some(if seconds > 0.0 { path.way / seconds } else { path.last.value })
    }
}
