//! Connectors against their peers.

mod double;
mod file;
mod kafka;
