//! The command line: `lineside VERB …`. Each verb is a file of its own.
//!
//! Exit codes: 0 all is well, 1 something is wrong with the pipeline file, 2 the command could not be carried out (usage, a
//! file that cannot be read).

mod check;
mod demo;
mod explain;
mod list;
mod log;
mod replay;
mod run;
mod schema;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lineside_model::Error;

use crate::config::{Config, ReadError, Report};
use crate::plan::{Plan, Registries, build};

/// A stream-processing engine that stands at the side of a production line.
#[derive(Debug, Parser)]
#[command(name = "lineside", version, arg_required_else_help = true)]
pub struct Cli {
    /// Log lines as text or as JSON, on standard error. What is logged is set by RUST_LOG (default: info).
    #[arg(long, value_enum, default_value = "text", global = true)]
    log: log::Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Demo(demo::Demo),
    Replay(replay::Replay),
    Check(check::Check),
    Explain(explain::Explain),
    Schema(schema::Schema),
    List(list::List),
}

/// Why a verb did not succeed.
#[derive(Debug)]
pub enum Failure {
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
    /// Carries out the command.
    ///
    /// # Errors
    /// What is wrong with the pipeline file, or why the command could not be carried out.
    pub fn run(self) -> Result<(), Failure> {
        log::start(self.log);
        match self.verb {
            Verb::Run(run) => run.run(),
            Verb::Demo(demo) => demo.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::Check(check) => check.run(),
            Verb::Explain(explain) => explain.run(),
            Verb::Schema(schema) => schema.run(),
            Verb::List(list) => list.run(),
        }
    }
}

impl Failure {
    /// Tells the user on standard error, and gives the exit code.
    pub fn tell(&self) -> ExitCode {
        // If standard error is closed there is nobody left to tell; the exit code still says it.
        match self {
            Self::Problems(report) => {
                let count = report.findings().len();
                let s = if count == 1 { "" } else { "s" };
                let _closed = writeln!(std::io::stderr(), "{report}{count} problem{s} found");
                ExitCode::from(1)
            }
            Self::Told => ExitCode::from(1),
            Self::Failed(error) => {
                let hint = error.cure().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                let _closed = writeln!(std::io::stderr(), "error: {error}{hint}");
                ExitCode::from(2)
            }
        }
    }
}

/// Prints to standard error. If that is closed there is nobody left to tell.
fn tell(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).ok();
}

/// Reads and plans a pipeline file with the process's environment and everything in this build.
fn plan(file: &Path) -> Result<Plan, Failure> {
    plan_with(file, &|name| std::env::var(name).ok())
}

/// Reads and plans a pipeline file with another environment.
fn plan_with(file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Failure> {
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
