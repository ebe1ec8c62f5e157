//! The `lineside-loadtest` command: drives the engine as a plant would, and tells what it found.
//!
//! Exit codes: 0 all limits were held, 1 one was not, 2 the command could not be carried out.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lineside_loadtest::case::Case;
use lineside_loadtest::report;
use lineside_loadtest::run::{Progress, run};
use lineside_model::{Error, Result};

/// Where no one looks all the time, so often a line is printed, in seconds.
const LINE_EVERY: u64 = 5;

/// Drives the lineside engine as a plant would: feeds it, watches what comes out, and tells what was held.
#[derive(Debug, Parser)]
#[command(name = "lineside-loadtest", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Run),
}

/// Run a case once, and tell whether its limits were held.
#[derive(Debug, Args)]
struct Run {
    /// The case: a folder in loadtest/cases, or the path of a folder.
    case: String,
    /// The engine. Default: beside this program.
    #[arg(long, value_name = "FILE")]
    lineside: Option<PathBuf>,
    /// Write what was measured to a file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it to a file as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Measure so many seconds, in place of those of the case.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Send so many messages a second, in place of those of the case.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

fn main() -> ExitCode {
    let carried_out = match Cli::parse().verb {
        Verb::Run(run) => run.run(),
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

impl Run {
    /// Runs the case; whether all was held.
    fn run(self) -> Result<bool> {
        let mut case = Case::open(&self.case)?;
        if let Some(seconds) = self.seconds {
            case = case.over(seconds)?;
        }
        if let Some(rate) = self.rate {
            case = case.at_rate(rate)?;
        }
        let lineside = self.lineside.map_or_else(beside, Ok)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::external("no I/O runtime was made").caused_by(error))?;
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = run(&case, &lineside, progress) => outcome,
                _ = tokio::signal::ctrl_c() => Err(Error::user("stopped before the end")),
            }
        })?;
        if let Some(file) = self.json {
            let text = report::json(&outcome)
                .map_err(|error| Error::internal("the outcome was not written").caused_by(error))?;
            write(&file, &text)?;
        }
        if let Some(file) = self.html {
            write(&file, &report::html(&outcome))?;
        }
        // A reader that has seen enough, such as `head`, is no failure.
        std::io::stdout().write_all(report::terminal(&outcome).as_bytes()).ok();
        Ok(outcome.held())
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)
        .map_err(|error| Error::external(format!("cannot write {}", file.display())).caused_by(error))
}

/// The engine that was built with this program.
fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|error| Error::external("where this program is cannot be told").caused_by(error))?;
    Ok(own.with_file_name("lineside"))
}

/// One line of a run: over itself on a terminal, seldom elsewhere.
fn progress(progress: Progress<'_>) {
    let Progress { second, seconds, last } = progress;
    let terminal = std::io::stderr().is_terminal();
    if !terminal && !second.is_multiple_of(LINE_EVERY) && second != seconds {
        return;
    }
    let latencies = last.p99.iter().map(|(name, p99)| format!(", {name} p99 {p99:.0} µs")).collect::<String>();
    let line = format!(
        "{second} of {seconds} s: {} sent, {} arrived{latencies}, engine {:.0} % of a core, {:.1} MB",
        last.sent,
        last.arrived,
        last.cpu_percent,
        last.rss_bytes as f64 / 1e6
    );
    let (before, after) = match (terminal, second == seconds) {
        (true, true) => ("\r\x1b[K", "\n"),
        (true, false) => ("\r\x1b[K", ""),
        (false, _) => ("", "\n"),
    };
    // If standard error is closed nobody looks.
    write!(std::io::stderr(), "{before}{line}{after}").ok();
}
