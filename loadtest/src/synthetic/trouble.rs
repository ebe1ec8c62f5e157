//! What goes wrong between a sensor and an engine: readings that overtake each other, come twice, stay away, or cannot be
//! read.

use std::time::Duration;

use lineside_model::{Error, Result, Span};
use serde::Deserialize;

use super::{Kind, check_above_0};
use crate::dice::{mix, unit};

/// Places among the questions that are asked of chance.
const KIND: u64 = 16;
const IS_LATE: u64 = 17;
const HOW_LATE: u64 = 18;
const SILENCE: u64 = 19;

/// What goes wrong, and how often. Default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trouble {
    /// Readings that are overtaken by later ones.
    pub disorder: Option<Disorder>,
    /// Which share of the messages comes once more, right behind itself.
    pub duplicates: f64,
    /// Times in which a sensor tells nothing.
    pub gaps: Option<Gaps>,
    /// Which share of the messages cannot be read: cut off, text in place of a number, or noise of the line.
    pub bad: f64,
}

/// Readings that are overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disorder {
    /// Which share of the readings is held up.
    pub fraction: f64,
    /// The longest that one is held up; it is no further behind the latest reading sent than this.
    pub by_max: Span,
}

/// Times in which a sensor tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaps {
    /// In each such period of a sensor there is one gap, somewhere.
    pub every: Span,
    /// How long it is.
    pub lasts: Span,
}

impl Trouble {
    pub(super) fn check(&self) -> Result<()> {
        let fraction = self.disorder.map_or(0.0, |disorder| disorder.fraction);
        for (option, share) in [
            ("trouble.disorder.fraction", fraction),
            ("trouble.duplicates", self.duplicates),
            ("trouble.bad", self.bad),
            ("trouble.duplicates and trouble.bad together", self.duplicates + self.bad),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::user(format!("{option} is a share from 0 to 1, found {share}")));
            }
        }
        if let Some(disorder) = self.disorder {
            check_above_0("trouble.disorder.by_max", disorder.by_max.as_secs_f64())?;
        }
        if let Some(Gaps { every, lasts }) = self.gaps {
            check_above_0("trouble.gaps.lasts", lasts.as_secs_f64())?;
            if every <= lasts {
                return Err(Error::user(format!("a gap of \"{lasts}\" does not fit into every \"{every}\""))
                    .hint("make trouble.gaps.every longer than trouble.gaps.lasts"));
            }
        }
        Ok(())
    }

    /// What becomes of the reading of this index.
    pub(super) fn kind(&self, seed: u64, index: u64) -> Kind {
        if self.bad == 0.0 && self.duplicates == 0.0 {
            return Kind::Good;
        }
        let dice = chance(seed, KIND, index);
        if dice <= self.bad {
            Kind::Bad
        } else if dice <= self.bad + self.duplicates {
            Kind::Duplicate
        } else {
            Kind::Good
        }
    }

    /// How long the reading of this index is held up, if it is.
    pub(super) fn delay(&self, seed: u64, index: u64) -> Option<Duration> {
        let disorder = self.disorder?;
        if chance(seed, IS_LATE, index) > disorder.fraction {
            return None;
        }
        let micros = disorder.by_max.micros() as f64 * chance(seed, HOW_LATE, index);
        Some(Duration::from_micros(micros as u64))
    }

    /// Whether a sensor tells nothing at a time since the start.
    pub(super) fn silent(&self, seed: u64, sensor: u32, at: Span) -> bool {
        let Some(Gaps { every, lasts }) = self.gaps else { return false };
        let (period, within) = (at.micros() / every.micros(), at.micros() % every.micros());
        let room = (every.micros() - lasts.micros()) as f64;
        let begins = room * chance(seed, SILENCE, mix(u64::from(sensor)).wrapping_add(period as u64));
        (begins as i64..begins as i64 + lasts.micros()).contains(&within)
    }
}

/// A number in (0, 1].
fn chance(seed: u64, what: u64, index: u64) -> f64 {
    unit(mix(mix(mix(seed).wrapping_add(what)).wrapping_add(index)))
}
