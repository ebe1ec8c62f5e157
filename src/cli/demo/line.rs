//! What the demo knows of the line: the loops and the events as the engine computed them, seen through taps in its plan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use lineside_model::{Error, Result, Span, Timestamp};

use super::tap::tap;
use crate::plan::{Input, Plan, SinkPlan};

/// How long loops have to hold at the end of a demo for its summary.
pub(super) const JUDGED: Span = Span::from_secs(20);

/// The line, shared between the taps and the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<Mutex<Seen>>);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Samples of each loop, oldest first, of the last minute.
    pub(super) loops: BTreeMap<String, VecDeque<Sample>>,
    /// Events, oldest first.
    pub(super) events: VecDeque<Event>,
    /// How many events of each kind: `stuck`, `raised`…
    pub(super) counts: BTreeMap<String, u64>,
}

/// One sample of a loop. Temperatures in °C, power in %.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) setpoint: f64,
    pub(super) measured: f64,
    pub(super) power: f64,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) sensor: String,
    pub(super) what: String,
}

impl Line {
    /// Adds taps behind the loops and the events of a plan.
    pub(super) fn watch(&self, plan: &mut Plan) -> Result<()> {
        for (n, node) in plan.nodes.iter().enumerate() {
            let columns = &node.operator.output;
            let seen = Arc::clone(&self.0);
            let take: Box<dyn Fn(&RecordBatch) + Send + Sync> = if columns.index_of("loop").is_ok() {
                Box::new(move |rows| locked(&seen).take_loops(rows))
            } else if columns.index_of("event").is_ok() {
                Box::new(move |rows| locked(&seen).take_events(rows))
            } else {
                continue;
            };
            plan.sinks.push(SinkPlan {
                name: format!("screen/{}", node.name),
                connector: "demo",
                codec: None,
                input: Input::Node(n),
                planned: tap(take),
                expire_after: None,
            });
        }
        if plan.sinks.iter().any(|s| s.connector == "demo") {
            Ok(())
        } else {
            Err(Error::internal("the demo's pipeline has no loops to show"))
        }
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        locked(&self.0)
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn take_loops(&mut self, rows: &RecordBatch) {
        let number = |name: &str| Some(rows.column_by_name(name)?.as_primitive_opt::<Float64Type>()?.values().to_vec());
        let columns = (text(rows, "loop"), times(rows), number("sp"), number("pv"), number("value"));
        let (Some(names), Some(at), Some(setpoint), Some(measured), Some(power)) = columns else { return };
        for n in 0..rows.num_rows() {
            let samples = self.loops.entry(names[n].clone()).or_default();
            samples.push_back(Sample { at: at[n], setpoint: setpoint[n], measured: measured[n], power: power[n] });
            while samples.front().is_some_and(|s| at[n].since(s.at) > Span::from_secs(60)) {
                samples.pop_front();
            }
        }
    }

    fn take_events(&mut self, rows: &RecordBatch) {
        let (Some(sensors), Some(events), Some(at)) = (text(rows, "sensor"), text(rows, "event"), times(rows)) else {
            return;
        };
        for n in 0..rows.num_rows() {
            *self.counts.entry(events[n].clone()).or_default() += 1;
            self.events.push_back(Event { at: at[n], sensor: sensors[n].clone(), what: events[n].clone() });
            if self.events.len() > 100 {
                self.events.pop_front();
            }
        }
    }
}

fn text(rows: &RecordBatch, name: &str) -> Option<Vec<String>> {
    let column = rows.column_by_name(name)?.as_string_opt::<i32>()?;
    Some(column.iter().map(|t| t.unwrap_or_default().to_owned()).collect())
}

fn times(rows: &RecordBatch) -> Option<Vec<Timestamp>> {
    let column = rows.column_by_name("ts")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    Some(column.values().iter().map(|t| Timestamp(*t)).collect())
}
