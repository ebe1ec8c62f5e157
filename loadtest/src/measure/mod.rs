//! What is kept while a run goes on: exact books over numbered messages, and how late each answer was.
//!
//! Nothing is measured from when a message *was sent*: a sender that is held up would then hide the very stall that is to be
//! found. Everything counts from when a message was *due* by the schedule, so that a stall of a second counts for all
//! messages of that second.

mod answer;
mod expected;
mod lateness;
mod ledger;
mod recovery;
mod windows;

pub use answer::{Answer, Sensor};
pub use expected::{Expect, Expected};
pub use lateness::{InSecond, Lateness};
pub use ledger::Ledger;
pub(crate) use recovery::recovery;
