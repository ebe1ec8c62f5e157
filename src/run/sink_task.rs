//! Drives one sink: writes what arrives, tries again after failures, flushes, and answers barriers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lineside_connectors::backoff::{Backoff, STEADY};
use lineside_connectors::{Outcome, Sink};
use lineside_model::{Clock, Error, Reason, Result, Retry, Span, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::Stop;
use super::edge::InOrder;
use crate::graph::{Barrier, Batch, Message};
use crate::observe::{Meter, State};

/// How long a stop waits for a sink that is not reachable before its rows are given up and counted.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long written rows wait for a flush when no source waits for an acknowledgement.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What a sink is built from, and what connects it to its component.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) rows: InOrder,
    /// How many workers write to it.
    pub(super) upstream: usize,
    /// Where each source listens for answers to its barriers.
    pub(super) answer_to: BTreeMap<usize, mpsc::UnboundedSender<u64>>,
    pub(super) stop: Stop,
    /// The longest wait between attempts to connect.
    pub(super) retry_within: Span,
}

/// A sink on its lane.
#[derive(Debug)]
pub(super) struct SinkTask {
    name: String,
    sink: Box<dyn Sink>,
    wiring: Wiring,
    expire_after: Option<Span>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    /// Since when there is a connection.
    opened_at: Option<Timestamp>,
    /// Rows that were written and are not known to be durable yet.
    unflushed: usize,
    /// Whether the log has the loss of the connection and not yet its return.
    lost: bool,
    /// True from a while after the stop on: what is not written by then is given up.
    over: watch::Receiver<bool>,
    set_over: watch::Sender<bool>,
}

impl SinkTask {
    /// For a planned sink.
    pub(super) fn new(
        name: &str,
        expire_after: Option<Span>,
        sink: Box<dyn Sink>,
        wiring: Wiring,
        meter: Arc<Meter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (set_over, over) = watch::channel(false);
        let backoff = Backoff::new(Span::from_millis(100), wiring.retry_within, seed(name));
        Self {
            name: name.to_owned(),
            sink,
            wiring,
            expire_after,
            meter,
            clock,
            backoff,
            opened_at: None,
            unflushed: 0,
            lost: false,
            over,
            set_over,
        }
    }

    /// Runs until every worker above has ended. An error here is final: the pipeline is stopped, and rows are taken only to be
    /// counted, so that the workers come to their end; no barrier is answered any more.
    pub(super) async fn run(mut self) -> Result<()> {
        let (set_over, mut stopping) = (self.set_over.clone(), self.wiring.stop.0.subscribe());
        let deadline = tokio::task::spawn_local(async move {
            if stopping.wait_for(|stopping| *stopping).await.is_ok() {
                sleep(DRAIN_LIMIT).await;
                set_over.send_replace(true);
            }
        });
        let mut result = self.connect(None).await;
        self.tell(&result);
        let mut ended = 0;
        let mut flush_waits = false;
        let mut flush_at = std::pin::pin!(sleep(FLUSH_AFTER));
        while ended < self.wiring.upstream {
            let message = tokio::select! {
                biased;
                () = flush_at.as_mut(), if flush_waits && result.is_ok() => {
                    flush_waits = false;
                    result = self.flush().await;
                    self.tell(&result);
                    continue;
                }
                message = self.wiring.rows.recv() => message,
            };
            match message {
                Some(Message::Data(batch)) => {
                    let (rows, taken_up) = (batch.rows.num_rows(), self.clock.nanos());
                    self.meter.rows_in(rows);
                    if result.is_ok() {
                        result = self.write(batch, taken_up).await;
                        self.tell(&result);
                        if !std::mem::replace(&mut flush_waits, true) {
                            flush_at.as_mut().reset(Instant::now() + FLUSH_AFTER);
                        }
                    }
                    if result.is_err() {
                        self.meter.drop_rows(Reason::Undelivered, rows);
                    }
                }
                Some(Message::Barrier(barrier)) if result.is_ok() => {
                    if std::mem::take(&mut flush_waits) {
                        result = self.flush().await;
                        self.tell(&result);
                    }
                    if result.is_ok() {
                        self.answer(barrier);
                    }
                }
                Some(Message::Barrier(_) | Message::Watermark(_)) => {}
                Some(Message::End(_)) => ended += 1,
                None => break,
            }
        }
        if result.is_ok() {
            result = self.flush().await;
            self.tell(&result);
        }
        deadline.abort();
        let closed = self.sink.close().await;
        self.meter.set_state(State::Ended);
        result.and(closed).map_err(|e| e.of(format_args!("sink \"{}\"", self.name)))
    }

