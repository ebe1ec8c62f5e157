//! The relay as a program of its own, as the engine is one: what it shares with the feeders, memory and caches, would make it quicker
//! than any program can be that a user puts in its place.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use lineside_model::{Error, Result};

use crate::watch::Subscriber;

/// The verb by which this program is a relay; only [`Relay::start`] uses it.
pub const VERB: &str = "relay";
/// What it says when it has subscribed.
const READY: &str = "subscribed";

/// A relay that runs; dropping it ends it.
#[derive(Debug)]
pub struct Relay(Child);

impl Relay {
    /// Starts this program once more, as a relay. It has subscribed when this returns.
    ///
    /// # Errors
    /// The program cannot be started, or its broker not reached; then it has said why on standard error.
    pub fn start(port: u16, filter: &str, to: &str) -> Result<Self> {
        let cannot = |error: std::io::Error| Error::external("the relay cannot be started").caused_by(error);
        let program = std::env::current_exe().map_err(cannot)?;
        let mut process = Command::new(program)
            .args([VERB, &port.to_string(), filter, to])
            // It ends when this is closed, even if we do not get to say so.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let mut told = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut told).map_err(cannot)?;
        }
        let mut relay = Self(process);
        if told.trim_end() == READY {
            Ok(relay)
        } else {
            relay.check().and(Err(Error::external("the relay said nothing")))
        }
    }

    /// Whether it still forwards.
    ///
    /// # Errors
    /// It has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::external(format!("ended by itself ({status})"))),
            Err(error) => Err(Error::external("cannot be watched").caused_by(error)),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already, and nothing of it is needed any more.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the program does as a relay: forwards until its standard input is closed.
///
/// # Errors
/// The broker cannot be reached, refuses, or is lost.
pub fn forward(port: u16, filter: &str, to: &str) -> Result<()> {
    let mut relay = Subscriber::relay(port, VERB, filter, to)?;
    println!("{READY}");
    let (closed, input) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        drop(closed);
    });
    while input.recv_timeout(std::time::Duration::from_secs(1)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        relay.check()?;
    }
    Ok(())
}
