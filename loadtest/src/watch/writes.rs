//! Setpoints as the PLC sees them: how long after it was read the answer of a loop was written.
//!
//! The simulated plant keeps the time from the last reading of each oven to the command that follows; this takes what is
//! new in it, second by second.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::measure::Lateness;
use crate::plant::Plant;

/// The writes of a plant, as they come.
#[derive(Debug)]
pub struct Writes {
    before: Histogram<u64>,
    counted: u64,
    lateness: Lateness,
}

impl Writes {
    /// From now on: what the plant has seen so far was warm-up.
    pub fn since_now(plant: &Plant) -> Self {
        Self { before: plant.reaction(), counted: plant.write_count(), lateness: Lateness::default() }
    }

    /// Takes in what has come since the last look, `at` so long after the start of measuring; how many writes.
    pub fn look(&mut self, plant: &Plant, at: Duration) -> u64 {
        let now = plant.reaction();
        for bucket in now.iter_recorded() {
            let micros = bucket.value_iterated_to();
            let new = bucket.count_at_value().saturating_sub(self.before.count_at(micros));
            if new > 0 {
                self.lateness.record_n(at, micros.saturating_mul(1_000), new);
            }
        }
        self.before = now;
        let count = plant.write_count();
        count - std::mem::replace(&mut self.counted, count)
    }

    /// How long after the reading they came.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }
}
