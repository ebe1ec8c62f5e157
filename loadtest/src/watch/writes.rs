//! Setpoints as the PLC sees them: how long after it was read the answer of a loop was written.
//!
//! Simulated ovens and halls keep the time from the last reading to the command that follows; this takes what is new in it,
//! second by second.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::measure::Lateness;

/// The writes to a plant or to a hall of PLCs, as they come.
#[derive(Debug)]
pub struct Writes {
    before: Histogram<u64>,
    counted: u64,
    lateness: Lateness,
}

impl Writes {
    /// From now on: so many writes, with this time from reading to write in µs, were warm-up.
    pub fn since(reaction: Histogram<u64>, count: u64) -> Self {
        Self { before: reaction, counted: count, lateness: Lateness::default() }
    }

    /// Takes in what has come since the last look, `at` so long after the start of measuring; how many writes.
    pub fn look(&mut self, reaction: Histogram<u64>, count: u64, at: Duration) -> u64 {
        for bucket in reaction.iter_recorded() {
            let micros = bucket.value_iterated_to();
            let new = bucket.count_at_value().saturating_sub(self.before.count_at(micros));
            if new > 0 {
                self.lateness.record_n(at, micros.saturating_mul(1_000), new);
            }
        }
        self.before = reaction;
        count - std::mem::replace(&mut self.counted, count)
    }

    /// How long after the reading they came.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }
}
