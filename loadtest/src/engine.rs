//! The engine under test: the real program, started and stopped as a service manager does it, and watched from outside.
//!
//! What it uses is read from `/proc`, as any monitoring would; what it counted is in the report that it prints at its end.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lineside_model::{Error, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock;

/// How long an engine may take to work off what it has read.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often one looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Where its log and its report go, in a folder of its own.
const LOG: &str = "log";
const REPORT: &str = "report.json";
/// So much of its log is told when it fails.
const LOG_LINES: usize = 12;

/// A running engine; dropping it kills it.
#[derive(Debug)]
pub struct Engine {
    process: Child,
    folder: TempDir,
    started: Instant,
    /// When it was sampled last, and the processor time of each of its threads then, in nanoseconds.
    sampled: (Instant, HashMap<OsString, u64>),
}

/// What the engine uses, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor time since the last sample, in percent of one core.
    pub cpu_percent: f64,
    /// Memory in use, in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Engine {
    /// Starts `lineside run` on a pipeline file, with these variables for it to fill in.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path, pipeline: &Path, environment: &[(String, String)]) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::user(format!("cannot start the engine {}", program.display()))
                .hint("build it with \"cargo build --release\", or name another with --lineside")
                .caused_by(error)
        };
        let folder = tempfile::tempdir().map_err(cannot)?;
        let file = |name: &str| File::create(folder.path().join(name)).map_err(cannot);
        let process = Command::new(program)
            .args(["run", "--json"])
            .arg(pipeline)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file(REPORT)?)
            .stderr(file(LOG)?)
            .spawn()
            .map_err(cannot)?;
        let started = clock::monotonic();
        Ok(Self { process, folder, started, sampled: (started, HashMap::new()) })
    }

    /// What a program calls itself: `lineside --version`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn version(program: &Path) -> Result<String> {
        let told = Command::new(program).arg("--version").output().map_err(|error| {
            Error::user(format!("cannot start the engine {}", program.display()))
                .hint("build it with \"cargo build --release\", or name another with --lineside")
                .caused_by(error)
        })?;
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended by itself; the error has the end of its log.
    pub fn check(&mut self) -> Result<()> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(&format!("ended by itself ({status})"))),
            Err(error) => Err(Error::external("the engine cannot be watched").caused_by(error)),
        }
    }

    /// What it uses now.
    ///
    /// # Errors
    /// It has ended by itself.
    pub fn sample(&mut self) -> Result<Usage> {
        self.check()?;
        let folder = PathBuf::from(format!("/proc/{}", self.process.id()));
        let read = |name: &str| {
            fs::read_to_string(folder.join(name))
                .map_err(|error| Error::external("what the engine uses cannot be read from /proc").caused_by(error))
        };
        let now = (clock::monotonic(), cpu_nanos(&folder.join("task")));
        let before = std::mem::replace(&mut self.sampled, now);
        let between = self.sampled.0.duration_since(before.0).as_secs_f64().max(1e-3);
        let used = self.sampled.1.iter().map(|(thread, nanos)| nanos - before.1.get(thread).unwrap_or(&0).min(nanos));
        let used = used.sum::<u64>();
        let descriptors = fs::read_dir(folder.join("fd")).map_or(0, |open| open.count() as u64);
        Ok(Usage {
            cpu_percent: used as f64 / 1e9 / between * 100.0,
            rss_bytes: rss_bytes(&read("status")?).unwrap_or(0),
            descriptors,
        })
    }

    /// Ends it as a service manager does, waits until it has worked off what it had read, and gives its final counters.
    ///
    /// # Errors
    /// It ended with a failure, or does not end.
    pub fn stop(mut self) -> Result<Value> {
        self.check()?;
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        if !told.is_ok_and(|status| status.success()) {
            return Err(Error::external("the engine was not told to stop").hint("there must be a command \"kill\""));
        }
        let until = clock::monotonic() + PATIENCE;
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if clock::monotonic() < until => wait(LOOK_EVERY),
                Ok(None) => return Err(self.failed("does not end")),
                Err(error) => return Err(Error::external("the engine cannot be watched").caused_by(error)),
            }
        };
        if !status.success() {
            return Err(self.failed(&format!("did not end well ({status})")));
        }
        let text = fs::read_to_string(self.folder.path().join(REPORT)).unwrap_or_default();
        serde_json::from_str(&text)
            .map_err(|error| Error::external("the engine printed no report at its end").caused_by(error))
    }

    fn failed(&self, how: &str) -> Error {
        let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines = log.lines().collect::<Vec<_>>();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n    ");
        Error::external(format!("the engine {how}; the end of its log:\n    {last}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "a process that ends sends nothing that could be waited for")]
fn wait(so_long: Duration) {
    std::thread::sleep(so_long);
}

/// Processor time of each thread of a process, in nanoseconds, from `schedstat`: that in `stat` is counted in steps of 10 ms, in
/// which an engine with little to do is not seen at all.
fn cpu_nanos(tasks: &Path) -> HashMap<OsString, u64> {
    let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
    let told = threads.filter_map(|thread| {
        let told = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), told.split(' ').next()?.parse().ok()?))
    });
    told.collect()
}

/// Memory of a process from `/proc/PID/status`.
fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_told_of_each_thread() {
        let tasks = tempfile::tempdir().expect("a temporary folder");
        for (thread, told) in [("71", "250000 12 3\n"), ("72", "900 0 1\n"), ("73", "")] {
            fs::create_dir(tasks.path().join(thread)).expect("a folder");
            fs::write(tasks.path().join(thread).join("schedstat"), told).expect("a file");
        }
        let told = cpu_nanos(tasks.path());
        assert_eq!(told, HashMap::from([(OsString::from("71"), 250_000), (OsString::from("72"), 900)]));
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(rss_bytes("Name:\tlineside\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(rss_bytes("Name:\tlineside\n"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let error = Engine::start(Path::new("/nowhere/lineside"), Path::new("pipeline.toml"), &[]);
        let error = error.expect_err("there is no such program");
        assert!(error.to_string().starts_with("cannot start the engine /nowhere/lineside"), "{error}");
        assert!(error.cure().is_some());
    }
}
