//! What the engine counted and timed itself, as far as the tables and charts show it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is shown of the counters of `lineside run --json`. An engine that tells less, or more, is shown as far as it is known here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counters {
    pub(super) objects: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) open_rows: u64,
    pub(super) reconnects: u64,
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) times: BTreeMap<String, Time>,
}

/// Lengths of time in microseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Time {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Counters {
    /// What a report of the engine has of them.
    pub(super) fn of(engine: &serde_json::Value) -> Self {
        Self::deserialize(engine).unwrap_or_default()
    }
}
