//! `lineside run FILE`: runs a pipeline until its sources end or it is told to stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lineside_model::{Clock, Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SystemClock;
use crate::observe::{Board, Report};
use crate::plan::Plan;
use crate::run::{Run, Stop};

/// Runs a plan to its end with a report in the log every now and then, and the final counters on standard error.
pub fn run(plan: Plan) -> ExitCode {
    let every = plan.report_every.to_std();
    let name = plan.name.clone();
    let result = drive(plan, |board| periodic(board, every, name));
    match result {
        Ok(report) => {
            eprint!("{report}");
            ExitCode::SUCCESS
        }
        Err((report, error)) => {
            eprint!("{report}");
            super::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Starts a plan, lets `beside` run next to it, and stops cleanly at SIGINT and SIGTERM.
///
/// # Errors
/// What brought the pipeline down, with the counters up to then.
pub fn drive<F>(plan: Plan, beside: impl FnOnce(Board) -> F) -> Result<Report, (Report, Error)>
where
    F: Future<Output = ()>,
{
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let started = Run::start(&Arc::new(plan), &clock).map_err(|e| (Report::default(), e))?;
    let board = started.board().clone();
    let stop = started.stopper();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (board.report(), Error::external("no I/O runtime was made").caused_by(e)))?;
    let (report, result) = runtime.block_on(async {
        let ended = tokio::task::spawn_blocking(move || started.wait());
        tokio::pin!(ended);
        let told = stop_when_told(stop);
        let beside = beside(board.clone());
        tokio::pin!(told, beside);
        let mut beside_ended = false;
        loop {
            tokio::select! {
                ended = &mut ended => {
                    break ended.unwrap_or_else(|e| {
                        (board.report(), Err(Error::internal("the run was not waited for").caused_by(e)))
                    });
                }
                never = &mut told => match never {},
                () = &mut beside, if !beside_ended => beside_ended = true,
            }
        }
    });
    result.map(|()| report.clone()).map_err(|error| (report, error))
}

/// Stops the pipeline at the first signal, and the process at the second.
async fn stop_when_told(stop: Stop) -> std::convert::Infallible {
    let handlers = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
    match handlers {
        Ok((mut interrupt, mut terminate)) => {
            for told in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told == 0 {
                    tracing::info!("stopping: what was read is worked off; a second signal ends at once");
                    stop.stop();
                } else {
                    std::process::exit(130);
                }
            }
        }
        Err(error) => tracing::warn!(%error, "signals are not handled; the pipeline cannot be stopped cleanly"),
    }
    std::future::pending().await
}

async fn periodic(board: Board, every: Duration, pipeline: String) {
    if every.is_zero() {
        return;
    }
    loop {
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
                reconnects = object.reconnects,
                sensor_to_sink = object.times.get("sensor_to_sink").map(ToString::to_string),
                "counters"
            );
        }
    }
}
