//! `lineside-loadtest max-rate --p99 10ms CASE`: the highest rate at which all is held.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use lineside_loadtest::case::RELAY;
use lineside_loadtest::outcome::Machine;
use lineside_loadtest::report;
use lineside_loadtest::report::units::digits;
use lineside_loadtest::search::{Range, Search, Sought, Trial, Verdict};
use lineside_model::{Result, Span};

use super::Which;

/// The rates that are tried, in messages a second.
const LEAST: f64 = 100.0;
const MOST: f64 = 10_000_000.0;

/// Find the highest rate at which all limits of a case hold: double, then halve the gap, each rate run until it is sure.
#[derive(Debug, Args)]
pub(super) struct MaxRate {
    #[command(flatten)]
    which: Which,
    /// 99 of 100 of all that is watched come no later than this, in place of what the case says of lengths of time.
    #[arg(long, value_name = "DURATION")]
    p99: Option<Span>,
    /// The engine. Default: beside this program.
    #[arg(long, value_name = "FILE")]
    lineside: Option<PathBuf>,
    /// Write all runs to a file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write them to a file as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl MaxRate {
    /// Searches; whether any rate held.
    pub(super) fn run(self) -> Result<bool> {
        let case = self.which.open()?;
        let lineside = super::engine(self.lineside)?;
        let p99_max = self.p99.map(|p99| p99.micros() as f64);
        let mut search = Search::new(Range { first: case.rate(), least: LEAST, most: MOST });
        let mut machine = Machine::default();
        while let Some(rate) = search.next() {
            let trial = match super::run_once(&case.clone().at_rate(rate)?, &lineside) {
                Ok(outcome) => {
                    let trial = Trial::of(&outcome, p99_max, RELAY);
                    machine = outcome.machine;
                    trial
                }
                // What has run before and breaks down at a higher rate does not hold that rate.
                Err(error) if error.is_retryable() && !search.trials().is_empty() => {
                    let missed = Some(error.to_string());
                    Trial { rate, verdict: Verdict::Missed, p99: 0.0, p99s: BTreeMap::new(), cpu_percent: 0.0, missed }
                }
                Err(error) => return Err(error),
            };
            let how = match trial.verdict {
                Verdict::Held => "held".to_owned(),
                Verdict::NotSent => "not sent".to_owned(),
                Verdict::Missed => format!("missed: {}", trial.missed.as_deref().unwrap_or_default()),
            };
            writeln!(std::io::stderr(), "{}/s {how}", digits(rate)).ok();
            search.tell(trial);
        }
        let sought = Sought { case: case.name, goal: case.goal, p99_max, machine, search };
        if let Some(file) = self.json {
            super::write_json(&file, &sought)?;
        }
        if let Some(file) = self.html {
            super::write(&file, &report::search_html(&sought))?;
        }
        super::print(&format!("{}: {}", sought.case, sought.search));
        Ok(sought.search.highest().is_some())
    }
}
