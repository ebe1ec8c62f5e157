//! Counts the lines of a file that could not be read, and logs one of them for each reason.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineside_model::Reason;

use crate::Meter;

/// Lines that could not be read.
#[derive(Debug)]
pub(super) struct BadLines {
    source: String,
    meter: Arc<dyn Meter>,
    logged: BTreeSet<Reason>,
}

impl BadLines {
    pub(super) fn new(source: &str, meter: Arc<dyn Meter>) -> Self {
        Self { source: source.to_owned(), meter, logged: BTreeSet::new() }
    }

    /// Counts; `sample` is asked only for the first of its reason.
    pub(super) fn count(&mut self, reason: Reason, count: u64, sample: impl FnOnce() -> String) {
        self.meter.dropped(reason, count);
        if self.logged.insert(reason) {
            tracing::warn!(
                source = self.source,
                reason = reason.word(),
                sample = sample(),
                "a line of a file was left out"
            );
        }
    }
}
