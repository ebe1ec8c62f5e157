//! Drives one worker: takes what has arrived, hands out what follows, lets the reactor poll, and starts over.

use std::sync::Arc;
use std::time::Duration;

use lineside_model::{Clock, Reason, Result, Timestamp};
use tokio::sync::mpsc;

use super::edge::{Order, ToSink, ToWorker};
use crate::graph::{Message, Outbox, Worker};
use crate::observe::{Meter, Stage};
use crate::plan::Input;

/// A worker on its lane.
#[derive(Debug)]
pub(super) struct WorkerTask {
    /// Its number among those of the component.
    pub(super) number: usize,
    pub(super) worker: Worker,
    pub(super) inbox: mpsc::Receiver<ToWorker>,
    pub(super) to_sinks: Vec<SinkEdge>,
    /// The sources of the component, by their numbers in the plan: their meters tell how long their rows take.
    pub(super) sources: Vec<(usize, Arc<Meter>)>,
    /// The worker that gathers, if that is another one.
    pub(super) to_gathering: Option<mpsc::Sender<ToWorker>>,
    /// Messages taken before the reactor has its turn.
    pub(super) drain: usize,
    /// Whether it decides what is written to a field bus.
    pub(super) control: bool,
    pub(super) clock: Arc<dyn Clock>,
}

/// The edge to one sink.
#[derive(Debug)]
pub(super) struct SinkEdge {
    pub(super) edge: mpsc::Sender<ToSink>,
    /// Whether the worker waits when the edge is full; otherwise rows are dropped and counted.
    pub(super) holds_back: bool,
    /// Whether other workers have batches of the same source for it.
    pub(super) spread: bool,
    pub(super) meter: Arc<Meter>,
}

impl WorkerTask {
    /// Runs until all inputs have ended.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut arrived = Vec::with_capacity(self.drain);
        let mut outbox = Outbox::default();
        while !self.worker.has_ended() {
            let wake = self.worker.wake_at();
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut arrived, self.drain) => if count == 0 {
                    // Nobody is left who could tell of the end: a worker that this one waits for has failed.
                    self.worker.give_up(&mut outbox)?;
                    self.hand_out(&mut outbox, Order::Free).await;
                    break;
                },
                () = sleep_until(wake, self.clock.as_ref()), if wake.is_some() => {}
            }
            // When the message in front was done with, if nothing was waited for since.
            let mut free = None;
            for arrived in arrived.drain(..) {
                let taken_up = free.take().unwrap_or_else(|| self.clock.nanos());
                let (way, order) = match arrived {
                    ToWorker::Message { input, message, order } => {
                        let way = Way::of(input, &message);
                        self.worker.take(input, message, &mut outbox)?;
                        (way, order)
                    }
                    ToWorker::Handover(worker, handover) => {
                        self.worker.gather(worker, handover, &mut outbox)?;
                        (Way::Closing, Order::Free)
                    }
                };
                let done = self.stamp(way, &mut outbox);
                let to_sinks = !outbox.to_sinks.is_empty();
                free = done.filter(|_| !to_sinks && outbox.handed_over.is_empty());
                self.hand_out(&mut outbox, order).await;
                if self.control && to_sinks {
                    // It goes out to the device before anything else is done.
                    tokio::task::yield_now().await;
                }
                if let Some(done) = done {
                    self.tell(way, taken_up, done);
                }
            }
            if wake.is_some() {
                let now = self.clock.now();
                self.worker.tick(now, &mut outbox)?;
                self.stamp(Way::Aside, &mut outbox);
                self.hand_out(&mut outbox, Order::Free).await;
            }
            // With nothing more to do it waits anyway.
            if !self.inbox.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Notes when what became of a message is handed on. Gives that time, if the message is one of which it is told how long it took.
    fn stamp(&self, way: Way, outbox: &mut Outbox) -> Option<i64> {
        let rows = outbox.to_sinks.iter().any(|(_, message)| matches!(message, Message::Data(_)));
        if !rows && !matches!(way, Way::Rows(..)) {
            return None;
        }
        let now = self.clock.nanos();
        for (_, message) in &mut outbox.to_sinks {
            if let Message::Data(batch) = message {
                batch.handed_on = now;
            }
        }
        Some(now)
    }

    /// Tells how long a message took.
    fn tell(&self, way: Way, taken_up: i64, done: i64) {
        let took = done.saturating_sub(taken_up);
        match way {
            Way::Rows(source, handed_on) => {
                if let Some((_, meter)) = self.sources.iter().find(|(n, _)| *n == source) {
                    let queue = taken_up.saturating_sub(handed_on);
                    meter.stages(&[(Stage::Queue, queue), (Stage::Operators, took)]);
                }
            }
            // A window may have rows of several sources.
            Way::Closing => self.sources.iter().for_each(|(_, meter)| meter.stages(&[(Stage::Closing, took)])),
            Way::Aside => {}
        }
    }

    /// Waits where a sink is full: this is how a slow sink holds back its sources.
    async fn hand_out(&self, outbox: &mut Outbox, order: Order) {
        if let Order::Batch(number) = order {
            for (n, sink) in self.to_sinks.iter().enumerate().filter(|(_, sink)| sink.spread) {
                let of_sink = outbox.to_sinks.extract_if(.., |(to, _)| *to == n).map(|(_, message)| message);
                sink.send_batch(number, of_sink.collect()).await;
            }
        }
        for (sink, message) in outbox.to_sinks.drain(..) {
            let sink = &self.to_sinks[sink];
            sink.send(message, if sink.spread { order } else { Order::Free }).await;
        }
        for handover in outbox.handed_over.drain(..) {
            if let Some(worker) = &self.to_gathering {
                // If it is gone the pipeline comes to its end, and what is open is counted by nobody's windows.
                worker.send(ToWorker::Handover(self.number, handover)).await.ok();
            }
        }
    }
}

