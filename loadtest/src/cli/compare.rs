//! `lineside-loadtest compare A B CASE`: two engines in turn, and whether they differ by more than chance.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use lineside_loadtest::compare::{Comparison, PAIRS_LEAST, Side, order};
use lineside_loadtest::engine::Engine;
use lineside_loadtest::report;
use lineside_model::{Error, Result};

use super::Which;

/// Run a case on two engines in turn (A B B A …), and tell the ratio of what they need, with its spread.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The first engine.
    a: PathBuf,
    /// The second.
    b: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Pairs of runs.
    #[arg(long, value_name = "N", default_value_t = PAIRS_LEAST)]
    pairs: usize,
    /// Write the comparison to a file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it to a file as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Compare {
    pub(super) fn run(self) -> Result<bool> {
        if self.pairs == 0 {
            return Err(Error::user("option \"--pairs\" expects at least 1, found 0"));
        }
        let case = self.which.open()?;
        let engines = [Engine::version(&self.a)?, Engine::version(&self.b)?];
        let named = [(&engines[0], &self.a), (&engines[1], &self.b)];
        let named = named.map(|(version, file)| format!("{version} ({})", file.display()));
        let mut runs = Vec::new();
        let order = order(self.pairs);
        for (at, side) in order.iter().enumerate() {
            let (word, file) = match side {
                Side::A => ("A", &self.a),
                Side::B => ("B", &self.b),
            };
            writeln!(std::io::stderr(), "run {} of {}: {word}", at + 1, order.len()).ok();
            runs.push((*side, super::run_once(&case, file)?));
        }
        let comparison = Comparison::of(named, &runs);
        if let Some(file) = self.json {
            super::write_json(&file, &comparison)?;
        }
        if let Some(file) = self.html {
            super::write(&file, &report::comparison_html(&comparison))?;
        }
        super::print(&comparison.to_string());
        Ok(true)
    }
}
