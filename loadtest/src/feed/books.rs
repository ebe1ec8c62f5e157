//! What a feeder has sent, for those who look on while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Seconds that are kept apart; what is sent later counts for the last of them.
const SECONDS_MAX: usize = 7 * 86_400;

/// What a feeder has sent, and whether it is to stop.
#[derive(Debug)]
pub(super) struct Books {
    start: Instant,
    sent: AtomicU64,
    by_second: Mutex<Vec<u64>>,
    stopped: AtomicBool,
    stop: Notify,
}

impl Books {
    pub(super) fn starting(start: Instant) -> Self {
        Self {
            start,
            sent: AtomicU64::new(0),
            by_second: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// Time since the start; zero before it.
    pub(super) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// When something is due.
    pub(super) fn at(&self, due: Duration) -> Instant {
        self.start + due
    }

    /// Enters messages that have left by now.
    pub(super) fn enter(&self, messages: u64, now: Instant) {
        let second = usize::try_from(self.since_start(now).as_secs()).unwrap_or(SECONDS_MAX).min(SECONDS_MAX - 1);
        let mut by_second = self.seconds();
        if by_second.len() <= second {
            by_second.resize(second + 1, 0);
        }
        by_second[second] += messages;
        self.sent.fetch_add(messages, Ordering::Release);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    pub(super) fn by_second(&self) -> Vec<u64> {
        self.seconds().clone()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Resolves once, when the feeder is to stop.
    pub(super) async fn until_stopped(&self) {
        self.stop.notified().await;
    }

    fn seconds(&self) -> MutexGuard<'_, Vec<u64>> {
        self.by_second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
