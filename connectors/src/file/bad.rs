//! Lines of a file that could not be read: counted by reason, and one of each reason logged.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineside_model::Reason;

use crate::Meter;

/// What was bad in a part of a file, until its turn comes: parts are read ahead, and what is never handed on is not counted.
#[derive(Debug, Default)]
pub(super) struct Bad(Vec<(Reason, u64, String)>);

impl Bad {
    /// Notes so many of this reason; `sample` is asked only for the first.
    pub(super) fn note(&mut self, reason: Reason, count: u64, sample: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|(known, ..)| *known == reason) {
            Some((_, counted, _)) => *counted += count,
            None => self.0.push((reason, count, sample())),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Counts the bad lines of a source.
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

    /// Counts what was noted.
    pub(super) fn count(&mut self, bad: Bad) {
        for (reason, count, sample) in bad.0 {
            self.meter.dropped(reason, count);
            if self.logged.insert(reason) {
                tracing::warn!(source = self.source, reason = reason.word(), sample, "a line of a file was left out");
            }
        }
    }
}
