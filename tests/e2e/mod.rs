//! The real command on real pipeline files, against real servers: what a plant would see, trouble included.
//!
//! Nothing here looks into the engine. A test writes a pipeline file, starts `lineside run`, waits until the outside world shows
//! what it waits for, ends the run as systemd would, and reads the counters that the command prints.

mod joins;
mod kafka;
mod modbus;
mod mqtt;
mod trouble;
mod windows;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Looks that `wait_until` takes, and the pause between them: one minute in all, so that a slow machine is no failure.
const LOOKS: u32 = 3_000;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until the world outside of the test is as the test needs it. The only place where a test lets time pass: other processes do
/// not tell when they have done something.
///
/// # Panics
/// It does not come to be within a minute.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let (_sender, never) = channel::<()>();
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        assert_eq!(never.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout));
    }
    panic!("waited a minute in vain: {what}");
}

/// A folder with a pipeline file and all that belongs to it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the temporary folder can be written");
    }

    fn append(&self, name: &str, text: &str) {
        let file = File::options().append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the file is there");
    }

    /// What is in a file by now; nothing if it is not there.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// How many complete lines a file has by now, also while it is still being written.
    fn lines(&self, name: &str) -> usize {
        let count = |name: &str| self.read(name).bytes().filter(|byte| *byte == b'\n').count();
        count(name).max(count(&format!("{name}.partial")))
    }

    /// The lines of a complete file.
    fn json(&self, name: &str) -> Vec<Value> {
        let lines = |text: &str| text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>();
        let text = fs::read_to_string(self.path(name)).expect("the file is complete");
        lines(&text).expect("a sink writes JSON")
    }

    /// Starts `lineside run` on this text as the pipeline file.
    fn start(&self, pipeline: &str) -> Run {
        self.write("pipeline.toml", pipeline);
        let log = self.path("log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_lineside"))
            .args(["run", "--json"])
            .arg(self.path("pipeline.toml"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the temporary folder can be written"))
            .spawn()
            .expect("the command was built with the tests");
        let out = process.stdout.take().expect("the standard output is a pipe");
        Run { process, out, log }
    }

    /// Runs a pipeline to its end.
    fn run(&self, pipeline: &str) -> Ended {
        self.start(pipeline).end()
    }
}

/// A running `lineside run`; killed if the test fails in between.
struct Run {
    process: Child,
    out: ChildStdout,
    log: PathBuf,
}

impl Run {
    /// What it has logged so far.
    fn log(&self) -> String {
        read(&self.log)
    }

    fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says \"{text}\""), || self.log().contains(text));
    }

    /// Ends it as systemd would, and waits.
    fn stop(mut self) -> Ended {
        let running = self.process.try_wait().expect("it is our child").is_none();
        assert!(running, "it ended before it was stopped:\n{}", self.log());
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(told.expect("there is a command kill").success());
        self.end()
    }

    /// Waits for its end.
    fn end(mut self) -> Ended {
        let mut status = None;
        wait_until("the command ends", || {
            status = self.process.try_wait().expect("it is our child");
            status.is_some()
        });
        let mut out = String::new();
        self.out.read_to_string(&mut out).expect("the command prints UTF-8");
        let log = self.log();
        let report = serde_json::from_str(&out).unwrap_or(Value::Null);
        Ended { code: status.and_then(|status| status.code()), report, log }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// How a run ended.
struct Ended {
    code: Option<i32>,
    report: Value,
    log: String,
}

impl Ended {
    /// Ended in good order.
    #[track_caller]
    fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.log);
        assert!(self.report.is_object(), "no counters were printed:\n{}", self.log);
        self
    }

    #[track_caller]
    fn object(&self, name: &str) -> &Value {
        let objects = self.report["objects"].as_array().expect("the report lists objects");
        objects.iter().find(|object| object["name"] == name).expect("the pipeline has this object")
    }

    /// One of the numbers that every object has, such as `rows_in`.
    #[track_caller]
    fn number(&self, name: &str, counter: &str) -> u64 {
        self.object(name)[counter].as_u64().expect("a number")
    }

    /// What left the dataflow at an object, by reason.
    #[track_caller]
    fn dropped(&self, name: &str) -> BTreeMap<String, u64> {
        serde_json::from_value(self.object(name)["dropped"].clone()).expect("counts by reason")
    }
}

/// Counts by reason, as [`Ended::dropped`] gives them.
fn reasons<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect()
}

/// A trace that comes with the project.
fn trace(name: &str) -> String {
    format!("{}/loadtest/traces/{name}.parquet", env!("CARGO_MANIFEST_DIR"))
}
