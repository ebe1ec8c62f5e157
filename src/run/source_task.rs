//! Drives one source: opens it, pulls, decodes, stamps, cuts watermarks in, shares out, acknowledges, and tries again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lineside_connectors::backoff::Backoff;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Reason, Result, Span, Timestamp};
use tokio::sync::{mpsc, watch};

use super::Stop;
use super::ack::Acks;
use super::event_time::{EventTime, Piece};
use super::intake::Intake;
use super::sink_task::seed;
use crate::graph::{Barrier, Batch, Ending, Exchange, Message, Watermark};
use crate::observe::{Meter, State};
use crate::plan::{Input, Plan};

/// How often positions of a source are acknowledged that does not wait for it.
const ACK_EVERY: Span = Span::from_secs(1);

/// How long a connection has to last before it counts as one: another end that accepts and closes at once is tried ever less
/// often.
pub(super) const STEADY: Span = Span::from_secs(2);

/// Barriers that may be under way at once.
const BARRIERS: usize = 16;

/// What connects a source to its component.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) exchange: Option<Exchange>,
    /// What of the source is read: its rows, its dead letters.
    pub(super) inputs: Vec<Input>,
    pub(super) to: Vec<mpsc::Sender<(Input, Message)>>,
    pub(super) answers: mpsc::UnboundedReceiver<u64>,
    pub(super) sinks_below: usize,
    pub(super) limit: usize,
    /// The longest wait between attempts to connect.
    pub(super) retry_within: Span,
}

/// A source on its lane.
#[derive(Debug)]
pub(super) struct SourceTask {
    name: String,
    number: usize,
    source: Box<dyn Source>,
    wiring: Wiring,
    intake: Intake,
    time: EventTime,
    idle_after: Option<Span>,
    idle: bool,
    /// When rows were handed on last, or the source was started.
    latest_rows: Timestamp,
    watermark: Option<Timestamp>,
    /// Messages after which the other end would stop sending.
    unacked_limit: Option<usize>,
    unacked: usize,
    position: Position,
    acks: Acks,
    latest_barrier: Timestamp,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    stopping: watch::Receiver<bool>,
}

impl SourceTask {
    /// For source `number` of the plan.
    pub(super) fn new(
        plan: &Plan,
        number: usize,
        source: Box<dyn Source>,
        wiring: Wiring,
        meter: &Arc<Meter>,
        clock: &Arc<dyn Clock>,
        stop: &Stop,
    ) -> Result<Self> {
        let planned = &plan.sources[number];
        let column = planned.schema.index_of(&planned.time.column)?;
        Ok(Self {
            name: planned.name.clone(),
            number,
            source,
            intake: Intake::new(planned, meter)?,
            time: EventTime::new(column, &planned.time),
            idle_after: planned.time.idle_after,
            idle: false,
            latest_rows: clock.now(),
            watermark: None,
            unacked_limit: planned.planned.unacked_limit,
            unacked: 0,
            position: Position::None,
            acks: Acks::new(wiring.sinks_below),
            wiring,
            latest_barrier: clock.now(),
            meter: Arc::clone(meter),
            clock: Arc::clone(clock),
            stop: stop.clone(),
            stopping: stop.0.subscribe(),
        })
    }

