//! Operators as a user sees them: scripts of readings in and rows out, one file each, and the laws that hold for all.

mod alarm;
mod deadband;
mod kit;
mod laws;
mod pid;
mod stale;
