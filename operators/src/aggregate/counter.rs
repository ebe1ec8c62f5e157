//! How far a counter has counted: pieces, kilowatt-hours, strokes.
//!
//! A counter only rises. Where it falls, the device was restarted or its register ran over: it is taken to have begun at zero,
//! so what it shows then was counted since.
//!
//! | readings | `delta` | `counter_increase` |
//! | --- | --- | --- |
//! | 100, 130, 5, 25 | −75 | 30 + 5 + 20 = 55 |

use super::path::{Path, Point, Rule};

/// What was counted from the first reading to the last.
#[derive(Clone, Debug)]
pub(super) struct CounterIncrease;

impl Rule for CounterIncrease {
    type Way = f64;

    fn nowhere(&self) -> f64 {
        0.0
    }

    fn step(&self, from: Point, to: Point) -> f64 {
        if to.value < from.value { to.value } else { to.value - from.value }
    }

    fn join(&self, one: f64, next: f64) -> f64 {
        one + next
    }

    fn result(&self, path: &Path<f64>) -> Option<f64> {
        Some(path.way)
    }
}
