//! A simulated line: one PLC with three ovens behind a real Modbus TCP server.
//!
//! It runs on a thread of its own, so that it takes no time from the engine's lanes, and its ovens run as much faster than
//! real ones as [`PlantOptions::time_scale`] says. What its registers hold is told in `line.rs`; `examples/oven-line/ovens.csv`
//! is the same as a register map.
//!
//! It also keeps the outside view of the engine: when each command arrived, and how long after the temperature was read.

#[cfg(test)]
mod closed_loop;
mod line;
mod oven;
mod script;
mod server;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lineside_model::{Error, Result, Span, Timestamp};
use tokio::sync::oneshot;

pub use oven::{Build, DOOR_LOSS, GUARD_OFFSET, OVENS};
pub use script::{Disturbance, Script, Trouble};

pub(crate) use line::ANSWERED_KEPT;
use line::Line;
use server::Running;

use crate::apart::set_apart;

/// How to run the plant.
#[derive(Clone, Debug)]
pub struct PlantOptions {
    /// The TCP port on loopback; 0: any free one. Default 0.
    pub port: u16,
    /// How many times faster than real ovens. Default 8.
    pub time_scale: f64,
    /// Seed of the noise. Default 1.
    pub seed: u64,
    /// What goes wrong, and when. Default: [`Script::every_minute`].
    pub script: Script,
    /// A heater falls to 0 % if its power is not written again within this time, as many devices do. Default: never.
    pub watchdog: Option<Span>,
    /// Whether the PLC is to answer at once however full this machine is, where the system permits it. Default: no.
    pub apart: bool,
}

impl Default for PlantOptions {
    fn default() -> Self {
        Self { port: 0, time_scale: 8.0, seed: 1, script: Script::every_minute(1), watchdog: None, apart: false }
    }
}

/// One oven at this moment. Temperatures in °C, power in %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OvenState {
    /// The true temperature of the chamber.
    pub temperature: f64,
    /// What the control thermocouple tells.
    pub measured: f64,
    /// What the guard thermocouple tells.
    pub guard: f64,
    /// Heater power put out.
    pub power: f64,
    /// Set-point as it stands in the PLC.
    pub setpoint: f64,
    /// Whether the door is open.
    pub door_open: bool,
    /// Whether the control thermocouple sticks.
    pub measured_stuck: bool,
    /// Whether the guard thermocouple sticks.
    pub guard_stuck: bool,
    /// Whether the watchdog cut off the heater.
    pub tripped: bool,
}

/// A heater command that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// The oven, counted from 0.
    pub oven: usize,
    /// Power, %.
    pub power: f64,
}

/// A temperature that was read, and the heater command that followed; both so long after the start of the plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The oven, counted from 0.
    pub oven: usize,
    /// When it was read.
    pub read: Duration,
    /// When the command was there.
    pub written: Duration,
}

/// A running plant; dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct Plant {
    running: Arc<Running>,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Plant {
    /// Starts the plant: cold ovens, heaters off.
    ///
    /// # Errors
    /// The port is taken, or the time scale is not a positive number.
    pub fn start(options: PlantOptions) -> Result<Self> {
        let PlantOptions { port, time_scale, seed, script, watchdog, apart } = options;
        if !(time_scale.is_finite() && time_scale > 0.0) {
            return Err(Error::user(format!("the plant's time scale must be a number above 0, found {time_scale}")));
        }
        let cannot = |error: std::io::Error| {
            Error::external(format!("cannot start the simulated PLC on 127.0.0.1:{port}"))
                .hint("choose another port, or 0 for any free one")
                .caused_by(error)
        };
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        let watchdog_s = watchdog.map_or(f64::INFINITY, Span::as_secs_f64);
        let running = Arc::new(Running::new(Line::new(time_scale, watchdog_s, seed, script)));
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&running);
        let thread = std::thread::Builder::new()
            .name("plant".to_owned())
            .spawn(move || {
                if apart {
                    set_apart();
                }
                runtime.block_on(server::serve(listener, served, stopped));
            })
            .map_err(cannot)?;
        Ok(Self { running, port, stop: Some(stop), thread: Some(thread) })
    }

    /// The TCP port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ovens, in their order.
    pub fn state(&self) -> Vec<OvenState> {
        self.running.line().state()
    }

    /// How many heater commands have arrived.
    pub fn write_count(&self) -> u64 {
        self.running.line().write_count
    }

    /// The latest heater commands, oldest first; at most 4,096.
    pub fn writes(&self) -> Vec<Write> {
        self.running.line().writes.iter().copied().collect()
    }

    /// When the plant was started.
    pub fn started(&self) -> Instant {
        self.running.started()
    }

    /// The latest readings that were answered, in the order of the answers; at most 1,048,576.
    pub fn answered(&self) -> Vec<Answered> {
        self.running.line().answered.iter().copied().collect()
    }

    /// Time from the last reading of an oven's temperature to the command that followed, in µs: sensor to write as the
    /// plant sees it, the engine and both ways over the wire included.
    pub fn reaction(&self) -> Histogram<u64> {
        self.running.line().reaction.clone()
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the simulated PLC panicked");
        }
    }
}
