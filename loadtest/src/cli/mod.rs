//! The command line: `lineside-loadtest VERB …`. Each verb is a file of its own.
//!
//! Exit codes: 0 all limits were held, 1 one was not, 2 the command could not be carried out.

mod compare;
mod max_rate;
mod progress;
mod relay;
mod run;
mod sweep;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lineside_loadtest::case::Case;
use lineside_loadtest::outcome::Outcome;
use lineside_model::{Error, Result};
use serde::Serialize;

/// Drives the lineside engine as a plant would: feeds it, watches what comes out, and tells what was held.
#[derive(Debug, Parser)]
#[command(name = "lineside-loadtest", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    MaxRate(max_rate::MaxRate),
    Compare(compare::Compare),
    Sweep(sweep::Sweep),
    #[command(hide = true)]
    Relay(relay::Relay),
}

impl Cli {
    /// Carries out the command, tells what went wrong, and gives the exit code.
    pub(crate) fn run(self) -> ExitCode {
        let carried_out = match self.verb {
            Verb::Run(run) => run.run(),
            Verb::MaxRate(max_rate) => max_rate.run(),
            Verb::Compare(compare) => compare.run(),
            Verb::Sweep(sweep) => sweep.run(),
            Verb::Relay(relay) => relay.run(),
        };
        match carried_out {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                let hint = error.cure().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                // If standard error is closed there is nobody left to tell; the exit code still says it.
                writeln!(std::io::stderr(), "error: {error}{hint}").ok();
                ExitCode::from(2)
            }
        }
    }
}

/// Which case, and how much of it.
#[derive(Debug, Args)]
struct Which {
    /// The case: a folder in loadtest/cases, or the path of a folder.
    case: String,
    /// Measure so many seconds, in place of those of the case.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Send so many messages a second, in place of those of the case.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Set a parameter of the case, such as sensors=10000; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write sensors=10000")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Which {
    fn open(&self) -> Result<Case> {
        self.open_with(&self.set)
    }

    /// The same with one more parameter set.
    fn open_at(&self, parameter: &str, value: &str) -> Result<Case> {
        let mut settings = self.set.clone();
        settings.push((parameter.to_owned(), value.to_owned()));
        self.open_with(&settings)
    }

    fn open_with(&self, settings: &[(String, String)]) -> Result<Case> {
        let mut case = Case::open_with(&self.case, settings)?;
        if let Some(seconds) = self.seconds {
            case = case.over(seconds)?;
        }
        match self.rate {
            Some(rate) => case.at_rate(rate),
            None => Ok(case),
        }
    }
}

/// Runs a case once, with a line that tells how far it is.
fn run_once(case: &Case, lineside: &Path) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::external("no I/O runtime was made").caused_by(error))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = lineside_loadtest::run::run(case, lineside, progress::tell) => outcome,
            // Broker and engine end with what is dropped here.
            _ = tokio::signal::ctrl_c() => Err(Error::user("stopped before the end")),
        }
    })
}

/// The engine: the one that was named, or the one that was built with this program.
fn engine(named: Option<PathBuf>) -> Result<PathBuf> {
    let Some(named) = named else {
        let own = std::env::current_exe()
            .map_err(|error| Error::external("where this program is cannot be told").caused_by(error))?;
        return Ok(own.with_file_name("lineside"));
    };
    Ok(named)
}

/// Prints to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)
        .map_err(|error| Error::external(format!("cannot write {}", file.display())).caused_by(error))
}

fn write_json(file: &Path, what: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(what)
        .map_err(|error| Error::internal("the JSON file was not written").caused_by(error))?;
    write(file, &text)
}
