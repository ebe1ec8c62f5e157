//! What the engine knows of itself: one meter for each source, operator and sink, read at any time without stopping anything.
//!
//! Counters are atomics that are added to once a batch, never once a row. A [`Report`] is a copy of all of them at one moment.

mod meter;
mod report;
mod time;
mod times;

pub use meter::{Kind, Meter, State};
pub use report::{ObjectReport, Quantiles, Report};
pub use time::{HeldTime, OpenWindow, SensorState, SensorTime};
pub use times::Stage;

use std::sync::Arc;

/// The meters of one pipeline, in the order of its plan: sources, operators, sinks.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// One each.
    pub meters: Vec<Arc<Meter>>,
}

impl Board {
    /// The meter of this name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Arc<Meter>> {
        self.meters.iter().find(|m| m.kind == kind && m.name == name)
    }

    /// A copy of all counters.
    pub fn report(&self) -> Report {
        Report { objects: self.meters.iter().map(|m| m.report()).collect() }
    }
}
