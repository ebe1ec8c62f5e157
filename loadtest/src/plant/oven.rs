//! One oven: a heater, a chamber, a door and two thermocouples.
//!
//! The chamber is first order plus dead time: a heater at `p` percent drives it towards `ambient + gain × p`, with time
//! constant `tau`, and a change of power is felt `dead_time` later. With the door open the chamber loses heat
//! [`DOOR_LOSS`] times as fast, so both the gain and the time constant shrink by that factor. Power is constant between two
//! commands and the door between two of its moves, so each stretch is integrated exactly; how often anybody looks at the
//! oven changes nothing.
//!
//! Both thermocouples see the chamber plus noise: one for control, and a guard against over-temperature that hangs higher
//! and reads [`GUARD_OFFSET`] more. A thermocouple that sticks goes on telling its last value, which looks healthy.

use std::collections::VecDeque;

use super::script::{Script, Trouble};
use crate::dice::gaussian;

/// With the door open the chamber loses heat this many times as fast.
pub const DOOR_LOSS: f64 = 1.6;
/// What the guard thermocouple reads above the control thermocouple, in °C.
pub const GUARD_OFFSET: f64 = 1.0;
/// A thermocouple is converted this often, in seconds; between conversions its noise stands still.
const CONVERSION_S: f64 = 0.02;
/// Two commands closer than this, in seconds, count as one; this bounds the memory of the dead time.
const COMMAND_SPACING_S: f64 = 0.001;

/// What an oven is made of. Times are in seconds of the plant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Build {
    /// Temperature rise per percent of heater power when all has settled, °C / %.
    pub gain: f64,
    /// Time constant, s.
    pub tau: f64,
    /// Dead time from power to temperature, s.
    pub dead_time: f64,
    /// Temperature of the hall, °C.
    pub ambient: f64,
    /// Standard deviation of a thermocouple's noise, °C.
    pub noise: f64,
    /// Set-point at the start, °C.
    pub setpoint: f64,
}

/// The three ovens of the line, from quick to slow.
pub const OVENS: [Build; 3] = [
    Build { gain: 3.5, tau: 40.0, dead_time: 1.0, ambient: 25.0, noise: 0.3, setpoint: 160.0 },
    Build { gain: 3.5, tau: 50.0, dead_time: 2.0, ambient: 25.0, noise: 0.3, setpoint: 180.0 },
    Build { gain: 3.5, tau: 60.0, dead_time: 3.0, ambient: 25.0, noise: 0.3, setpoint: 200.0 },
];

/// A thermocouple of an oven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thermocouple {
    Control,
    Guard,
}

/// One oven as it stands at the time it was last advanced to.
#[derive(Debug)]
pub(crate) struct Oven {
    build: Build,
    number: usize,
    seed: u64,
    watchdog_s: f64,
    now_s: f64,
    chamber: f64,
    /// Power that heats the chamber now, %.
    acting: f64,
    /// Power as commanded last, %.
    command: f64,
    /// Commands under way: when each reaches the chamber, and its power in %.
    delayed: VecDeque<(f64, f64)>,
    commanded_at_s: Option<f64>,
    tripped: bool,
    frozen: [Option<f64>; 2],
    pub(crate) setpoint: f64,
}

impl Oven {
    /// Oven `number`, cold, `time_scale` times as fast as it is built. A `watchdog_s` of infinity never trips.
    pub(crate) fn new(number: usize, build: Build, time_scale: f64, watchdog_s: f64, seed: u64) -> Self {
        let build = Build { tau: build.tau / time_scale, dead_time: build.dead_time / time_scale, ..build };
        Self {
            build,
            number,
            seed,
            watchdog_s,
            now_s: 0.0,
            chamber: build.ambient,
            acting: 0.0,
            command: 0.0,
            delayed: VecDeque::new(),
            commanded_at_s: None,
            tripped: false,
            frozen: [None; 2],
            setpoint: build.setpoint,
        }
    }

    /// Lets time pass until `to_s` seconds after the start; an earlier time changes nothing.
    pub(crate) fn advance(&mut self, to_s: f64, script: &Script) {
        while self.now_s < to_s {
            let arrives = self.delayed.front().map_or(f64::INFINITY, |(at, _)| *at);
            let next = to_s.min(arrives).min(script.next_edge(self.number, self.now_s)).min(self.watchdog_due());
            let loss = if script.during(self.number, Trouble::DoorOpens, self.now_s) { DOOR_LOSS } else { 1.0 };
            let settled = self.build.ambient + self.build.gain / loss * self.acting;
            let decay = (-(next - self.now_s) * loss / self.build.tau).exp();
            self.chamber = settled + (self.chamber - settled) * decay;
            self.now_s = next;
            self.arrive();
            self.freeze(script);
            if self.watchdog_due() <= self.now_s {
                self.set_power(0.0);
                self.tripped = true;
            }
        }
    }

    /// Commands the heater to `percent`, from now on.
    pub(crate) fn command(&mut self, percent: f64) {
        self.commanded_at_s = Some(self.now_s);
        self.tripped = false;
        self.set_power(percent);
    }

