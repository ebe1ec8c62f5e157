//! What a sensor tells: a level of its own, noise, a slow drift, and steps as at a change of product.
//!
//! A value depends only on the seed, the sensor and the time, so nothing is kept for each sensor.

use lineside_model::{Error, Result, Span};
use serde::Deserialize;

use super::check_above_0;
use crate::dice::{gaussian, mix, unit};

/// Decimals beyond which a float has nothing to tell.
const DECIMALS_MAX: u8 = 12;
/// Places among the questions that are asked of chance.
const NOISE: u64 = 0;
const STEP: u64 = 1;
const PHASE: u64 = 2;
const SLOPE: u64 = 3;

/// What the sensors tell, in the unit of the readings.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signal {
    /// The level in the middle of all sensors. Default 50.
    pub level: f64,
    /// The levels lie evenly this far below and above it. Default 10.
    pub spread: f64,
    /// Standard deviation of the noise. Default 1.
    pub noise: f64,
    /// The fastest drift in an hour; each sensor drifts up or down at a pace of its own. Default 0.
    pub drift_per_hour: f64,
    /// Jumps of the level. Default: none.
    pub steps: Option<Steps>,
    /// Decimals that a sensor tells. Default 3.
    pub decimals: u8,
}

/// Jumps of a sensor's level.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The level jumps to anywhere this far below and above its own.
    pub size: f64,
    /// How long it stays there. The sensors do not jump together.
    pub every: Span,
}

impl Default for Signal {
    fn default() -> Self {
        Self { level: 50.0, spread: 10.0, noise: 1.0, drift_per_hour: 0.0, steps: None, decimals: 3 }
    }
}

impl Signal {
    pub(super) fn check(&self) -> Result<()> {
        for (option, value) in [
            ("signal.level", self.level),
            ("signal.spread", self.spread),
            ("signal.noise", self.noise),
            ("signal.drift_per_hour", self.drift_per_hour),
        ] {
            if !value.is_finite() {
                return Err(Error::user(format!("option \"{option}\" expects a number, found {value}")));
            }
        }
        if let Some(Steps { size, every }) = self.steps {
            check_above_0("signal.steps.size", size)?;
            check_above_0("signal.steps.every", every.as_secs_f64())?;
        }
        if self.decimals > DECIMALS_MAX {
            return Err(Error::user(format!(
                "option \"signal.decimals\" expects at most {DECIMALS_MAX}, found {}",
                self.decimals
            )));
        }
        Ok(())
    }

    /// The value of a sensor among so many, at a time since the start, as the reading of this index of all readings.
    pub(super) fn value(&self, seed: u64, sensor: u32, sensors: u32, at: Span, index: u64) -> f64 {
        let chance = |what: u64, index: u64| {
            2.0 * unit(mix(mix(mix(seed).wrapping_add(what)).wrapping_add(u64::from(sensor)).wrapping_add(index))) - 1.0
        };
        let place = 2.0 * (f64::from(sensor) + 0.5) / f64::from(sensors) - 1.0;
        let mut value = self.level + self.spread * place;
        if self.noise != 0.0 {
            value += self.noise * gaussian(seed, NOISE, index);
        }
        if self.drift_per_hour != 0.0 {
            value += self.drift_per_hour * chance(SLOPE, 0) * at.as_secs_f64() / 3600.0;
        }
        if let Some(Steps { size, every }) = self.steps {
            let phase = (chance(PHASE, 0) + 1.0) / 2.0;
            let step = (at.as_secs_f64() / every.as_secs_f64() + phase) as u64;
            value += size * chance(STEP, mix(step));
        }
        let scale = 10f64.powi(i32::from(self.decimals));
        (value * scale).round() / scale
    }
}
