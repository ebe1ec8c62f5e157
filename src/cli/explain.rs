//! `lineside explain FILE`: what the engine will do, before it does it.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, plan, print};
use crate::graph::Layout;

/// Print the plan of a pipeline file: graph, columns, windows, bounds, poll plans.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The pipeline file.
    file: PathBuf,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let plan = plan(&self.file)?;
        print(&(plan.explain() + &Layout::of(&plan).explain(&plan)))
    }
}
