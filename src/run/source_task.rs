//! Drives one source: opens it, pulls, decodes, stamps, cuts watermarks in, shares out, acknowledges, and tries again.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use lineside_connectors::backoff::Backoff;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Error, Reason, Result, Span, Timestamp};
use tokio::sync::{mpsc, watch};

use super::ack::Acks;
use super::event_time::{EventTime, Piece};
use super::intake::Intake;
use super::sink_task::{DRAIN_LIMIT, seed};
use crate::graph::{Barrier, Batch, Ending, Exchange, Message, Watermark};
use crate::observe::{Meter, State};
use crate::plan::{Input, Plan};

/// How often positions of a source are acknowledged that does not wait for it.
const ACK_EVERY: Span = Span::from_secs(1);

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
    /// Messages after which the other end would stop sending.
    unacked_limit: Option<usize>,
    unacked: usize,
    position: Position,
    acks: Acks,
    latest_barrier: Timestamp,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
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
        stop: watch::Receiver<bool>,
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
            unacked_limit: planned.planned.unacked_limit,
            unacked: 0,
            position: Position::None,
            acks: Acks::new(wiring.sinks_below),
            wiring,
            latest_barrier: clock.now(),
            meter: Arc::clone(meter),
            clock: Arc::clone(clock),
            stop,
        })
    }

    /// Runs until the source ends, the pipeline is stopped, or an error that cannot be retried. Whatever happens, the workers
    /// hear of the end.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut backoff = Backoff::new(Span::from_millis(100), Span::from_secs(10), seed(&self.name));
        let mut told = false;
        let result = loop {
            match self.connection(&mut backoff, &mut told).await {
                Ok(ending) => break Ok(ending),
                Err(error) if error.is_retryable() => {
                    if !told {
                        tracing::warn!(source = self.name, %error, hint = error.cure(), "connection lost; trying again");
                        told = true;
                    }
                    if let Err(error) = self.source.close().await {
                        tracing::debug!(source = self.name, %error, "did not close cleanly");
                    }
                    self.acks.forget();
                    self.unacked = 0;
                    self.meter.reconnecting();
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_wait().to_std()) => {}
                        _ = self.stop.wait_for(|stopping| *stopping) => break Ok(Ending::Stopped),
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let ending = *result.as_ref().unwrap_or(&Ending::Stopped);
        if self.unacked > 0 {
            self.barrier().await;
        }
        for input in self.wiring.inputs.clone() {
            self.send_to_all(input, &Message::End(ending)).await;
        }
        let result = result.and(self.last_acks().await);
        let closed = self.source.close().await;
        self.meter.set_state(State::Ended);
        result.and(closed).map_err(|e| e.of(format_args!("source \"{}\"", self.name)))
    }

    /// One connection, from open to its end.
    async fn connection(&mut self, backoff: &mut Backoff, told: &mut bool) -> Result<Ending> {
        let from = matches!(self.position, Position::Offsets(_)).then(|| self.position.clone());
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
            opened = self.source.open(from) => opened?,
        }
        self.meter.set_state(State::Running);
        if std::mem::take(told) {
            tracing::info!(source = self.name, "connected again");
        }
        loop {
            let waits_for_acks = self.unacked_limit.is_some() && self.unacked > 0 && self.acks.under_way() < BARRIERS;
            let pause = match (self.unacked > 0 && self.unacked_limit.is_none(), self.idle_after.filter(|_| !self.idle))
            {
                (true, _) => Some(ACK_EVERY.to_std()),
                (false, Some(idle)) => Some(idle.to_std()),
                (false, None) => None,
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
                Some(number) = self.wiring.answers.recv() => self.answered(number).await?,
                pulled = self.source.pull(self.wiring.limit) => {
                    backoff.reset();
                    if !self.take(pulled?).await? {
                        return Ok(Ending::Complete);
                    }
                }
                // Nothing more has arrived: what has is acknowledged as soon as it is durable.
                () = std::future::ready(()), if waits_for_acks => self.barrier().await,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => self.silence().await,
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
                if let Some(rows) = dead
                    && self.wiring.inputs.contains(&Input::DeadLetters(self.number))
                {
                    let message = Message::Data(Batch { rows, origin: received_at });
                    self.send(0, Input::DeadLetters(self.number), message).await;
                }
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
                self.barrier().await;
            }
        }
        Ok(true)
    }

    async fn hand_on(&mut self, rows: RecordBatch, origin: Timestamp) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.idle = false;
        let input = Input::Source(self.number);
        let mut pieces = Vec::new();
        let meter = Arc::clone(&self.meter);
        self.time
            .cut(rows, self.clock.now(), &mut pieces, &mut |reason: Reason, rows| meter.drop_rows(reason, rows))?;
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
                    self.meter.set_watermark(at);
                    self.send_to_all(input, &Message::Watermark(Watermark::At(at))).await;
                }
            }
        }
        Ok(())
    }

    /// Nothing came for a while: acknowledges what is due, and lets others go on without this source.
    async fn silence(&mut self) {
        if self.unacked > 0 {
            self.barrier().await;
        } else {
            self.idle = true;
            self.send_to_all(Input::Source(self.number), &Message::Watermark(Watermark::Idle)).await;
        }
    }

    async fn barrier(&mut self) {
        self.unacked = 0;
        self.latest_barrier = self.clock.now();
        let number = self.acks.begin(self.position.clone());
        let barrier = Barrier { source: self.number, number };
        if let Some(&input) = self.wiring.inputs.first() {
            self.send_to_all(input, &Message::Barrier(barrier)).await;
        }
    }

    async fn answered(&mut self, number: u64) -> Result<()> {
        self.acks.answered(number);
        match self.acks.release() {
            Some(position) => self.source.ack(&position).await,
            None => Ok(()),
        }
    }

    /// Waits for the answers that are still to come, within the time a stop may take.
    async fn last_acks(&mut self) -> Result<()> {
        let deadline = tokio::time::sleep(DRAIN_LIMIT + Duration::from_secs(2));
        tokio::pin!(deadline);
        if let Some(position) = self.acks.release() {
            self.source.ack(&position).await?;
        }
        while !self.acks.is_quiet() {
            tokio::select! {
                number = self.wiring.answers.recv() => match number {
                    Some(number) => self.answered(number).await?,
                    None => break,
                },
                () = &mut deadline => {
                    return Err(Error::external("the sinks did not confirm everything before the stop; it will be read again"));
                }
            }
        }
        Ok(())
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
