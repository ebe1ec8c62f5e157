//! One run of a case, from the first process started to the last message accounted for.
//!
//! Broker, plant and engine are started in this order, and the feeds begin when the engine has subscribed and is watched: so
//! each message from the first on is in the books. After the warm-up it is measured for the seconds of the case; then the
//! feeds have ended by themselves, what is under way has time to arrive, the engine is stopped as a service manager does it,
//! and the books are closed against its own final counters.

mod closing;
mod ready;
mod schedule;
mod stage;
mod watching;

use std::path::Path;
use std::time::Duration;

use lineside_model::Result;

use crate::case::Case;
use crate::engine::Engine;
use crate::machine;
use crate::measure::recovery;
use crate::outcome::{Outcome, Second};
use stage::Stage;

/// How often one looks whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How far a run is, told each second.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Seconds since the feeds began; the first of them are warm-up.
    pub second: u64,
    /// Seconds there are in all.
    pub seconds: u64,
    /// What happened in the last of them.
    pub last: &'a Second,
}

/// Runs a case against an engine.
///
/// # Errors
/// Something could not be started, ended by itself, or lost its connection. A limit that is not held is no error: it is in
/// the outcome.
pub async fn run(case: &Case, lineside: &Path, mut tell: impl FnMut(Progress<'_>)) -> Result<Outcome> {
    let version = Engine::version(lineside)?;
    let mut stage = Stage::start(case, lineside).await?;
    let mut outcome = Outcome {
        case: case.name.clone(),
        goal: case.goal.clone(),
        seed: case.seed,
        started: stage.started(),
        seconds: case.seconds as f64,
        rate: case.rate(),
        machine: machine::machine(version),
        ..Outcome::default()
    };
    let seconds = case.warm_up + case.seconds;
    for second in 0..seconds {
        tokio::time::sleep_until((stage.begins() + Duration::from_secs(second + 1)).into()).await;
        let last = stage.second(second)?;
        tell(Progress { second: second + 1, seconds, last: &last });
        if second >= case.warm_up {
            outcome.timeline.push(last);
        }
    }
    stage.close(&mut outcome).await?;
    for (name, watch) in &case.watches {
        let Some(rush) = case.feeds.get(&watch.feed).and_then(|feed| feed.messages.rush) else { continue };
        // A second that the end of the rush cuts is part of the rush.
        let end = rush.end().saturating_sub(Duration::from_secs(case.warm_up)).as_secs_f64().ceil() as usize;
        let found = recovery(&outcome.timeline, name, end, watch.in_time());
        outcome.recoveries.extend(found.map(|micros| (name.clone(), micros)));
    }
    let judged = case.limits.iter().map(|rule| rule.judge(&outcome)).collect::<Vec<_>>();
    outcome.limits.extend(judged);
    Ok(outcome)
}
