//! The `lineside` command: what it can do is in `lineside::cli`.

use std::process::ExitCode;

use clap::Parser;
use lineside::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