    async fn write(&mut self, batch: Batch, taken_up: i64) -> Result<()> {
        let count = batch.rows.num_rows();
        loop {
            if self.expire_after.is_some_and(|limit| self.clock.now().since(batch.origin) > limit) {
                self.meter.drop_rows(Reason::Expired, count);
                self.note(Reason::Expired, "the reading that led to it is older than expire_after");
                return Ok(());
            }
            let written = tokio::select! {
                biased;
                written = self.sink.write(&batch.rows, batch.origin) => written,
                () = over(self.over.clone()) => Err(not_reachable()),
            };
            match written {
                Ok(outcome) => {
                    self.account(&outcome, &batch, taken_up);
                    return Ok(());
                }
                Err(error) => self.connect(Some(error)).await?,
            }
        }
    }

    fn account(&mut self, outcome: &Outcome, batch: &Batch, taken_up: i64) {
        let now = self.clock.nanos();
        self.works(Timestamp(now / 1_000));
        for (reason, rows, detail) in &outcome.rejected {
            self.meter.drop_rows(*reason, *rows);
            self.note(*reason, detail);
        }
        self.meter.rows_out(outcome.written);
        self.unflushed += outcome.written;
        if outcome.written > 0 {
            let (queue, sink) = (taken_up.saturating_sub(batch.handed_on), now.saturating_sub(taken_up));
            self.meter.written(outcome.written, queue, sink, now.saturating_sub(batch.origin.nanos()));
        }
    }

    /// Something was written or flushed.
    fn works(&mut self, now: Timestamp) {
        if self.lost && self.opened_at.is_some_and(|opened_at| now.since(opened_at) >= STEADY) {
            self.lost = false;
            tracing::info!("working again");
        }
    }

    async fn flush(&mut self) -> Result<()> {
        loop {
            let flushed = tokio::select! {
                biased;
                flushed = self.sink.flush() => flushed,
                () = over(self.over.clone()) => Err(not_reachable()),
            };
            match flushed {
                Ok(()) => {
                    self.unflushed = 0;
                    self.works(self.clock.now());
                    return Ok(());
                }
                Err(error) => self.connect(Some(error)).await?,
            }
        }
    }

    /// Opens the sink, after `failed` if it was open; tries again for as long as the error may be retried and the time that a
    /// stop may take is not over.
    async fn connect(&mut self, mut failed: Option<Error>) -> Result<()> {
        loop {
            if let Some(error) = failed.take() {
                if !error.is_retryable() {
                    return Err(error);
                }
                if let Err(error) = self.sink.close().await {
                    tracing::debug!(%error, "did not close cleanly");
                }
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::warn!(%error, hint = error.cure(), "failed; trying again");
                }
                self.meter.reconnecting();
                if let Some(opened_at) = self.opened_at.take() {
                    self.backoff.lasted(self.clock.now().since(opened_at));
                }
                tokio::select! {
                    () = sleep(self.backoff.next_wait().to_std()) => {}
                    () = over(self.over.clone()) => return Err(not_reachable().caused_by(error)),
                }
            }
            let opened = tokio::select! {
                biased;
                opened = self.sink.open() => opened,
                () = over(self.over.clone()) => Err(not_reachable()),
            };
            match opened {
                Ok(()) => {
                    self.meter.set_state(State::Running);
                    self.opened_at = Some(self.clock.now());
                    return Ok(());
                }
                Err(error) => failed = Some(error),
            }
        }
    }

    /// A final error stops the pipeline, and what was written before and never became durable is counted.
    fn tell(&mut self, result: &Result<()>) {
        let Err(error) = result else { return };
        let lost = std::mem::take(&mut self.unflushed);
        self.meter.take_back(lost);
        self.meter.drop_rows(Reason::Undelivered, lost);
        if !self.wiring.stop.is_stopping() {
            tracing::error!(%error, hint = error.cure(), "failed for good; stopping");
            self.wiring.stop.stop();
        }
    }

    fn answer(&self, barrier: Barrier) {
        if let Some(source) = self.wiring.answer_to.get(&barrier.source) {
            // A source that has ended no longer listens, and needs no answer.
            source.send(barrier.number).ok();
        }
    }

    fn note(&self, reason: Reason, detail: &str) {
        if self.meter.sample(reason, detail) {
            tracing::warn!(reason = reason.word(), detail, "a row was not written (first of this reason)");
        }
    }
}

/// Ends when the time that a stop may take is over.
async fn over(mut over: watch::Receiver<bool>) {
    if over.wait_for(|over| *over).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn not_reachable() -> Error {
    let mut error = Error::external("not reachable while stopping; what was not written is counted as undelivered");
    error.retry = Retry::Never;
    error
}

/// Objects of one pipeline do not come back in step.
pub(super) fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
