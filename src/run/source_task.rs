//! Drives one source: opens it, pulls, decodes, stamps, cuts watermarks in, shares out, acknowledges, and tries again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_connectors::backoff::{Backoff, STEADY};
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Reason, Result, Span, Timestamp};
use tokio::sync::{mpsc, watch};

use super::Stop;
use super::ack::Acks;
use super::event_time::Piece;
use super::guard::Aside;
use super::intake::Intake;
use super::sink_task::seed;
use super::source_time::SourceTime;
use super::spread::Spread;
use crate::graph::{Barrier, Batch, Ending, Message, Watermark};
use crate::observe::{Meter, Stage, State};
use crate::plan::bounds::SENSORS_TOLD;
use crate::plan::{Input, Plan, quarantine};

/// How often positions of a source are acknowledged that does not wait for it.
const ACK_EVERY: Span = Span::from_secs(1);

/// How often the meter is told what the sensors of a source are to its watermark.
const TELL_EVERY: Span = Span::from_secs(1);

/// Barriers that may be under way at once.
const BARRIERS: usize = 16;

/// What connects a source to its component.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) workers: Spread,
    /// What of the source is read: its rows, its dead letters, its quarantine.
    pub(super) inputs: Vec<Input>,
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
    time: SourceTime,
    /// The schema of what is put aside.
    quarantine: SchemaRef,
    told_sensors: Timestamp,
    /// Whether it is a field bus.
    control: bool,
    /// Whether it is a table, which is handed over whole.
    table: bool,
    /// Whether the workers have heard of the end: of a table when it was read first, though it may be read again.
    ended: bool,
    /// Messages after which the other end would stop sending.
    unacked_limit: Option<usize>,
    unacked: usize,
    position: Position,
    acks: Acks,
    latest_barrier: Timestamp,
    /// Since when there is a connection.
    opened_at: Option<Timestamp>,
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
        Ok(Self {
            name: planned.name.clone(),
            number,
            source,
            intake: Intake::new(planned, meter)?,
            time: SourceTime::new(&planned.time, &planned.schema, clock.now())?,
            quarantine: quarantine(&planned.schema),
            told_sensors: Timestamp::MIN,
            control: planned.planned.control,
            table: planned.table.is_some(),
            ended: false,
            unacked_limit: planned.planned.unacked_limit,
            unacked: 0,
            position: Position::None,
            acks: Acks::new(wiring.sinks_below),
            wiring,
            latest_barrier: clock.now(),
            opened_at: None,
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
            match self.connection(&mut told).await {
                Ok(ending) => break Ok(ending),
                Err(error) if error.is_retryable() => {
                    if !told {
                        tracing::warn!(%error, hint = error.cure(), "failed; trying again");
                        told = true;
                    }
                    if let Err(error) = self.source.close().await {
                        tracing::debug!(%error, "did not close cleanly");
                    }
                    // What was read is in our hands all the same: barriers under way are answered, and the source tells the
                    // other end when it has it back.
                    self.meter.reconnecting();
                    if let Some(opened_at) = self.opened_at.take() {
                        backoff.lasted(self.clock.now().since(opened_at));
                    }
                    if let Err(error) = self.silence().await {
                        break Err(error);
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
        let told = self.tell_sensors(self.clock.now(), true);
        if !self.ended {
            self.send_to_inputs(&Message::End(ending)).await;
        }
        self.wiring.workers.hang_up();
        let result = result.and(told).and(confirmed).and(self.last_acks().await);
        let closed = self.source.close().await;
        self.meter.set_state(State::Ended);
        result.and(closed).map_err(|e| e.of(format_args!("source \"{}\"", self.name)))
    }

    /// One connection, from open to its end.
    async fn connection(&mut self, told: &mut bool) -> Result<Ending> {
        let from = matches!(self.position, Position::Offsets(_)).then(|| self.position.clone());
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
            opened = self.source.open(from) => opened?,
        }
        self.meter.set_state(State::Running);
        let opened_at = self.clock.now();
        self.opened_at = Some(opened_at);
        loop {
            let waits_for_acks = self.unacked_limit.is_some() && self.unacked > 0 && self.acks.under_way() < BARRIERS;
            let quiet = if self.table { None } else { self.time.wait(self.clock.now()) };
            let pause = match self.unacked > 0 && self.unacked_limit.is_none() {
                true => Some(quiet.map_or(ACK_EVERY, |quiet| quiet.min(ACK_EVERY))),
                false => quiet,
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(Ending::Stopped),
                // Nobody is left to look rows up.
                () = self.wiring.workers.closed(), if self.ended => return Ok(Ending::Complete),
                Some(number) = self.wiring.answers.recv() => self.answered(number).await?,
                (pulled, waited) = telling_if_it_waits(self.source.pull(self.wiring.limit)) => {
                    let pulled = pulled?;
                    if *told && self.clock.now().since(opened_at) >= STEADY {
                        *told = false;
                        tracing::info!("working again");
                    }
                    if !self.take(pulled).await? {
                        return Ok(Ending::Complete);
                    }
                    // A source that always has more must not keep others on the lane from their turn. One that waited has let
                    // them have it.
                    if !waited {
                        tokio::task::yield_now().await;
                    }
                }
                // Nothing more has arrived: what has is acknowledged as soon as it is durable.
                () = std::future::ready(()), if waits_for_acks => self.barrier().await?,
                () = tokio::time::sleep(pause.unwrap_or_default().to_std()), if pause.is_some() => {
                    if self.unacked > 0 && self.unacked_limit.is_none() {
                        self.barrier().await?;
                    }
                    self.silence().await?;
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
        if !self.reads(Input::Source(self.number)) && !self.reads(Input::Quarantine(self.number)) {
            self.meter.drop_rows(Reason::Filtered, rows.num_rows());
            return Ok(());
        }
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.table {
            return self.hand_on_table(rows, origin).await;
        }
        let (mut pieces, mut aside) = (Vec::new(), Vec::new());
        let now = self.clock.now();
        self.time.take(rows, now, &mut pieces, &mut aside)?;
        let beyond_limit = self.time.take_beyond_limit();
        if beyond_limit > 0 {
            lineside_connectors::Meter::add(self.meter.as_ref(), "beyond_time_keys", beyond_limit);
        }
        self.hand_on_pieces(pieces, origin).await?;
        if !aside.is_empty() || self.reads(Input::Quarantine(self.number)) {
            self.hand_on_aside(aside, origin).await?;
        }
        self.meter.held.set_heard_at(self.time.latest_rows());
        self.tell_sensors(now, false)
    }

    /// Every worker gets the whole table. It has no time that others would wait for: behind the first the workers hear of its
    /// end, so that it holds up rows until then and the end of the pipeline never.
    async fn hand_on_table(&mut self, rows: RecordBatch, origin: Timestamp) -> Result<()> {
        let input = Input::Source(self.number);
        self.meter.rows_out(rows.num_rows());
        let batch = Batch { rows, origin, handed_on: self.clock.nanos() };
        self.wiring.workers.to_all(input, &Message::Data(batch)).await;
        if !std::mem::replace(&mut self.ended, true) {
            self.wiring.workers.to_all(input, &Message::End(Ending::Complete)).await;
        }
        Ok(())
    }

    /// Tells the meter what its sensors are to the watermark, at most once a second.
    fn tell_sensors(&mut self, now: Timestamp, at_once: bool) -> Result<()> {
        if at_once || now.since(self.told_sensors) >= TELL_EVERY {
            self.told_sensors = now;
            self.meter.held.set_sensors(self.time.sensors(now, SENSORS_TOLD)?);
        }
        Ok(())
    }

    async fn hand_on_pieces(&mut self, pieces: Vec<Piece>, origin: Timestamp) -> Result<()> {
        let input = Input::Source(self.number);
        let mut decoded = None;
        for piece in pieces {
            match piece {
                Piece::Rows(rows) => {
                    let handed_on = self.clock.nanos();
                    decoded = decoded.or(Some(handed_on));
                    self.meter.rows_out(rows.num_rows());
                    self.wiring.workers.share_out(input, Batch { rows, origin, handed_on }).await?;
                }
                Piece::Watermark(at) => {
                    self.meter.set_watermark(at);
                    self.wiring.workers.to_all(input, &Message::Watermark(Watermark::At(at))).await;
                }
                Piece::Idle => self.send_to_inputs(&Message::Watermark(Watermark::Idle)).await,
            }
            // What a field bus has answered is acted on before anything else is done, and so is what a watermark closes.
            if self.control {
                tokio::task::yield_now().await;
            }
        }
        if let Some(decoded) = decoded {
            self.meter.stages(&[(Stage::Decode, decoded.saturating_sub(origin.nanos()))]);
        }
        Ok(())
    }

    /// Rows that were put aside are counted, and go to the quarantine if it is read. Its time is the clock's.
    async fn hand_on_aside(&mut self, aside: Vec<Aside>, origin: Timestamp) -> Result<()> {
        let (input, now) = (Input::Quarantine(self.number), self.clock.now());
        for aside in aside {
            self.meter.drop_rows(aside.reason, aside.rows.num_rows());
            if self.reads(input) {
                let rows = aside.quarantined(&self.quarantine, now)?;
                self.wiring.workers.to_first(input, Batch { rows, origin, handed_on: now.nanos() }).await;
            }
        }
        if self.reads(input) {
            self.wiring.workers.to_all(input, &Message::Watermark(Watermark::At(now))).await;
        }
        Ok(())
    }

    /// Nothing came for a while.
    async fn silence(&mut self) -> Result<()> {
        if self.table {
            return Ok(());
        }
        let mut pieces = Vec::new();
        self.time.silence(self.clock.now(), &mut pieces);
        let origin = self.time.latest_rows();
        self.hand_on_pieces(pieces, origin).await?;
        self.tell_sensors(self.clock.now(), true)
    }

    fn reads(&self, input: Input) -> bool {
        self.wiring.inputs.contains(&input)
    }

    /// Messages that did not decode, and how far their time, the time of receipt, has come.
    async fn hand_on_dead(&mut self, dead: Option<RecordBatch>, received_at: Timestamp) {
        let input = Input::DeadLetters(self.number);
        if !self.reads(input) {
            return;
        }
        if let Some(rows) = dead {
            let batch = Batch { rows, origin: received_at, handed_on: self.clock.nanos() };
            self.wiring.workers.to_first(input, batch).await;
        }
        self.wiring.workers.to_all(input, &Message::Watermark(Watermark::At(received_at))).await;
    }

    async fn barrier(&mut self) -> Result<()> {
        self.unacked = 0;
        self.latest_barrier = self.clock.now();
        let number = self.acks.begin(self.position.clone());
        let barrier = Barrier { source: self.number, number };
        if let Some(&input) = self.wiring.inputs.first() {
            self.wiring.workers.to_all(input, &Message::Barrier(barrier)).await;
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
            self.wiring.workers.to_all(input, message).await;
        }
    }
}

/// What a future gives, and whether others had their turn while it was waited for.
async fn telling_if_it_waits<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut future = std::pin::pin!(future);
    let mut waited = false;
    std::future::poll_fn(|cx| {
        let polled = future.as_mut().poll(cx).map(|given| (given, waited));
        waited = true;
        polled
    })
    .await
}
