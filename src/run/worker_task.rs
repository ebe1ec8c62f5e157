//! Drives one worker: takes what has arrived, hands out what follows, lets the reactor poll, and starts over.

use std::sync::Arc;
use std::time::Duration;

use lineside_model::{Clock, Reason, Result, Timestamp};
use tokio::sync::mpsc;

use crate::graph::{Message, Worker};
use crate::observe::Meter;
use crate::plan::Input;

/// A worker on its lane.
#[derive(Debug)]
pub(super) struct WorkerTask {
    pub(super) worker: Worker,
    pub(super) inbox: mpsc::Receiver<(Input, Message)>,
    pub(super) to_sinks: Vec<ToSink>,
    /// Messages taken before the reactor has its turn.
    pub(super) drain: usize,
    pub(super) clock: Arc<dyn Clock>,
}

/// The edge to one sink.
#[derive(Debug)]
pub(super) struct ToSink {
    pub(super) edge: mpsc::Sender<Message>,
    /// Whether the worker waits when the edge is full; otherwise rows are dropped and counted.
    pub(super) holds_back: bool,
    pub(super) meter: Arc<Meter>,
}

impl WorkerTask {
    /// Runs until all inputs have ended.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut arrived = Vec::with_capacity(self.drain);
        let mut outbox = Vec::new();
        while !self.worker.has_ended() {
            let wake = self.worker.wake_at();
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut arrived, self.drain) => if count == 0 { break },
                () = sleep_until(wake, self.clock.as_ref()), if wake.is_some() => {}
            }
            for (input, message) in arrived.drain(..) {
                self.worker.take(input, message, &mut outbox)?;
                self.hand_out(&mut outbox).await;
            }
            if wake.is_some() {
                let now = self.clock.now();
                self.worker.tick(now, &mut outbox)?;
                self.hand_out(&mut outbox).await;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits where a sink is full: this is how a slow sink holds back its sources.
    async fn hand_out(&self, outbox: &mut Vec<(usize, Message)>) {
        for (sink, message) in outbox.drain(..) {
            self.to_sinks[sink].send(message).await;
        }
    }
}

impl ToSink {
    async fn send(&self, message: Message) {
        use mpsc::error::{SendError, TrySendError};
        let lost = match (self.holds_back, message) {
            (false, message @ Message::Data(_)) => match self.edge.try_send(message) {
                Ok(()) => None,
                Err(TrySendError::Full(message)) => Some((Reason::Overflow, message)),
                Err(TrySendError::Closed(message)) => Some((Reason::Undelivered, message)),
            },
            (_, message) => {
                self.edge.send(message).await.err().map(|SendError(message)| (Reason::Undelivered, message))
            }
        };
        if let Some((reason, Message::Data(batch))) = lost {
            self.meter.rows_in(batch.rows.num_rows());
            self.meter.drop_rows(reason, batch.rows.num_rows());
            if self.meter.sample(reason, "its edge was full or closed") {
                tracing::warn!(
                    sink = self.meter.name,
                    reason = reason.word(),
                    "rows were dropped (first of this reason)"
                );
            }
        }
    }
}

async fn sleep_until(wake: Option<Timestamp>, clock: &dyn Clock) {
    let wait = wake.map_or(Duration::MAX, |at| at.since(clock.now()).to_std());
    tokio::time::sleep(wait.min(Duration::from_secs(3600))).await;
}
