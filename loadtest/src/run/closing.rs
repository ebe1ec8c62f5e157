//! The end of a run: what is under way arrives, the engine is stopped, and the books are closed.

use std::time::Duration;

use lineside_model::{Error, Result};
use serde_json::Value;

use super::LOOK_EVERY;
use super::stage::Stage;
use crate::case::{Hall, Ovens};
use crate::clock;
use crate::engine::Engine;
use crate::outcome::{Account, Deadline, Latency, Outcome, StageTime};
use crate::plant::OVENS;
use crate::watch::from_due;

/// When nothing has come for so long, nothing more will; after the engine has ended, for so long.
const QUIET: Duration = Duration::from_secs(2);
/// After a storm the engine may be waiting for its next attempt to connect.
const QUIET_AFTER_STORM: Duration = Duration::from_secs(30);
const QUIET_AT_LAST: Duration = Duration::from_millis(300);

impl Stage {
    /// Ends the run: waits for what is under way, stops the engine, and closes the books.
    pub(super) async fn close(mut self, outcome: &mut Outcome) -> Result<()> {
        for (name, feed) in self.feeds.drain(..) {
            let report = feed.finish().await;
            if let Some(error) = report.error {
                return Err(error.of(format_args!("feed \"{name}\"")));
            }
            if report.failed > 0 {
                return Err(Error::external(format!("feed \"{name}\": {} messages were not sent", report.failed)));
            }
        }
        if let Some((fleet, period, _)) = &self.fleet {
            let jitter = fleet.jitter(*period);
            outcome.latencies.insert(Hall::WATCH.to_owned(), Latency::of(&jitter.late));
            let (arrived, lost) = (jitter.polls, jitter.missed);
            let account = Account { expected: arrived + lost, arrived, lost, ..Account::default() };
            outcome.ledgers.insert(Hall::WATCH.to_owned(), account);
        }
        self.until_quiet(if self.storm.is_some() { QUIET_AFTER_STORM } else { QUIET }).await;
        for (measured, second) in (0..).zip(&mut outcome.timeline) {
            // What was late has come by now.
            self.tell_latencies(measured, second);
        }
        outcome.engine = self.engine.take().map_or(Ok(Value::Null), Engine::stop)?;
        self.until_quiet(QUIET_AT_LAST).await;
        for watching in &self.watches {
            watching.close(outcome);
        }
        if let Some((_, Some(writes))) = &self.plant {
            outcome.latencies.insert(Ovens::WATCH.to_owned(), writes.lateness().latency());
        }
        // A hall that is only read has no setpoints.
        if let Some((fleet, _, Some(writes))) = &self.fleet
            && fleet.write_count() > 0
        {
            outcome.latencies.insert(Hall::SETPOINTS.to_owned(), writes.lateness().latency());
        }
        self.tell_writes_from_due(outcome);
        outcome.stages = StageTime::of(&outcome.engine);
        outcome.first_output = self.first_output.map(|took| took.as_nanos() as f64 / 1e3);
        Ok(())
    }

    /// How late setpoints were from when their polls were due, if the case says how often it polls.
    fn tell_writes_from_due(&self, outcome: &mut Outcome) {
        let (Some((plant, _)), Some(ovens)) = (&self.plant, self.ovens) else { return };
        let Some(poll) = ovens.poll else { return };
        let begins = self.begins.saturating_duration_since(plant.started());
        let from = begins + Duration::from_secs(self.warm_up);
        let until = from + Duration::from_secs(outcome.timeline.len() as u64);
        let lateness = from_due(&plant.answered(), OVENS.len(), poll.to_std(), from, until);
        let deadline = ovens.deadline.unwrap_or(poll).to_std();
        let (due, missed) = lateness.later_than(deadline);
        outcome.deadlines.insert(Ovens::FROM_DUE.to_owned(), Deadline::of(deadline, due, missed));
        outcome.latencies.insert(Ovens::FROM_DUE.to_owned(), lateness.latency());
        for (second, told) in outcome.timeline.iter_mut().enumerate() {
            if let Some(of) = lateness.second(second) {
                told.p50.insert(Ovens::FROM_DUE.to_owned(), of.p50);
                told.p99.insert(Ovens::FROM_DUE.to_owned(), of.p99);
                told.max.insert(Ovens::FROM_DUE.to_owned(), of.max);
            }
        }
    }

    /// Waits until all has come that is awaited, or nothing comes any more.
    async fn until_quiet(&mut self, quiet: Duration) {
        let (mut arrived, mut since) = (0, clock::monotonic());
        loop {
            let (mut now, mut missing) = (0, 0);
            for watching in &self.watches {
                let mut books = watching.books.books();
                books.until(Duration::MAX);
                now += books.arrived();
                missing += books.missing();
            }
            if now != arrived {
                (arrived, since) = (now, clock::monotonic());
            }
            if missing == 0 || since.elapsed() >= quiet {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
