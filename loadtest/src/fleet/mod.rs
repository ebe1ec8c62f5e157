//! A hall full of PLCs: a hundred or more behind Modbus TCP, ten thousand registers each, on one thread.
//!
//! They answer at once and keep the outside view of whoever polls them: when each poll arrived, so that jitter and missed
//! polls can be told, what was written, and how long after its reading. A poll of many registers comes as many requests; it begins whenever the very
//! request arrives again that the PLC saw first.
//!
//! | table | address | what |
//! | --- | --- | --- |
//! | input | any | a level of its own, 0 to 4,095, and on top 0 to 15 of noise, new every 100 ms |
//! | holding | any | at first the level, then what was last written |
//!
//! Each PLC listens on a port of its own and answers to unit 1. Beyond the last register there is exception 2; for more than
//! 125 registers at once, exception 3.

mod jitter;
mod plc;
mod server;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use lineside_model::{Error, Result, Span, Timestamp};
use serde::Deserialize;
use tokio::sync::oneshot;

pub use jitter::Jitter;

use plc::Plc;
use server::Hall;

use crate::apart::set_apart;

/// The longest time from reading to write that is told apart, µs.
const REACTION_US_MAX: u64 = 60_000_000;

/// How many PLCs, and how large.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetOptions {
    /// PLCs. Default 100.
    pub plcs: u16,
    /// Registers of each, both input and holding. Default 10,000.
    pub registers: u16,
    /// What levels and noise are made from. Default 1.
    pub seed: u64,
    /// Whether they are to answer at once however full this machine is, where the system permits it. Default: no.
    pub apart: bool,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { plcs: 100, registers: 10_000, seed: 1, apart: false }
    }
}

/// Registers that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetWrite {
    /// When it arrived.
    pub at: Timestamp,
    /// The PLC, counted from 0.
    pub plc: usize,
    /// The first register.
    pub address: u16,
    /// What was written.
    pub words: Vec<u16>,
}

/// PLCs that run; dropping them closes their connections.
#[derive(Debug)]
pub struct Fleet {
    hall: Arc<Hall>,
    ports: Vec<u16>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts the PLCs, each on a free loopback port.
    ///
    /// # Errors
    /// There are none, or the machine has not so many ports or descriptors.
    pub fn start(options: &FleetOptions) -> Result<Self> {
        for (option, value) in [("plcs", options.plcs), ("registers", options.registers)] {
            if value == 0 {
                return Err(Error::user(format!("option \"{option}\" expects at least 1, found 0")));
            }
        }
        let cannot = |error: std::io::Error| {
            Error::external(format!("cannot start {} simulated PLCs", options.plcs))
                .hint("each needs a port and descriptors: see `ulimit -n`")
                .caused_by(error)
        };
        let (mut listeners, mut ports, mut plcs) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..options.plcs {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
            listener.set_nonblocking(true).map_err(cannot)?;
            ports.push(listener.local_addr().map_err(cannot)?.port());
            listeners.push(listener);
            plcs.push(Plc::new(options.seed, number, options.registers));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        let hall = Arc::new(Hall::new(plcs));
        let (stop, stopped) = oneshot::channel();
        let (served, apart) = (Arc::clone(&hall), options.apart);
        let thread = std::thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || {
                if apart {
                    set_apart();
                }
                runtime.block_on(server::serve(listeners, served, stopped));
            })
            .map_err(cannot)?;
        Ok(Self { hall, ports, stop: Some(stop), thread: Some(thread) })
    }

    /// The loopback ports of the PLCs, in their order.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Polls of a PLC that have arrived.
    pub fn poll_count(&self, plc: usize) -> u64 {
        self.hall.plc(plc).map_or(0, |plc| plc.poll_count)
    }

    /// When the polls of a PLC arrived, since the start of the fleet; of many the latest 100,000.
    pub fn polls(&self, plc: usize) -> Vec<Duration> {
        self.hall.plc(plc).map_or_else(Vec::new, |plc| plc.polls.iter().copied().map(Duration::from_nanos).collect())
    }

    /// How evenly all PLCs were polled, if each is polled this often.
    pub fn jitter(&self, period: Span) -> Jitter {
        let mut jitter = Jitter::default();
        for plc in 0..self.ports.len() {
            jitter.add(&self.polls(plc), period.to_std());
        }
        jitter
    }

    /// Time from the last reading of an input register to the write of the holding register of the same address, in µs, of all
    /// PLCs: sensor to setpoint as they see it, the engine and both ways over the wire included.
    pub fn reaction(&self) -> Histogram<u64> {
        self.hall.reaction().clone()
    }

    /// Registers that were written, at all PLCs.
    pub fn write_count(&self) -> u64 {
        (0..self.ports.len()).filter_map(|plc| self.hall.plc(plc).map(|plc| plc.write_count)).sum()
    }

    /// The latest writes to each PLC, oldest first; at most 4,096 of each.
    pub fn writes(&self) -> Vec<FleetWrite> {
        let of = |plc| self.hall.plc(plc).map_or_else(Vec::new, |found| found.writes.iter().cloned().collect());
        let mut writes = (0..self.ports.len()).flat_map(of).collect::<Vec<FleetWrite>>();
        writes.sort_by_key(|write| write.at);
        writes
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the simulated PLCs panicked");
        }
    }
}

/// Nothing measured yet, in µs.
fn reaction() -> Histogram<u64> {
    Histogram::new_with_max(REACTION_US_MAX, 3).expect("1 minute in µs with 3 digits is a valid range")
}