/// What a worker took up.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Rows of this source that were handed on at this time.
    Rows(usize, i64),
    /// Something that may close windows.
    Closing,
    /// What is not on the way of a reading.
    Aside,
}

impl Way {
    fn of(input: Input, message: &Message) -> Self {
        match (input, message) {
            (Input::Source(source), Message::Data(batch)) => Self::Rows(source, batch.handed_on),
            (_, Message::Data(_)) => Self::Aside,
            (_, Message::Watermark(_) | Message::Barrier(_) | Message::End(_)) => Self::Closing,
        }
    }
}

impl SinkEdge {
    async fn send(&self, message: Message, order: Order) {
        use mpsc::error::{SendError, TrySendError};
        let may_wait = self.holds_back || !matches!(message, Message::Data(_));
        let message = ToSink::One(order, message);
        let lost = if may_wait {
            self.edge.send(message).await.err().map(|SendError(message)| (Reason::Undelivered, message))
        } else {
            match self.edge.try_send(message) {
                Ok(()) => None,
                Err(TrySendError::Full(message)) => Some((Reason::Overflow, message)),
                Err(TrySendError::Closed(message)) => Some((Reason::Undelivered, message)),
            }
        };
        if let Some((reason, message)) = lost {
            self.count_lost(reason, message);
        }
    }

    /// All that became of a batch, perhaps nothing: a sink that puts batches into order waits for each.
    async fn send_batch(&self, number: u64, messages: Vec<Message>) {
        if let Err(mpsc::error::SendError(message)) = self.edge.send(ToSink::OfBatch(number, messages)).await {
            self.count_lost(Reason::Undelivered, message);
        }
    }

    fn count_lost(&self, reason: Reason, message: ToSink) {
        let messages = match message {
            ToSink::One(_, message) => vec![message],
            ToSink::OfBatch(_, messages) => messages,
        };
        for message in messages {
            let Message::Data(batch) = message else { continue };
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
