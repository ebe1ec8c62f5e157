//! Made-up plants: any number of sensors, at any rate, with what goes wrong between a sensor and an engine.
//!
//! The same options give the same messages to the last digit, so that what came out of the engine can be checked against
//! what was put in, message by message. Every message has a number and says when it is due, counted from the start of the
//! feed; numbers rise in the order in which messages are sent.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`Messages`] | the messages of a plant, from its [`Options`] |
//! | [`Multiplied`] | a recorded trace, multiplied in sensors and speed |
//! | [`Rush`] | a while in which they tell faster |
//! | [`Signal`] | what the sensors tell: level, noise, drift, steps |
//! | [`Trouble`] | disorder, duplicates, gaps, payloads that cannot be read |
//!
//! ```toml
//! sensors = 500
//! rate = 50_000.0
//! seed = 7
//! signal = { level = 180.0, noise = 0.5, steps = { size = 20.0, every = "30s" } }
//! trouble = { disorder = { fraction = 0.01, by_max = "2s" }, duplicates = 0.001, bad = 0.0001 }
//! ```

mod messages;
mod multiplied;
mod rush;
mod signal;
mod trouble;

use std::time::Duration;

use lineside_model::{Error, Result, Span, Timestamp};
use serde::Deserialize;

pub use messages::Messages;
pub use multiplied::{Multiplied, Multiply};
pub use rush::Rush;
pub use signal::{Signal, Steps};
pub use trouble::{Disorder, Gaps, Trouble};

/// A plant, and how fast it tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Sensors; they tell in turn, each at the same intervals. Default 100.
    pub sensors: u32,
    /// Readings a second, of all sensors together. Default 10,000.
    pub rate: f64,
    /// A while in which they all tell faster. Default: none.
    pub rush: Option<Rush>,
    /// What chance is made from. Default 1.
    pub seed: u64,
    /// So many readings leave together, when the last of them is taken, as a gateway sends after each scan. Default: those
    /// of 100 µs, so that a feeder does not spend a processor on waking up.
    pub burst: Option<u32>,
    /// The readings of so long. Default: without end.
    pub lasts: Option<Span>,
    /// What the sensors tell.
    pub signal: Signal,
    /// What goes wrong. Default: nothing.
    pub trouble: Trouble,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sensors: 100,
            rate: 10_000.0,
            rush: None,
            seed: 1,
            burst: None,
            lasts: None,
            signal: Signal::default(),
            trouble: Trouble::default(),
        }
    }
}

impl Options {
    /// Whether the options make a plant.
    ///
    /// # Errors
    /// An option is out of its range; the error names it.
    pub fn check(&self) -> Result<()> {
        if self.sensors == 0 {
            return Err(Error::user("option \"sensors\" expects at least 1, found 0"));
        }
        check_above_0("rate", self.rate)?;
        self.rush.map_or(Ok(()), |rush| rush.check())?;
        if self.burst == Some(0) {
            return Err(Error::user("option \"burst\" expects at least 1, found 0"));
        }
        if let Some(lasts) = self.lasts.filter(|lasts| *lasts < Span::ZERO) {
            return Err(Error::user(format!("option \"lasts\" expects a positive duration, found \"{lasts}\"")));
        }
        self.signal.check()?;
        self.trouble.check()
    }
}

pub(crate) fn check_above_0(option: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::user(format!("option \"{option}\" expects a number above 0, found {value}")))
}

/// What a message is to the one who keeps the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A reading, for the first time.
    #[default]
    Good,
    /// The message before it once more, with the same number.
    Duplicate,
    /// It has a number of its own, and its payload cannot be read.
    Bad,
}

/// One message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Message {
    /// Counted from 0 in the order of sending; a duplicate has the number of its original.
    pub number: u64,
    /// When it is to leave, since the start of the feed.
    pub due: Duration,
    /// The sensor, counted from 0.
    pub sensor: u32,
    /// When the reading was taken.
    pub ts: Timestamp,
    /// The reading.
    pub value: f64,
    /// Whether it is good, a duplicate or bad.
    pub kind: Kind,
}
