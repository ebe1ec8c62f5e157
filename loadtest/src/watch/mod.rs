//! Those who look on from outside, each on a thread of its own: what comes out of the engine, and when.

mod due;
mod kafka;
mod mqtt;
mod writes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use lineside_model::{Error, Result};
use tokio::sync::oneshot;

pub use due::from_due;
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

/// A client that has subscribed and does something with each message; dropping it ends it.
#[derive(Debug)]
pub struct Subscriber {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Subscriber {
    /// One whose thread ends when it is told to, or when that sender is gone.
    fn running(stop: oneshot::Sender<()>, thread: JoinHandle<Result<()>>) -> Self {
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Whether it still looks.
    ///
    /// # Errors
    /// Why it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.thread.take_if(|thread| thread.is_finished()) {
            None => Ok(()),
            Some(thread) => thread.join().unwrap_or_else(|_| Err(Error::internal("a watcher panicked"))),
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Why it ended is asked for by `check`; at the end nobody wants to know.
            drop(thread.join());
        }
    }
}
