//! A rush: for a while a plant tells many times as much as it does otherwise, as when a line starts up or a gateway that was
//! cut off hands on what it has kept. What an engine does then and how long it takes to catch up is what one wants to know.

use std::time::Duration;

use lineside_model::{Error, Result, Span};
use serde::Deserialize;

use super::check_above_0;

/// A while in which all sensors tell faster.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rush {
    /// So many times as fast.
    pub times: f64,
    /// When it begins, counted from the start of the feed.
    pub from: Span,
    /// How long it lasts.
    pub lasts: Span,
}

impl Rush {
    pub(super) fn check(&self) -> Result<()> {
        check_above_0("rush.times", self.times)?;
        match [("rush.from", self.from), ("rush.lasts", self.lasts)].iter().find(|(_, span)| *span < Span::ZERO) {
            Some((option, span)) => {
                Err(Error::user(format!("option \"{option}\" expects a positive duration, found \"{span}\"")))
            }
            None => Ok(()),
        }
    }

    /// When it is over, counted from the start of the feed.
    pub fn end(&self) -> Duration {
        self.from.to_std() + self.lasts.to_std()
    }

    /// How long without a rush it would take to tell as much as until then, in microseconds like `at`.
    fn worth(&self, at: f64) -> f64 {
        let (from, lasts) = (self.from.micros() as f64, self.lasts.micros() as f64);
        at.min(from) + (at - from).clamp(0.0, lasts) * self.times + (at - from - lasts).max(0.0)
    }

    /// The other way round: when there has been so much.
    fn when(&self, worth: f64) -> f64 {
        let (from, in_rush) = (self.from.micros() as f64, self.lasts.micros() as f64 * self.times);
        worth.min(from) + (worth - from).clamp(0.0, in_rush) / self.times + (worth - from - in_rush).max(0.0)
    }
}

/// When the reading of an index is taken, in microseconds, at a rate that may have a rush.
pub(super) fn taken(index: u64, rate: f64, rush: Option<Rush>) -> f64 {
    let even = index as f64 * 1e6 / rate;
    rush.map_or(even, |rush| rush.when(even))
}

/// How many readings are taken in so long.
pub(super) fn count(lasts: Span, rate: f64, rush: Option<Rush>) -> u64 {
    let worth = rush.map_or(lasts.as_secs_f64(), |rush| rush.worth(lasts.micros() as f64) / 1e6);
    (worth * rate).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSH: Rush = Rush { times: 4.0, from: Span::from_secs(10), lasts: Span::from_secs(20) };

    #[test]
    fn readings_are_closer_together_in_a_rush_and_even_before_and_after() {
        let at = |index| taken(index, 100.0, Some(RUSH));
        assert_eq!((at(0), at(500), at(1_000)), (0.0, 5e6, 10e6));
        assert_eq!((at(1_400), at(9_000)), (11e6, 30e6));
        assert_eq!((at(9_100), at(10_000)), (31e6, 40e6));
        assert_eq!(count(Span::from_secs(5), 100.0, Some(RUSH)), 500);
        assert_eq!(count(Span::from_secs(30), 100.0, Some(RUSH)), 9_000);
        assert_eq!(count(Span::from_secs(40), 100.0, Some(RUSH)), 10_000);
        assert_eq!(count(Span::from_secs(40), 100.0, None), 4_000);
    }

    #[test]
    fn a_rush_of_no_speed_is_refused() {
        let told = |rush: Rush| rush.check().expect_err("it is wrong").to_string();
        assert_eq!(told(Rush { times: 0.0, ..RUSH }), "option \"rush.times\" expects a number above 0, found 0");
        let back = Rush { from: Span::from_secs(-1), ..RUSH };
        assert!(told(back).starts_with("option \"rush.from\" expects a positive duration"), "{}", told(back));
    }
}
