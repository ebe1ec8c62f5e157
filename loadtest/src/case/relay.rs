//! The relay of a case: the floor under what the engine does.

use serde::Deserialize;

/// What the relay is watched as.
pub const RELAY: &str = "relay";

/// A relay that only forwards bytes, as the floor under what the engine does. Every other second the messages of a feed go
/// through it in place of the engine, so both see the same load on the same machine, and neither takes time from the other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// The feed whose messages it gets.
    pub feed: String,
}
