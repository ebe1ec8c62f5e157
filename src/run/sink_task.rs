//! Drives one sink: writes what arrives, tries again after failures, flushes, and answers barriers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lineside_connectors::Sink;
use lineside_connectors::backoff::Backoff;
use lineside_model::{Clock, Error, Reason, Result, Span};
use tokio::sync::{mpsc, watch};

use crate::graph::{Barrier, Batch, Message};
use crate::observe::{Meter, State};

/// How long a stop waits for a sink that is not reachable before its rows are given up and counted.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How often a sink is flushed when no source waits for an acknowledgement.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A sink on its lane.
#[derive(Debug)]
pub(super) struct SinkTask {
    pub(super) name: String,
    pub(super) sink: Box<dyn Sink>,
    pub(super) rows: mpsc::Receiver<Message>,
    /// How many workers write to it.
    pub(super) upstream: usize,
    pub(super) answer_to: BTreeMap<usize, mpsc::UnboundedSender<u64>>,
    pub(super) expire_after: Option<Span>,
    pub(super) meter: Arc<Meter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: watch::Receiver<bool>,
}

impl SinkTask {
    /// Runs until every worker above has ended. After an error that cannot be retried it goes on taking rows, so that the
    /// workers come to their end, but writes none, counts them, and answers no barrier.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut backoff = Backoff::new(Span::from_millis(100), Span::from_secs(10), seed(&self.name));
        let mut result = self.connect(&mut backoff, None).await;
        let mut ended = 0;
        let mut dirty = false;
        while ended < self.upstream {
            let message = tokio::select! {
                biased;
                message = self.rows.recv() => message,
                () = tokio::time::sleep(FLUSH_EVERY), if dirty && result.is_ok() => {
                    result = self.flush(&mut backoff).await;
                    dirty = false;
                    continue;
                }
            };
            match message {
                Some(Message::Data(batch)) => {
                    let rows = batch.rows.num_rows();
                    if result.is_ok() {
                        result = self.write(batch, &mut backoff).await;
                        dirty = true;
                    }
                    if result.is_err() {
                        self.meter.drop_rows(Reason::Undelivered, rows);
                    }
                }
                Some(Message::Barrier(barrier)) => {
                    if result.is_ok() && dirty {
                        result = self.flush(&mut backoff).await;
                        dirty = false;
                    }
                    if result.is_ok() {
                        self.answer(barrier);
                    }
                }
                Some(Message::Watermark(_)) => {}
                Some(Message::End(_)) => ended += 1,
                None => break,
            }
            if let Err(error) = &result
                && error.is_retryable()
            {
                // Given up at a stop: nothing more is tried, what is left is counted.
                tracing::error!(sink = self.name, %error, "not reachable while stopping; its rows were given up");
                result = Err(std::mem::replace(&mut result, Ok(())).err().map_or_else(
                    || Error::internal("an error was lost"),
                    |e| Error::user(format!("sink \"{}\" was not reachable while stopping: {e}", self.name)),
                ));
            }
        }
        if result.is_ok() {
            result = self.flush(&mut backoff).await;
        }
        let closed = self.sink.close().await;
        self.meter.set_state(State::Ended);
        result.and(closed).map_err(|e| e.of(format_args!("sink \"{}\"", self.name)))
    }

    async fn write(&mut self, batch: Batch, backoff: &mut Backoff) -> Result<()> {
        let count = batch.rows.num_rows();
        self.meter.rows_in(count);
        loop {
            if self.expire_after.is_some_and(|limit| self.clock.now().since(batch.origin) > limit) {
                self.meter.drop_rows(Reason::Expired, count);
                self.note(Reason::Expired, "the reading that led to it is older than expire_after");
                return Ok(());
            }
            match self.sink.write(&batch.rows, batch.origin).await {
                Ok(outcome) => {
                    backoff.reset();
                    for (reason, rows, detail) in &outcome.rejected {
                        self.meter.drop_rows(*reason, *rows);
                        self.note(*reason, detail);
                    }
                    self.meter.rows_out(outcome.written);
                    if outcome.written > 0 {
                        self.meter.sensor_to_sink(self.clock.now().since(batch.origin), outcome.written);
                    }
                    return Ok(());
                }
                Err(error) => self.connect(backoff, Some(error)).await?,
            }
        }
    }

    async fn flush(&mut self, backoff: &mut Backoff) -> Result<()> {
        loop {
            match self.sink.flush().await {
                Ok(()) => return Ok(()),
                Err(error) => self.connect(backoff, Some(error)).await?,
            }
        }
    }

    /// Opens the sink, after `failed` if it was open; tries again for as long as the error may be retried.
    async fn connect(&mut self, backoff: &mut Backoff, mut failed: Option<Error>) -> Result<()> {
        let mut told = false;
        loop {
            if let Some(error) = failed.take() {
                if !error.is_retryable() {
                    return Err(error);
                }
                if let Err(error) = self.sink.close().await {
                    tracing::debug!(sink = self.name, %error, "did not close cleanly");
                }
                if !told {
                    tracing::warn!(sink = self.name, %error, hint = error.cure(), "connection lost; trying again");
                    told = true;
                }
                self.meter.reconnecting();
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_wait().to_std()) => {}
                    () = gave_up(self.stop.clone()) => return Err(error),
                }
            }
            match self.sink.open().await {
                Ok(()) => {
                    self.meter.set_state(State::Running);
                    if told {
                        tracing::info!(sink = self.name, "connected again");
                    }
                    return Ok(());
                }
                Err(error) => failed = Some(error),
            }
        }
    }

    fn answer(&self, barrier: Barrier) {
        if let Some(source) = self.answer_to.get(&barrier.source) {
            // A source that has ended no longer listens, and needs no answer.
            source.send(barrier.number).ok();
        }
    }

    fn note(&self, reason: Reason, detail: &str) {
        if self.meter.sample(reason, detail) {
            tracing::warn!(
                sink = self.name,
                reason = reason.word(),
                detail,
                "a row was not written (first of this reason)"
            );
        }
    }
}

/// Ends a while after the pipeline was told to stop.
async fn gave_up(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_LIMIT).await;
}

/// Objects of one pipeline do not come back in step.
pub(super) fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
