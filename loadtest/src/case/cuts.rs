//! What cuts the connections of the engine, where a case has such a storm.

use lineside_model::Span;
use serde::Deserialize;

/// Cuts of all connections between engine and broker, from the start to the end of the feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// How often.
    pub every: Span,
}
