//! `lineside-loadtest run CASE`: one run, and whether all was held.

use std::path::PathBuf;

use clap::Args;
use lineside_loadtest::report;
use lineside_model::{Error, Result};

use super::Which;

/// Run a case once, and tell whether its limits were held.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    which: Which,
    /// The engine. Default: beside this program.
    #[arg(long, value_name = "FILE")]
    lineside: Option<PathBuf>,
    /// Write what was measured to a file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it to a file as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(self) -> Result<bool> {
        let case = self.which.open()?;
        let outcome = super::run_once(&case, &super::engine(self.lineside)?)?;
        if let Some(file) = self.json {
            let text = report::json(&outcome)
                .map_err(|error| Error::internal("the JSON file was not written").caused_by(error))?;
            super::write(&file, &text)?;
        }
        if let Some(file) = self.html {
            super::write(&file, &report::html(&outcome))?;
        }
        super::print(&report::terminal(&outcome));
        Ok(outcome.held())
    }
}
