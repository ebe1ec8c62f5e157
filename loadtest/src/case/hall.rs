//! A hall of PLCs, which the pipeline polls.

use lineside_model::Span;
use serde::Deserialize;

/// A hall of simulated PLCs, each on a port of its own: `${PLC_PORT_0}`, `${PLC_PORT_1}` and so on. When their polls arrive is
/// watched under the name `poll`: how late, and how many were missed. A holding register that is written answers to the input
/// register of the same address: how long after its reading is watched under the name `setpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hall {
    /// PLCs.
    pub plcs: u16,
    /// Registers of each.
    pub registers: u16,
    /// How often the pipeline polls each.
    pub poll: Span,
}

impl Hall {
    /// What its polls are watched as.
    pub const WATCH: &'static str = "poll";
    /// What setpoints are watched as that are written to it.
    pub const SETPOINTS: &'static str = "setpoint";
}
