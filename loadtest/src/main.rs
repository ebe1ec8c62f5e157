//! The `lineside-loadtest` command: drives the engine as a plant would, and tells what it found.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
