//! `lineside schema`: the JSON schema of the pipeline file, so that an editor completes and checks it.

use clap::Args;

use super::{Failure, print};
use crate::plan::{Registries, file_schema};

/// Print the JSON schema of the pipeline file, for editors.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self) -> Result<(), Failure> {
        print(&format!("{:#}\n", file_schema(&Registries::BUILD)))
    }
}
