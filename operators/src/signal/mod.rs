//! What is read off a signal, sensor by sensor: does it move, is it beyond a limit, is it there at all.

pub mod alarm;
pub mod deadband;
pub mod stale;

pub use alarm::Alarm;
pub use deadband::Deadband;
pub use stale::Stale;
