//! What has arrived and was not taken yet: between the network loop, which never waits, and the engine, which may be busy.
//!
//! At QoS 1 the broker sends no more than its window of unacknowledged messages, so nothing here has to be dropped. At QoS 0
//! nobody can hold the sender back: what does not fit is dropped, newest first to go, and counted.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use lineside_model::{Error, Timestamp};
use tokio::sync::Notify;

use super::broker::Message;

/// A message and when it was read from the wire.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) message: Message,
    pub(super) at: Timestamp,
    /// It was larger than the source takes, and its payload is gone.
    pub(super) too_large: bool,
}

/// The messages between the network loop and the source.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    messages_max: usize,
    bytes_max: usize,
    payload_max: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arrived>,
    bytes: usize,
    /// Why there will be no more; the error itself is handed out once.
    ended: Option<Option<Error>>,
}

impl Inbox {
    pub(super) fn new(messages_max: usize, bytes_max: usize, payload_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), messages_max, bytes_max, payload_max }
    }

    /// Takes a message from the network; whether there was room.
    #[must_use]
    pub(super) fn put(&self, mut message: Message, at: Timestamp) -> bool {
        let too_large = message.payload.len() > self.payload_max;
        if too_large {
            message.payload.clear();
        }
        let size = message.payload.len() + message.topic.len();
        let mut state = self.lock();
        let full = state.waiting.len() >= self.messages_max || state.bytes + size > self.bytes_max;
        if full && message.packet.is_none() {
            return false;
        }
        state.bytes += size;
        state.waiting.push_back(Arrived { message, at, too_large });
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Says that nothing more will come.
    pub(super) fn end(&self, error: Error) {
        let mut state = self.lock();
        if state.ended.is_none() {
            state.ended = Some(Some(error));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there is something, and takes `limit` messages at most. Dropping the future loses nothing.
    pub(super) async fn take(&self, limit: usize) -> Result<Vec<Arrived>, Error> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if !state.waiting.is_empty() {
                    let count = state.waiting.len().min(limit.max(1));
                    let taken = state.waiting.drain(..count).collect::<Vec<_>>();
                    state.bytes -= taken.iter().map(|a| a.message.payload.len() + a.message.topic.len()).sum::<usize>();
                    return Ok(taken);
                }
                if let Some(ended) = &mut state.ended {
                    return Err(ended
                        .take()
                        .unwrap_or_else(|| Error::external("the connection to the broker is closed")));
                }
            }
            changed.await;
        }
    }

    /// A poisoned lock only means that the other side panicked between two statements that leave the queue whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
