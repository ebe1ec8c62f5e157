//! lineside as one more peer in a comparison of engines: runs one job and prints one JSON line about it.
//!
//! `peer [--workers N] w1|w1s|w2|w2s|w3|w3r mem|parquet|csv ROWS` reads prepared rows as fast as it can,
//! `peer [--workers N] w4a|w4w|w4t RATE SECONDS` makes rows at a fixed rate and measures how late results are. The job is an
//! ordinary pipeline file, read, planned and run as `lineside run` would; only the source in memory, the paced source and the
//! sink that checks the results are this program's own. `loadtest/peers/README.md` has the workloads and what was measured.

mod alone;
mod check;
mod columns;
mod job;
mod kinds;
mod latency;
mod paced;
mod stopwatch;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use check::{Check, Values, Windows};
use clap::Parser;
use columns::Data;
use job::{Input, Job, Workload};
use kinds::{Checked, PacedKind};
use latency::{Alarms, LateWindows};
use lineside::clock::SystemClock;
use lineside::config::Config;
use lineside::observe::Report;
use lineside::plan::{Registries, build};
use lineside::run::Run;
use lineside_connectors::ConnectorKind;
use lineside_connectors::file::FileKind;
use lineside_connectors::memory::PreparedKind;
use lineside_model::{Clock, Reason};
use paced::Schedule;
use serde_json::{Value, json};
use stopwatch::Stopwatch;

/// Runs one job of the comparison.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many workers share the work.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// What is computed.
    workload: Workload,
    /// mem, parquet or csv; for w4a, w4w and w4t the rate, in events a second.
    input: String,
    /// How many rows; for w4a, w4w and w4t how many seconds.
    count: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let &Arguments { workload, workers, count, .. } = arguments;
    let data = Data::folder()?;
    let watch = Arc::new(Stopwatch::default());
    let mut kinds: Vec<&'static dyn ConnectorKind> = vec![&FileKind];
    let (input, rows, check): (_, _, Box<dyn Check>) = match workload {
        Workload::W4a | Workload::W4w | Workload::W4t => {
            let rate = arguments.input.parse::<u64>()?;
            let schedule = Schedule { rate, rows: rate * count };
            kinds.push(leak(PacedKind { schedule, watch: Arc::clone(&watch) }));
            let check: Box<dyn Check> = match workload {
                Workload::W4w => Box::new(LateWindows::new(&watch)),
                _ => Box::new(Alarms::new(&watch)),
            };
            (Input::Paced, schedule.rows, check)
        }
        _ => {
            let input = arguments.input.parse()?;
            if input == Input::Mem {
                kinds.push(leak(PreparedKind(data.rows(workload, usize::try_from(count)?)?)));
            }
            let check: Box<dyn Check> = match workload {
                Workload::W3 | Workload::W3r => Box::<Values>::default(),
                _ => Box::<Windows>::default(),
            };
            (input, count, check)
        }
    };
    let check = Arc::new(Mutex::new(check));
    kinds.push(leak(Checked(Arc::clone(&check))));
    let job = Job { workload, input, workers, path: data.file(workload, input) };

    watch.start();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    match workload {
        Workload::W4t => alone::run(Schedule { rate: arguments.input.parse()?, rows }, &watch, &check, clock)?,
        _ => {
            let config = Config::parse(Path::new("peer.toml"), job.pipeline(), &|_| None)?;
            let plan = build(&config, &Registries { connectors: &kinds, ..Registries::BUILD })?;
            let (report, result) = Run::start(&Arc::new(plan), &clock)?.wait();
            result?;
            check_books(&report, rows)?;
        }
    }
    let seconds = watch.elapsed().as_secs_f64();

    let mut line = json!({
        "workload": workload.word(), "peer": "lineside", "version": env!("CARGO_PKG_VERSION"), "input": input.word(),
        "workers": workers, "rows": rows, "seconds": seconds, "rows_per_s": rows as f64 / seconds,
    });
    let told = check.lock().unwrap_or_else(PoisonError::into_inner).tell();
    line.as_object_mut().into_iter().for_each(|line| line.extend(told.clone()));
    if input == Input::Paced {
        line["rate"] = arguments.input.parse::<u64>()?.into();
    }
    Ok(line)
}

/// A run counts only if every row was read, and none was dropped but by the query.
fn check_books(report: &Report, rows: u64) -> Result<(), String> {
    let read = report.objects.first().map_or(0, |source| source.rows_in);
    let mut dropped = report.objects.iter().flat_map(|object| object.dropped.keys());
    if read != rows || dropped.any(|reason| *reason != Reason::Filtered.word()) {
        return Err(format!("{rows} rows were to be read, and none to be dropped but by the query:\n{report}"));
    }
    Ok(())
}

/// Connectors live as long as the program, which runs one job.
fn leak<T>(kind: T) -> &'static T {
    Box::leak(Box::new(kind))
}
