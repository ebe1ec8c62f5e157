//! The `lineside` command: parses the command line, carries it out, and is the only place that tells what went wrong.

use std::process::ExitCode;

use clap::Parser;
use lineside::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