    fn set_power(&mut self, percent: f64) {
        self.command = percent;
        let arrives = self.now_s + self.build.dead_time;
        match self.delayed.back_mut() {
            Some((at, power)) if arrives - *at < COMMAND_SPACING_S => *power = percent,
            _ => self.delayed.push_back((arrives, percent)),
        }
        self.arrive();
    }

    fn arrive(&mut self) {
        while let Some((_, power)) = self.delayed.pop_front_if(|(at, _)| *at <= self.now_s) {
            self.acting = power;
        }
    }

    fn watchdog_due(&self) -> f64 {
        match self.commanded_at_s {
            Some(at) if !self.tripped => at + self.watchdog_s,
            _ => f64::INFINITY,
        }
    }

    fn freeze(&mut self, script: &Script) {
        for (which, trouble) in
            [(Thermocouple::Control, Trouble::ControlSensorSticks), (Thermocouple::Guard, Trouble::GuardSensorSticks)]
        {
            let sticks = script.during(self.number, trouble, self.now_s);
            if !sticks {
                self.frozen[which as usize] = None;
            } else if self.frozen[which as usize].is_none() {
                self.frozen[which as usize] = Some(self.live(which));
            }
        }
    }

    fn live(&self, which: Thermocouple) -> f64 {
        let offset = if which == Thermocouple::Guard { GUARD_OFFSET } else { 0.0 };
        let conversion = (self.now_s / CONVERSION_S) as u64;
        let channel = (self.number * 2 + which as usize) as u64;
        self.chamber + offset + self.build.noise * gaussian(self.seed, channel, conversion)
    }

    /// What a thermocouple tells, °C.
    pub(crate) fn measured(&self, which: Thermocouple) -> f64 {
        self.frozen[which as usize].unwrap_or_else(|| self.live(which))
    }

    /// The true temperature of the chamber, °C.
    pub(crate) fn chamber(&self) -> f64 {
        self.chamber
    }

    /// The heater power that the device puts out, %.
    pub(crate) fn power(&self) -> f64 {
        self.command
    }

    /// Whether the heater was cut off because no command came in time.
    pub(crate) fn tripped(&self) -> bool {
        self.tripped
    }

    /// Whether the true temperature is within 2 °C of the set-point.
    pub(crate) fn at_setpoint(&self) -> bool {
        (self.chamber - self.setpoint).abs() <= 2.0
    }

    /// Whether a thermocouple tells an old value.
    pub(crate) fn is_stuck(&self, which: Thermocouple) -> bool {
        self.frozen[which as usize].is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::script::Disturbance;
    use lineside_model::Span;

    const QUIET: Build = Build { gain: 3.5, tau: 45.0, dead_time: 4.0, ambient: 25.0, noise: 0.0, setpoint: 200.0 };

    fn oven(watchdog_s: f64) -> Oven {
        Oven::new(0, QUIET, 1.0, watchdog_s, 7)
    }

    #[test]
    fn a_step_of_power_follows_the_closed_form() {
        let mut oven = oven(f64::INFINITY);
        oven.command(40.0);
        for tenth in 1..3_000 {
            let t = f64::from(tenth) * 0.1;
            oven.advance(t, &Script::calm());
            let expected = 25.0 + 3.5 * 40.0 * (1.0 - (-(t - 4.0).max(0.0) / 45.0).exp());
            assert!((oven.chamber() - expected).abs() < 1e-9, "at {t} s: {} instead of {expected}", oven.chamber());
        }
    }

    #[test]
    fn how_often_one_looks_changes_nothing() {
        let script = Script::every_minute(3);
        let (mut seldom, mut often) = (oven(5.0), oven(5.0));
        for second in 0..180 {
            let t = f64::from(second);
            seldom.advance(t, &script);
            for part in (0..=100).rev() {
                often.advance(t - f64::from(part) * 0.01, &script);
            }
            if second % 20 < 11 {
                seldom.command(f64::from(second % 7) * 10.0);
                often.command(f64::from(second % 7) * 10.0);
            }
            assert!((seldom.chamber() - often.chamber()).abs() < 1e-9, "at {t} s");
            assert_eq!(seldom.tripped(), often.tripped(), "at {t} s");
        }
    }

    #[test]
    fn an_open_door_cools_and_a_stuck_thermocouple_stands_still() {
        let script = Script::listed(vec![
            Disturbance { oven: 0, what: Trouble::DoorOpens, at: Span::from_secs(500), lasts: Span::from_secs(30) },
            Disturbance {
                oven: 0,
                what: Trouble::GuardSensorSticks,
                at: Span::from_secs(500),
                lasts: Span::from_secs(30),
            },
        ]);
        let mut oven = oven(f64::INFINITY);
        oven.command(50.0);
        oven.advance(500.0, &script);
        assert!((oven.chamber() - 200.0).abs() < 0.01);
        oven.advance(529.0, &script);
        let expected = 25.0 + 175.0 / DOOR_LOSS * (1.0 + (DOOR_LOSS - 1.0) * (-29.0 * DOOR_LOSS / 45.0f64).exp());
        assert!((oven.measured(Thermocouple::Control) - expected).abs() < 0.01);
        assert!((oven.measured(Thermocouple::Guard) - 200.0 - GUARD_OFFSET).abs() < 0.01);
        oven.advance(531.0, &script);
        assert!(!oven.is_stuck(Thermocouple::Guard));
    }
}
