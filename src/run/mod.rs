//! A living pipeline: lanes that drive workers, tasks that drive sources and sinks, a clean stop.
//!
//! A **lane** is one thread with one current-thread I/O runtime, from socket to socket: the sources, workers and sinks of a
//! component live on it, and a batch is run to completion. The control lane has the components with a field bus, bulk lanes
//! have the rest; they share nothing, so a burst of telemetry cannot delay a setpoint. `docs/decisions/003-lanes.md` has the
//! measurements behind it.
//!
//! Reconnecting, backoff, decoding, stamping, watermarks, acknowledgement and stopping are here once, for all connectors.

mod ack;
mod edge;
mod event_time;
mod extent;
mod guard;
mod intake;
mod key_time;
mod lane;
mod priority;
#[cfg(test)]
mod reconnect_tests;
mod sink_task;
mod source_task;
mod source_time;
mod spread;
mod table_source;
#[cfg(test)]
mod tests;
mod watermarks;
mod worker_task;

use std::sync::Arc;

use lineside_model::{Clock, Error, Result};
use tokio::sync::watch;

use crate::graph::{Layout, Worker};
use crate::observe::{Board, Kind, Meter, Report};
use crate::plan::Plan;

/// Tells a running pipeline to stop: sources stop reading, everything read is worked off and flushed.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Stops it. Calling it again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

/// A pipeline that is running.
#[derive(Debug)]
pub struct Run {
    board: Board,
    stop: Stop,
    lanes: Vec<lane::Lane>,
}

impl Run {
    /// Starts a plan. It runs until its bounded sources have ended or it is told to stop.
    ///
    /// # Errors
    /// If the machine gives no threads.
    pub fn start(plan: &Arc<Plan>, clock: &Arc<dyn Clock>) -> Result<Self> {
        let board = board_of(plan);
        let layout = Layout::of(plan);
        let stop = Stop::default();
        let mut lanes = lane::Draft::of(plan, &layout);
        for component in &layout.components {
            lane::place(plan, component, &board, clock, &stop, &mut lanes)?;
        }
        let lanes = lanes.into_iter().map(|draft| draft.start(&stop)).collect::<Result<Vec<_>>>()?;
        Ok(Self { board, stop, lanes })
    }

    /// The meters, to be read at any time.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What stops it.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Whether every lane has come to its end.
    pub fn is_finished(&self) -> bool {
        self.lanes.iter().all(lane::Lane::is_finished)
    }

    /// Waits for its end and gives the final counters.
    ///
    /// # Errors
    /// What brought it down, if it did not end by itself or by being stopped.
    pub fn wait(self) -> (Report, Result<()>) {
        let results = self.lanes.into_iter().map(lane::Lane::join).collect::<Vec<_>>();
        (self.board.report(), results.into_iter().find(Result::is_err).unwrap_or(Ok(())))
    }
}

/// The meters of a plan, all zero.
pub fn board_of(plan: &Plan) -> Board {
    let sources = plan.sources.iter().map(|s| Meter::new(Kind::Source, &s.name));
    let nodes = plan.nodes.iter().map(|n| Meter::new(Kind::Operator, &n.name));
    let sinks = plan.sinks.iter().map(|s| Meter::new(Kind::Sink, &s.name));
    Board { meters: sources.chain(nodes).chain(sinks).map(Arc::new).collect() }
}

fn meter(board: &Board, kind: Kind, name: &str) -> Result<Arc<Meter>> {
    board.find(kind, name).cloned().ok_or_else(|| Error::internal(format!("{} \"{name}\" has no meter", kind.word())))
}

fn workers(plan: &Plan, component: &crate::graph::Component, board: &Board) -> Vec<Worker> {
    (0..component.workers).map(|number| Worker::new(plan, component, number, board)).collect()
}
