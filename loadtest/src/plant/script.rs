//! What goes wrong at the line, and when: doors that open, thermocouples that stick.
//!
//! Times are real seconds after the start of the plant, whatever its time scale. The same seed gives the same troubles.

use lineside_model::Span;

use super::oven::OVENS;
use crate::dice::mix;

/// What can happen to an oven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The door is open: the chamber loses heat faster.
    DoorOpens,
    /// The thermocouple that the loop controls by goes on telling its last value.
    ControlSensorSticks,
    /// The thermocouple that guards against over-temperature goes on telling its last value.
    GuardSensorSticks,
}

/// One trouble of one oven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// The oven, counted from 0.
    pub oven: usize,
    /// What happens.
    pub what: Trouble,
    /// When it begins, after the start.
    pub at: Span,
    /// How long it lasts.
    pub lasts: Span,
}

impl Disturbance {
    fn begins_s(&self) -> f64 {
        self.at.as_secs_f64()
    }

    fn ends_s(&self) -> f64 {
        self.at.as_secs_f64() + self.lasts.as_secs_f64()
    }
}

/// A timeline of disturbances.
#[derive(Clone, Debug)]
pub struct Script(Lines);

#[derive(Clone, Debug)]
enum Lines {
    Listed(Vec<Disturbance>),
    EveryMinute { seed: u64 },
}

impl Script {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self::listed(Vec::new())
    }

    /// These, and nothing else.
    pub fn listed(disturbances: Vec<Disturbance>) -> Self {
        Self(Lines::Listed(disturbances))
    }

    /// In each minute one door opens at second 20 for 2 s, and the guard thermocouple of another oven sticks at second 28
    /// for 7 s; the last 20 s of a minute are calm. In the first minute it is the door of the second oven and the
    /// thermocouple of the third; from then on the seed decides.
    pub fn every_minute(seed: u64) -> Self {
        Self(Lines::EveryMinute { seed })
    }

    /// Whether a trouble of an oven is going on.
    pub(crate) fn during(&self, oven: usize, what: Trouble, at_s: f64) -> bool {
        self.near(at_s, |d| d.oven == oven && d.what == what && d.begins_s() <= at_s && at_s < d.ends_s())
            .next()
            .is_some()
    }

    /// When something begins or ends at this oven next, strictly after `after_s`; infinity if never or not for a minute.
    pub(crate) fn next_edge(&self, oven: usize, after_s: f64) -> f64 {
        self.near(after_s, |d| d.oven == oven)
            .flat_map(|d| [d.begins_s(), d.ends_s()])
            .filter(|edge| *edge > after_s)
            .fold(self.horizon(after_s), f64::min)
    }

    /// Until when [`Self::near`] knows everything: an edge of its own, after which one looks again.
    fn horizon(&self, at_s: f64) -> f64 {
        match self.0 {
            Lines::Listed(_) => f64::INFINITY,
            Lines::EveryMinute { .. } => (minute(at_s) + 1) as f64 * 60.0,
        }
    }

    fn near(&self, at_s: f64, keep: impl Fn(&Disturbance) -> bool) -> impl Iterator<Item = Disturbance> {
        let (listed, of_the_minute) = match &self.0 {
            Lines::Listed(list) => (list.as_slice(), None),
            Lines::EveryMinute { seed } => (&[][..], Some(of_minute(*seed, minute(at_s)))),
        };
        listed.iter().copied().chain(of_the_minute.into_iter().flatten()).filter(move |d| keep(d))
    }
}

fn minute(at_s: f64) -> u64 {
    (at_s / 60.0) as u64
}

fn of_minute(seed: u64, minute: u64) -> [Disturbance; 2] {
    let ovens = OVENS.len() as u64;
    let dice = mix(seed ^ mix(minute));
    let door = if minute == 0 { 1 } else { dice % ovens };
    let stuck = if minute == 0 { 2 } else { (door + 1 + (dice >> 32) % (ovens - 1)) % ovens };
    let start = Span::from_secs(i64::try_from(minute).unwrap_or(i64::MAX).saturating_mul(60));
    let entry = |oven: u64, what, at, lasts| Disturbance {
        oven: oven as usize,
        what,
        at: Span::from_micros(start.micros().saturating_add(Span::from_secs(at).micros())),
        lasts: Span::from_secs(lasts),
    };
    [entry(door, Trouble::DoorOpens, 20, 2), entry(stuck, Trouble::GuardSensorSticks, 28, 7)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_minute_is_always_the_same() {
        for seed in 0..10 {
            let script = Script::every_minute(seed);
            assert!(!script.during(1, Trouble::DoorOpens, 19.99));
            assert!(script.during(1, Trouble::DoorOpens, 20.0) && script.during(1, Trouble::DoorOpens, 21.99));
            assert!(!script.during(1, Trouble::DoorOpens, 22.0));
            assert!(script.during(2, Trouble::GuardSensorSticks, 30.0));
            assert_eq!(script.next_edge(1, 0.0), 20.0);
            assert_eq!(script.next_edge(1, 20.0), 22.0);
            assert_eq!(script.next_edge(1, 22.0), 60.0);
        }
    }

    #[test]
    fn each_minute_has_one_door_and_one_thermocouple_of_different_ovens() {
        for minute in 0..1_000 {
            let [door, stuck] = of_minute(9, minute);
            assert!(door.oven < OVENS.len() && stuck.oven < OVENS.len() && door.oven != stuck.oven);
        }
    }
}
