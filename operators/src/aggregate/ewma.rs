//! The exponentially weighted moving average: the present level of a noisy signal, old readings counting less and less.
//!
//! It begins at the first reading of the window. Each further one moves it by a part of the difference: by `alpha` where readings
//! come evenly, or by what a half-life says, after which a reading counts half: then a reading that comes after a long pause
//! moves it more. The result is where it stands after the window's last reading.
//!
//! Each reading takes an average `y` to `keep · y + add`. Two such steps are one step of the same form, which is what makes it
//! possible to merge stretches of time.

use lineside_model::Span;
use serde::{Deserialize, Serialize};

use super::path::{Path, Point, Rule};

/// How fast old readings lose their weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoothing {
    /// Each reading moves the average by this part of the difference, above 0 and up to 1.
    Alpha(f64),
    /// The time after which a reading has half its weight, above zero.
    HalfLife(Span),
}

/// What readings do to the average: it becomes `keep · average + add`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Move {
    keep: f64,
    add: f64,
}

/// The average after the last reading.
#[derive(Clone, Debug)]
pub(super) struct Ewma(pub(super) Smoothing);

impl Rule for Ewma {
    type Way = Move;

    fn nowhere(&self) -> Move {
        Move { keep: 1.0, add: 0.0 }
    }

    fn step(&self, from: Point, to: Point) -> Move {
        let keep = match self.0 {
            Smoothing::Alpha(alpha) => 1.0 - alpha,
            Smoothing::HalfLife(half) => (-from.seconds_to(to) / (half.micros() as f64 / 1e6)).exp2(),
        };
        Move { keep, add: (1.0 - keep) * to.value }
    }

    fn join(&self, one: Move, next: Move) -> Move {
        Move { keep: one.keep * next.keep, add: next.keep * one.add + next.add }
    }

    fn result(&self, path: &Path<Move>) -> Option<f64> {
        let Move { keep, add } = path.way;
        // A first value that has no weight left does not count, also when it is infinite.
        Some(if keep == 0.0 { add } else { keep * path.first.value + add })
    }
}
