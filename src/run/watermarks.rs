//! The table `system.watermarks`: what each open window waits for. A source like any other, that reads the meters every second
//! and ends when all other sources have ended.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Result, Span, Timestamp};

use crate::observe::{Board, Kind, OpenWindow, SensorState, SensorTime, State};
use crate::plan::system::watermarks;
use crate::plan::{Input, Plan};

/// How often it is told.
const EVERY: Span = Span::from_secs(1);
/// How soon it is noticed that all sources have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The source behind the table.
#[derive(Debug)]
pub(super) struct WatermarkTable {
    plan: Arc<Plan>,
    board: Board,
    clock: Arc<dyn Clock>,
    told: Timestamp,
    ended: bool,
}

/// One row of the table.
struct Row {
    step: Option<String>,
    window: Option<OpenWindow>,
    watermark: Option<Timestamp>,
    source: String,
    held: Held,
}

/// Who holds, or is not waited for.
struct Held {
    sensor: Option<String>,
    state: SensorState,
    newest: Option<Timestamp>,
    since: Option<Timestamp>,
}

impl WatermarkTable {
    pub(super) fn new(plan: &Arc<Plan>, board: &Board, clock: &Arc<dyn Clock>) -> Self {
        let (plan, board, clock) = (Arc::clone(plan), board.clone(), Arc::clone(clock));
        Self { plan, board, clock, told: Timestamp::MIN, ended: false }
    }

    /// The table as it is now.
    pub(super) fn rows(&self, now: Timestamp) -> Result<RecordBatch> {
        let mut rows = Vec::new();
        for (n, node) in self.plan.nodes.iter().enumerate() {
            let Some(meter) = self.board.find(Kind::Operator, &node.name) else { continue };
            if let Some(window) = meter.held.window() {
                let (source, held) = self.holder(Input::Node(n));
                rows.push(Row {
                    step: Some(node.name.clone()),
                    window: Some(window),
                    watermark: meter.report().watermark,
                    source,
                    held,
                });
            }
        }
        for source in &self.plan.sources {
            let Some(meter) = self.board.find(Kind::Source, &source.name) else { continue };
            let sensors = meter.held.sensors().into_iter().filter(|sensor| sensor.state != SensorState::Holds);
            rows.extend(sensors.map(|sensor| Row {
                step: None,
                window: None,
                watermark: meter.report().watermark,
                source: source.name.clone(),
                held: Held::of(sensor),
            }));
        }
        table(&rows, now)
    }

    /// The source, and its sensor, that an input waits for.
    fn holder(&self, mut input: Input) -> (String, Held) {
        while let Input::Node(n) | Input::Late(n) = input {
            let node = &self.plan.nodes[n];
            let port = self.board.find(Kind::Operator, &node.name).map_or(0, |meter| meter.held.held_by());
            input = node.inputs[port.min(node.inputs.len() - 1)];
        }
        let (Input::Source(n) | Input::DeadLetters(n) | Input::Quarantine(n) | Input::Node(n) | Input::Late(n)) = input;
        let source = &self.plan.sources[n];
        let meter = self.board.find(Kind::Source, &source.name);
        let sensors = meter.map(|meter| meter.held.sensors()).unwrap_or_default();
        let held = match sensors.into_iter().find(|sensor| sensor.state == SensorState::Holds) {
            Some(sensor) => Held::of(sensor),
            None => Held {
                sensor: None,
                state: SensorState::Holds,
                newest: meter.and_then(|meter| meter.report().watermark).map(|at| at + source.time.disorder),
                since: meter.and_then(|meter| meter.held.heard_at()),
            },
        };
        (source.name.clone(), held)
    }

    fn others_have_ended(&self) -> bool {
        // Tables end with those who look rows up in them.
        let is_stream =
            |name: &str| self.plan.sources.iter().any(|s| s.name == name && s.table.is_none() && !s.is_system());
        let sources = self.board.meters.iter().filter(|meter| meter.kind == Kind::Source && is_stream(&meter.name));
        sources.map(|meter| meter.report().state).all(|state| state == State::Ended)
    }
}

impl Held {
    fn of(sensor: SensorTime) -> Self {
        let SensorTime { sensor, state, newest, heard_at } = sensor;
        // A sensor may have sent nothing but readings without event time.
        let newest = Some(newest).filter(|at| *at != Timestamp::MIN);
        Self { sensor: Some(sensor), state, newest, since: Some(heard_at) }
    }
}

fn table(rows: &[Row], now: Timestamp) -> Result<RecordBatch> {
    let times = |of: &dyn Fn(&Row) -> Option<Timestamp>| -> ArrayRef {
        let column = rows.iter().map(|row| of(row).map(Timestamp::micros)).collect::<TimestampMicrosecondArray>();
        Arc::new(column.with_timezone("UTC"))
    };
    let texts =
        |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let columns = vec![
        times(&|_| Some(now)),
        texts(&|row| row.step.clone()),
        times(&|row| row.window.map(|window| window.start)),
        times(&|row| row.window.map(|window| window.end)),
        times(&|row| row.watermark),
        texts(&|row| Some(row.source.clone())),
        texts(&|row| row.held.sensor.clone()),
        texts(&|row| Some(row.held.state.word().to_owned())),
        times(&|row| row.held.newest),
        times(&|row| row.held.since),
    ];
    Ok(RecordBatch::try_new(watermarks(), columns)?)
}

#[async_trait(?Send)]
impl Source for WatermarkTable {
    async fn open(&mut self, _: Option<Position>) -> Result<()> {
        Ok(())
    }

    async fn pull(&mut self, _: usize) -> Result<Pulled> {
        loop {
            let now = self.clock.now();
            if self.ended {
                return Ok(Pulled::End);
            }
            self.ended = self.others_have_ended();
            if self.ended || now.since(self.told) >= EVERY {
                self.told = now;
                let rows = self.rows(now)?;
                return Ok(Pulled::Rows { rows, received_at: now, position: Position::None });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn ack(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
