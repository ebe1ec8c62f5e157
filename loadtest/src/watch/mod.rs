//! Those who look on from outside, each on a thread of its own: what comes out of the engine, and when.

mod due;
mod mqtt;
mod writes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use due::from_due;
pub use mqtt::Subscriber;
pub use writes::Writes;

use crate::measure::{Answer, Expected};

/// Books that a watcher writes and whoever tells of the run reads. Times count from the start of the feed.
#[derive(Clone, Debug)]
pub struct Shared {
    books: Arc<Mutex<Expected>>,
    start: Instant,
}

impl Shared {
    /// Shares these books of a feed that starts then.
    pub fn new(expected: Expected, start: Instant) -> Self {
        Self { books: Arc::new(Mutex::new(expected)), start }
    }

    /// The books, as they stand.
    pub fn books(&self) -> MutexGuard<'_, Expected> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, payload: &[u8], at: Instant) {
        let answer = Answer::parse(payload).unwrap_or_default();
        self.books().arrive(&answer, at.saturating_duration_since(self.start));
    }
}
