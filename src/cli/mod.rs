//! The command line: `lineside VERB …`. Each verb is a file of its own.
//!
//! Exit codes: 0 all is well, 1 something is wrong with the pipeline file, 2 the command could not be carried out (usage, a
//! file that cannot be read).

mod check;
mod explain;
mod list;
mod replay;
mod run;
mod schema;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lineside_model::Error;

use crate::config::{Config, Environment, ReadError, Report};
use crate::plan::{Plan, Registries, build};

/// A stream-processing engine that stands at the side of a production line.
#[derive(Debug, Parser)]
#[command(name = "lineside", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Replay(replay::Replay),
    List(list::List),
    Schema(schema::Schema),
}

/// Why a verb did not succeed.
#[derive(Debug)]
enum Failure {
    /// Something is wrong with the pipeline file.
    Problems(Report),
    /// Something is wrong, and was told already.
    Told,
    /// The command could not be carried out.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Cli {
    /// Carries out the command and tells on standard error what went wrong.
    pub fn run(self) -> ExitCode {
        let done = match self.verb {
            Verb::Run(run) => run.run(),
            Verb::Check(check) => check.run(),
            Verb::Explain(explain) => explain.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::List(list) => list.run(),
            Verb::Schema(schema) => schema.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.tell(),
        }
    }
}

impl Failure {
    /// Tells the user, and gives the exit code.
    fn tell(&self) -> ExitCode {
        match self {
            Self::Problems(report) => {
                let count = report.findings().len();
                let s = if count == 1 { "" } else { "s" };
                print_to_user(&format!("{report}{count} problem{s} found\n"));
                ExitCode::from(1)
            }
            Self::Told => ExitCode::from(1),
            Self::Failed(error) => {
                print_error(error);
                ExitCode::from(2)
            }
        }
    }
}

/// Tells an error with all that caused it, and the cure where it is known.
fn print_error(error: &Error) {
    let hint = error.cure().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    print_to_user(&format!("error: {error}\n{hint}"));
}

/// Prints to standard error. If that is closed there is nobody left to tell; the exit code still says it.
fn print_to_user(text: &str) {
    let _closed = std::io::stderr().write_all(text.as_bytes());
}

/// Reads and plans a pipeline file with the process's environment and everything in this build.
fn plan(file: &Path) -> Result<Plan, Failure> {
    plan_with(file, &|name| std::env::var(name).ok())
}

/// Reads and plans a pipeline file with this environment and everything in this build.
fn plan_with(file: &Path, environment: Environment<'_>) -> Result<Plan, Failure> {
    let config = Config::load(file, environment).map_err(|error| match error {
        ReadError::Syntax(report) => Failure::Problems(report),
        ReadError::Unreadable(error) => Failure::Failed(error),
    })?;
    build(&config, &Registries::BUILD).map_err(Failure::Problems)
}

/// Prints to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::external("standard output was not written").caused_by(error).into())
        }
        _ => Ok(()),
    }
}
