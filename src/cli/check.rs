//! `lineside check FILE`: everything that is wrong with a pipeline file, the files it names and its SQL, at once.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, plan, print};

/// Check a pipeline file with everything it names, and tell all that is wrong at once.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The pipeline file.
    file: PathBuf,
    /// Print a JSON array of problems instead of text.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        match plan(&self.file) {
            Ok(plan) if self.json => print(&format!("{:#}\n", plan.warnings.to_json())),
            Ok(plan) => {
                let (sources, steps, sinks) = (plan.sources.len(), plan.nodes.len(), plan.sinks.len());
                let counts = format!("sources: {sources}, steps: {steps}, sinks: {sinks}");
                print(&format!("{}{}: no problems ({counts})\n", plan.warnings, self.file.display()))
            }
            Err(Failure::Problems(report)) if self.json => {
                print(&format!("{:#}\n", report.to_json()))?;
                Err(Failure::Told)
            }
            Err(failure) => Err(failure),
        }
    }
}
