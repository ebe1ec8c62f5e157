//! `lineside-loadtest relay PORT FILTER TOPIC`: what a run starts as its relay.

use clap::Args;
use lineside_loadtest::relay;
use lineside_model::Result;

/// Forward the bytes of all messages, and do nothing else. A run starts this by itself.
#[derive(Debug, Args)]
pub(super) struct Relay {
    port: u16,
    filter: String,
    to: String,
}

impl Relay {
    pub(super) fn run(self) -> Result<bool> {
        relay::forward(self.port, &self.filter, &self.to).map(|()| true)
    }
}
