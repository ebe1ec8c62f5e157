//! The simulated ovens of a case, which the pipeline controls.

use std::time::Duration;

use lineside_model::{Error, Span};
use serde::Deserialize;

use crate::plant::{ANSWERED_KEPT, OVENS};

/// The engine may answer polls for so long before the feeds begin and after they end.
const AROUND_SECONDS: u64 = 60;

/// The simulated ovens. What they see of setpoints is watched under the name `write`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ovens {
    /// How many times faster than real ovens. Default 8.
    pub time_scale: f64,
    /// A heater falls to 0 % if its power is not written again within this time. Default: never.
    pub watchdog: Option<Span>,
    /// How often the pipeline polls and answers each temperature. Then setpoints are watched from when their poll was due as well,
    /// under the name `write from due`.
    pub poll: Option<Span>,
    /// How long after its poll was due a setpoint is still in time. Default: until the next poll is due.
    pub deadline: Option<Span>,
}

impl Ovens {
    /// What its setpoints are watched as.
    pub const WATCH: &'static str = "write";
    /// The same from when its poll was due.
    pub const FROM_DUE: &'static str = "write from due";

    /// Whether the plant keeps all answers of so many seconds, and of the start before them: of one that it has forgotten the
    /// poll would count as never answered.
    pub(super) fn keeps(&self, seconds: u64) -> bool {
        let Some(poll) = self.poll else { return true };
        let seconds = Duration::from_secs(seconds.saturating_add(AROUND_SECONDS)).as_secs_f64();
        seconds / poll.as_secs_f64() * OVENS.len() as f64 <= ANSWERED_KEPT as f64
    }
}

impl Default for Ovens {
    fn default() -> Self {
        Self { time_scale: 8.0, watchdog: None, poll: None, deadline: None }
    }
}

/// A plant that forgets setpoints before the run has ended.
pub(super) fn too_many_polls(what: &str) -> Error {
    Error::user(format!("{what} too long for a plant polled so often: it keeps its latest {ANSWERED_KEPT} setpoints"))
        .hint("fewer seconds, or a longer poll under [plant] and in the pipeline")
}