    /// Runs until the source ends, the pipeline is stopped, or an error that cannot be retried. Whatever happens, the workers
    /// hear of the end.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut backoff = Backoff::new(Span::from_millis(100), self.wiring.retry_within, seed(&self.name));
        let mut told = false;
        let result = loop {
            match self.connection(&mut backoff, &mut told).await {
                Ok(ending) => break Ok(ending),
                Err(error) if error.is_retryable() => {
                    if !told {
                        tracing::warn!(%error, hint = error.cure(), "failed; trying again");
                        told = true;
                    }
                    if let Err(error) = self.source.close().await {
                        tracing::debug!(%error, "did not close cleanly");
                    }
                    self.acks.forget();
                    self.unacked = 0;
                    self.meter.reconnecting();
                    if self.silent_for().is_some_and(|left| left == Span::ZERO) {
                        self.fall_idle().await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_wait().to_std()) => {}
                        _ = self.stopping.wait_for(|stopping| *stopping) => break Ok(Ending::Stopped),
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if result.is_err() {
            self.stop.stop();
        }
        let ending = *result.as_ref().unwrap_or(&Ending::Stopped);
        let mut confirmed = Ok(());
        if self.unacked > 0 {
            confirmed = self.barrier().await;
        }
        self.send_to_inputs(&Message::End(ending)).await;
        let result = result.and(confirmed).and(self.last_acks().await);
        let closed = self.source.close().await;
        self.meter.set_state(State::Ended);
        result.and(closed).map_err(|e| e.of(format_args!("source \"{}\"", self.name)))
    }

    /// One connection, from open to its end.
    async fn connection(&mut self, backoff: &mut Backoff, told: &mut bool) -> Result<Ending> {
        let from = matches!(self.position, Position::Offsets(_)).then(|| self.position.clone());
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
            opened = self.source.open(from) => opened?,
        }
        self.meter.set_state(State::Running);
        let opened_at = self.clock.now();
        loop {
            let waits_for_acks = self.unacked_limit.is_some() && self.unacked > 0 && self.acks.under_way() < BARRIERS;
            let pause = match (self.unacked > 0 && self.unacked_limit.is_none(), self.silent_for()) {
                (true, _) => Some(ACK_EVERY),
                (false, left) => left,
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
                Some(number) = self.wiring.answers.recv() => self.answered(number).await?,
                pulled = self.source.pull(self.wiring.limit) => {
                    let pulled = pulled?;
                    if self.clock.now().since(opened_at) >= STEADY {
                        backoff.reset();
                        if std::mem::take(told) {
                            tracing::info!("working again");
                        }
                    }
                    if !self.take(pulled).await? {
                        return Ok(Ending::Complete);
                    }
                    // A source that always has more must not keep others on the lane from their turn.
                    tokio::task::yield_now().await;
                }
                // Nothing more has arrived: what has is acknowledged as soon as it is durable.
                () = std::future::ready(()), if waits_for_acks => self.barrier().await?,
                () = tokio::time::sleep(pause.unwrap_or_default().to_std()), if pause.is_some() => {
                    if self.unacked > 0 && self.unacked_limit.is_none() {
                        self.barrier().await?;
                    } else {
                        self.fall_idle().await;
                    }
                }
            }
        }
    }

    /// Takes what a pull gave; `false` at the end of a bounded source.
    async fn take(&mut self, pulled: Pulled) -> Result<bool> {
        let (rows, received_at, position, count) = match pulled {
            Pulled::Idle => return Ok(true),
            Pulled::End => return Ok(false),
            Pulled::Rows { rows, received_at, position } => {
                let count = rows.num_rows();
                self.meter.rows_in(count);
                (rows, received_at, position, count)
            }
            Pulled::Frames(frames, position) => {
                let received_at = frames.received_at.iter().copied().max().unwrap_or_default();
                let (rows, dead) = self.intake.decode(&frames)?;
                self.hand_on_dead(dead, received_at).await;
                (rows, received_at, position, frames.payloads.len())
            }
        };
        self.hand_on(rows, received_at).await?;
        if position != Position::None {
            self.position = position;
            self.unacked += count.max(1);
            let due = match self.unacked_limit {
                Some(limit) => self.unacked * 2 >= limit,
                None => self.clock.now().since(self.latest_barrier) >= ACK_EVERY,
            };
            if due && self.acks.under_way() < BARRIERS {
                self.barrier().await?;
            }
        }
        Ok(true)
    }

    async fn hand_on(&mut self, rows: RecordBatch, origin: Timestamp) -> Result<()> {
        let input = Input::Source(self.number);
        if !self.wiring.inputs.contains(&input) {
            self.meter.drop_rows(Reason::Filtered, rows.num_rows());
            return Ok(());
        }
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if std::mem::take(&mut self.idle)
            && let Some(at) = self.watermark
        {
            // It takes part again, from where it was.
            self.send_to_all(input, &Message::Watermark(Watermark::At(at))).await;
        }
        let mut pieces = Vec::new();
        let meter = Arc::clone(&self.meter);
        self.time
            .cut(rows, self.clock.now(), &mut pieces, &mut |reason: Reason, rows| meter.drop_rows(reason, rows))?;
        if !pieces.is_empty() {
            self.latest_rows = self.clock.now();
        }
        for piece in pieces {
            match piece {
                Piece::Rows(rows) => {
                    self.meter.rows_out(rows.num_rows());
                    match &mut self.wiring.exchange {
                        None => self.send(0, input, Message::Data(Batch { rows, origin })).await,
                        Some(exchange) => {
                            for (worker, rows) in exchange.split(&rows)?.into_iter().enumerate() {
                                if let Some(rows) = rows {
                                    self.send(worker, input, Message::Data(Batch { rows, origin })).await;
                                }
                            }
                        }
                    }
                }
                Piece::Watermark(at) => {
                    self.watermark = Some(at);
                    self.meter.set_watermark(at);
                    self.send_to_all(input, &Message::Watermark(Watermark::At(at))).await;
                }
            }
        }
        Ok(())
    }

    /// Messages that did not decode, and how far their time, the time of receipt, has come.
    async fn hand_on_dead(&mut self, dead: Option<RecordBatch>, received_at: Timestamp) {
        let input = Input::DeadLetters(self.number);
        if !self.wiring.inputs.contains(&input) {
            return;
        }
        if let Some(rows) = dead {
            self.send(0, input, Message::Data(Batch { rows, origin: received_at })).await;
        }
        self.send_to_all(input, &Message::Watermark(Watermark::At(received_at))).await;
    }

    /// How long until the source counts as idle if it gives no rows; `None` if it never does, or does already.
    fn silent_for(&self) -> Option<Span> {
        let after = self.idle_after.filter(|_| !self.idle)?;
        Some(Span((after.micros() - self.clock.now().since(self.latest_rows).micros()).max(0)))
    }

    /// Nothing came for a while: others go on without this source.
    async fn fall_idle(&mut self) {
        self.idle = true;
        self.send_to_inputs(&Message::Watermark(Watermark::Idle)).await;
    }

    async fn barrier(&mut self) -> Result<()> {
        self.unacked = 0;
        self.latest_barrier = self.clock.now();
        let number = self.acks.begin(self.position.clone());
        let barrier = Barrier { source: self.number, number };
        if let Some(&input) = self.wiring.inputs.first() {
            self.send_to_all(input, &Message::Barrier(barrier)).await;
        }
        // With no sink below there is nobody to answer, and nothing to wait for.
        self.release().await
    }

    async fn answered(&mut self, number: u64) -> Result<()> {
        self.acks.answered(number);
        self.release().await
    }

    async fn release(&mut self) -> Result<()> {
        match self.acks.release() {
            Some(position) => self.source.ack(&position).await,
            None => Ok(()),
        }
    }

    /// Waits for the answers that are still to come: every sink below gives them, or ends.
    async fn last_acks(&mut self) -> Result<()> {
        while !self.acks.is_quiet() {
            let Some(number) = self.wiring.answers.recv().await else {
                tracing::warn!("not everything read was confirmed; it will be read again");
                break;
            };
            self.answered(number).await?;
        }
        Ok(())
    }

    async fn send_to_inputs(&self, message: &Message) {
        for &input in &self.wiring.inputs {
            self.send_to_all(input, message).await;
        }
    }

    async fn send_to_all(&self, input: Input, message: &Message) {
        for worker in 0..self.wiring.to.len() {
            self.send(worker, input, message.clone()).await;
        }
    }

    /// Waits where the worker is busy: this is how capacity flows backwards.
    async fn send(&self, worker: usize, input: Input, message: Message) {
        if let Err(mpsc::error::SendError((_, Message::Data(batch)))) =
            self.wiring.to[worker].send((input, message)).await
        {
            self.meter.drop_rows(Reason::Undelivered, batch.rows.num_rows());
        }
    }
}
