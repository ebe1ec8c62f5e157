//! One operator on its worker: what it has heard of time, where its rows go, and its books.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result, Timestamp};
use lineside_operators::{Operator, Port};

use super::Watermark;
use crate::observe::{Meter, OpenWindow, State};

/// Where rows go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// To an operator, by its port.
    Node(usize, Port),
    /// To a sink, by its place in the component.
    Sink(usize),
}

/// What a copy of an operator is to the copies on other workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has all rows of its keys.
    Whole,
    /// It hands what it holds to the operator of this number among those that gather.
    HandsOver(usize),
    /// It gathers what all copies hold, and gets no rows itself.
    Gathers,
}

/// One operator, what it has heard of time, and where its rows go.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) role: Role,
    pub(super) operator: Box<dyn Operator>,
    pub(super) ports: Vec<PortTime>,
    pub(super) watermark: Timestamp,
    pub(super) idle: bool,
    /// That of its own node, then those of the nodes it works for besides.
    pub(super) outputs: Vec<Output>,
    /// When the newest reading that reached it was read from the wire: the origin of what a watermark makes it emit.
    pub(super) newest: Timestamp,
}

/// One node's share in an operator: where the rows go, and its books, kept as if the node had an operator of its own.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) targets: Vec<Target>,
    /// Where rows go that come too late, if anybody reads them.
    pub(super) late: Option<Late>,
    /// Open rows that the meter was told of.
    pub(super) told_open: u64,
    /// The oldest open window that the meter was told of, and this worker's number there.
    pub(super) told_window: Option<OpenWindow>,
    pub(super) worker: usize,
    pub(super) meter: Arc<Meter>,
}

/// The table of rows that come too late for one node.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) targets: Vec<Target>,
    pub(super) schema: SchemaRef,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PortTime {
    pub(super) watermark: Timestamp,
    pub(super) idle: bool,
}

impl PortTime {
    /// Nothing was heard yet.
    pub(super) const START: Self = Self { watermark: Timestamp::MIN, idle: false };
}

impl Output {
    pub(super) fn new(targets: Vec<Target>, meter: Arc<Meter>) -> Self {
        Self { targets, late: None, told_open: 0, told_window: None, worker: meter.held.join(), meter }
    }

    pub(super) fn tell_open(&mut self, rows: u64) {
        self.meter.move_open_rows(self.told_open, rows);
        self.told_open = rows;
    }
}

impl Slot {
    /// Who reads any of its outputs.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.outputs
            .iter()
            .flat_map(|output| output.targets.iter().chain(output.late.iter().flat_map(|late| &late.targets)))
    }

    pub(super) fn set_state(&self, state: State) {
        self.outputs.iter().for_each(|output| output.meter.set_state(state));
    }

    /// Tells the meters which window is the oldest that is open, if that is another one now.
    pub(super) fn note_windows(&mut self) {
        for (n, output) in self.outputs.iter_mut().enumerate() {
            let window = self.operator.oldest_open_of(n).map(|(start, end)| OpenWindow { start, end });
            if window != output.told_window {
                output.told_window = window;
                output.meter.held.set_window(output.worker, window);
            }
        }
    }

    /// A port heard of time. The operator's own watermark is the least of all ports that are not idle; what changes of it, if
    /// anything, is to be acted on and handed on.
    pub(super) fn hear(&mut self, port: Port, watermark: Watermark) -> Option<Watermark> {
        match watermark {
            Watermark::Idle => self.ports[port].idle = true,
            Watermark::At(at) => {
                self.ports[port] = PortTime { watermark: at.max(self.ports[port].watermark), idle: false }
            }
        }
        // A port that has ended holds back nobody, and speaks for all only when all have ended.
        let live = || self.ports.iter().filter(|p| p.watermark < Timestamp::MAX);
        let ended = live().next().is_none();
        let was_idle = self.idle;
        let idle = !ended && live().all(|p| p.idle);
        let least = if ended { Some(Timestamp::MAX) } else { live().filter(|p| !p.idle).map(|p| p.watermark).min() };
        self.idle = idle;
        let slowest = self.ports.iter().enumerate().filter(|(_, p)| p.watermark < Timestamp::MAX && !p.idle);
        if let Some((port, _)) = slowest.min_by_key(|(_, p)| p.watermark) {
            self.outputs.iter().for_each(|output| output.meter.held.set_held_by(port));
        }
        match least {
            Some(least) if least > self.watermark => {
                self.watermark = least;
                // That of a node is what it puts out, which the one that gathers tells.
                if !matches!(self.role, Role::HandsOver(_)) {
                    self.outputs.iter().for_each(|output| output.meter.set_watermark(least));
                }
                Some(Watermark::At(least))
            }
            Some(_) if was_idle => Some(Watermark::At(self.watermark)),
            None if !was_idle => Some(Watermark::Idle),
            _ => None,
        }
    }
}

impl Late {
    /// Late rows with the watermark they met, the reason, and how far behind it they are.
    pub(super) fn explained(&self, rows: &RecordBatch, time: usize, watermark: Timestamp) -> Result<RecordBatch> {
        let times = rows.column(time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("late rows have no event time"))?;
        let met = TimestampMicrosecondArray::from(vec![watermark.0; rows.num_rows()]).with_timezone("UTC");
        let by = times.iter().map(|time| time.map(|time| watermark.0.saturating_sub(time)));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(met),
            Arc::new(StringArray::from(vec![Reason::Late.word(); rows.num_rows()])),
            Arc::new(by.collect::<Int64Array>()),
        ];
        columns.extend(rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?)
    }
}
