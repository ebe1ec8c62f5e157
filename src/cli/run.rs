//! `lineside run FILE`: runs a pipeline until its sources end or it is told to stop.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lineside_model::{Clock, Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::clock::SystemClock;
use crate::observe::{Board, Report, SensorState};
use crate::plan::Plan;
use crate::run::{Run as Running, Stop};

/// Run a pipeline until its sources end, or until SIGINT or SIGTERM: then what was read is worked off and flushed.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The pipeline file.
    file: PathBuf,
    /// Print the final counters as JSON on standard output instead of a table on standard error.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        let plan = super::plan(&self.file)?;
        let (every, name) = (plan.report_every.to_std(), plan.name.clone());
        tracing::info!(pipeline = name, sources = plan.sources.len(), sinks = plan.sinks.len(), "starting");
        let (report, result) = match drive(plan, |board, _| periodic(board, every, name)) {
            Ok(report) => (report, Ok(())),
            Err((report, error)) => (report, Err(Failure::Failed(error))),
        };
        if self.json {
            let text = serde_json::to_string(&report)
                .map_err(|e| Error::internal("the report was not written").caused_by(e))?;
            super::print(&format!("{text}\n"))?;
        } else {
            super::tell(&report.to_string());
        }
        result
    }
}

/// Starts a plan, lets `beside` run next to it, and stops cleanly at SIGINT and SIGTERM.
///
/// # Errors
/// What brought the pipeline down, with the counters up to then.
pub(super) fn drive<F>(plan: Plan, beside: impl FnOnce(Board, Stop) -> F) -> Result<Report, (Report, Error)>
where
    F: Future<Output = ()>,
{
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let cannot = |e: std::io::Error| (Report::default(), Error::external("no I/O runtime was made").caused_by(e));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    // Listened to before anything runs, so that an early signal is a clean stop as well.
    let signals = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?))).map_err(cannot)?
    };
    let started = Running::start(&Arc::new(plan), &clock).map_err(|e| (Report::default(), e))?;
    let (board, stop) = (started.board().clone(), started.stopper());
    let (report, result) = runtime.block_on(async {
        let ended = tokio::task::spawn_blocking(move || started.wait());
        let beside = async {
            beside(board.clone(), stop.clone()).await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            ended = ended => ended.unwrap_or_else(|e| {
                (board.report(), Err(Error::internal("the run was not waited for").caused_by(e)))
            }),
            never = stop_when_told(signals, stop.clone()) => match never {},
            never = beside => match never {},
        }
    });
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err((report, error)),
    }
}

/// Stops the pipeline at the first signal, and the process at the second. Never ends.
async fn stop_when_told((mut interrupt, mut terminate): (Signal, Signal), stop: Stop) -> Infallible {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.is_stopping() {
            std::process::exit(130);
        }
        tracing::info!("stopping: what was read is worked off; a second signal ends at once");
        stop.stop();
    }
}

async fn periodic(board: Board, every: Duration, pipeline: String) {
    while !every.is_zero() {
        tokio::time::sleep(every).await;
        for object in board.report().objects {
            tracing::info!(
                pipeline,
                kind = object.kind.word(),
                name = object.name,
                messages = object.messages,
                rows_in = object.rows_in,
                rows_out = object.rows_out,
                dropped = ?object.dropped,
                counts = ?object.counts,
                reconnects = object.reconnects,
                watermark = object.watermark.map(|at| at.0),
                open_window_end = object.open_window.map(|window| window.end.0),
                held_by = object.sensors.iter().find(|s| s.state == SensorState::Holds).map(|s| s.sensor.as_str()),
                sensor_to_sink = object.times.get("sensor_to_sink").map(ToString::to_string),
                "counters"
            );
        }
    }
}
