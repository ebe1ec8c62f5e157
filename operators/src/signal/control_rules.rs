//! The rules by which a control chart finds that a process is not what it was: Western Electric's and Nelson's.
//!
//! Each looks at the last readings in units of σ from the mean. A rule is broken by the reading that completes its
//! pattern, and by each further one that completes it again; a reading on a limit is not beyond it.
//!
//! | Nelson | Western Electric | pattern |
//! | --- | --- | --- |
//! | 1 | 1 | one beyond 3 σ |
//! | 2 | | 9 in a row on one side of the mean |
//! | | 4 | 8 in a row on one side of the mean |
//! | 3 | | 6 in a row rising, or falling |
//! | 4 | | 14 in a row up and down by turns |
//! | 5 | 2 | 2 of 3 beyond 2 σ on one side, the last one among them |
//! | 6 | 3 | 4 of 5 beyond 1 σ on one side, the last one among them |
//! | 7 | | 15 in a row within 1 σ |
//! | 8 | | 8 in a row beyond 1 σ, on either side |
//!
//! Western Electric: *Statistical Quality Control Handbook*, 1956. L. S. Nelson, *Journal of Quality Technology* 16(4), 1984.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleSet {
    /// L. S. Nelson's eight.
    #[default]
    Nelson,
    /// Western Electric's four.
    WesternElectric,
}

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// One beyond 3 σ.
    Beyond3,
    /// So many in a row on one side.
    OneSide(u8),
    /// 6 in a row in one direction.
    Trend,
    /// 14 by turns.
    ByTurns,
    /// 2 of 3 beyond 2 σ.
    TwoOfThree,
    /// 4 of 5 beyond 1 σ.
    FourOfFive,
    /// 15 within 1 σ.
    Within1,
    /// 8 beyond 1 σ.
    Beyond1,
}

impl RuleSet {
    /// Its rules; the first one is number 1.
    pub(super) const fn rules(self) -> &'static [Pattern] {
        use Pattern::{Beyond1, Beyond3, ByTurns, FourOfFive, OneSide, Trend, TwoOfThree, Within1};
        match self {
            Self::Nelson => &[Beyond3, OneSide(9), Trend, ByTurns, TwoOfThree, FourOfFive, Within1, Beyond1],
            Self::WesternElectric => &[Beyond3, TwoOfThree, FourOfFive, OneSide(8)],
        }
    }
}

impl Pattern {
    /// For the people at the line.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Beyond3 => "beyond 3 sigma",
            Self::OneSide(8) => "8 in a row on one side of the mean",
            Self::OneSide(_) => "9 in a row on one side of the mean",
            Self::Trend => "6 in a row rising or falling",
            Self::ByTurns => "14 in a row up and down by turns",
            Self::TwoOfThree => "2 of 3 beyond 2 sigma",
            Self::FourOfFive => "4 of 5 beyond 1 sigma",
            Self::Within1 => "15 in a row within 1 sigma",
            Self::Beyond1 => "8 in a row beyond 1 sigma",
        }
    }
}

/// On which side of the mean, or in which direction, a pattern was completed. Patterns that have no side count as [`Side::Up`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Above, or rising.
    Up,
    /// Below, or falling.
    Down,
}

impl Pattern {
    /// Whether it tells a side.
    pub(super) const fn has_side(self) -> bool {
        !matches!(self, Self::ByTurns | Self::Within1 | Self::Beyond1)
    }
}

/// What the rules need to know of the readings of one sensor: counts, no readings but the last.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Runs {
    /// The last reading, in σ from the mean.
    last: Option<f64>,
    /// How many in a row: above and below the mean.
    side: [u8; 2],
    /// How many steps in a row: up and down.
    trend: [u8; 2],
    /// How many steps in a row, each in the other direction than the one before.
    by_turns: u8,
    /// Which of the last eight were beyond 2 σ, above and below; the last one is bit 0.
    beyond2: [u8; 2],
    /// The same for 1 σ.
    beyond1: [u8; 2],
    /// How many in a row within 1 σ, and beyond it.
    zone: [u8; 2],
}

impl Runs {
    /// Takes a reading, in σ from the mean.
    pub(super) fn take(&mut self, z: f64) {
        let step = self.last.map_or([false; 2], |last| [z > last, z < last]);
        let turned = (self.trend[0] > 0 && step[1]) || (self.trend[1] > 0 && step[0]);
        self.by_turns = if turned { longer(self.by_turns) } else { u8::from(step[0] || step[1]) };
        for (side, s) in [1.0, -1.0].into_iter().enumerate() {
            let y = s * z;
            go_on(&mut self.side[side], y > 0.0);
            go_on(&mut self.trend[side], step[side]);
            self.beyond2[side] = self.beyond2[side] << 1 | u8::from(y > 2.0);
            self.beyond1[side] = self.beyond1[side] << 1 | u8::from(y > 1.0);
        }
        go_on(&mut self.zone[0], z.abs() < 1.0);
        go_on(&mut self.zone[1], z.abs() > 1.0);
        self.last = Some(z);
    }

    /// Whether the last reading completed a pattern on this side.
    pub(super) fn completes(&self, pattern: Pattern, side: Side) -> bool {
        let n = side as usize;
        let of_last = |bits: u8, last: u32, least: u32| bits & 1 == 1 && (bits & !(!0 << last)).count_ones() >= least;
        match pattern {
            Pattern::Beyond3 => self.last.is_some_and(|z| if side == Side::Up { z > 3.0 } else { z < -3.0 }),
            Pattern::OneSide(least) => self.side[n] >= least,
            Pattern::Trend => self.trend[n] >= 5,
            Pattern::TwoOfThree => of_last(self.beyond2[n], 3, 2),
            Pattern::FourOfFive => of_last(self.beyond1[n], 5, 4),
            Pattern::ByTurns => side == Side::Up && self.by_turns >= 13,
            Pattern::Within1 => side == Side::Up && self.zone[0] >= 15,
            Pattern::Beyond1 => side == Side::Up && self.zone[1] >= 8,
        }
    }

    /// The first rule, counted from 1, that the last reading breaks.
    pub(super) fn first_broken(&self, rules: RuleSet) -> Option<usize> {
        let broken = |pattern: &Pattern| [Side::Up, Side::Down].iter().any(|side| self.completes(*pattern, *side));
        rules.rules().iter().position(broken).map(|n| n + 1)
    }
}

fn go_on(run: &mut u8, goes_on: bool) {
    *run = if goes_on { longer(*run) } else { 0 };
}

/// The longest run that a rule asks for is 15; to count beyond 100 would tell nothing.
fn longer(run: u8) -> u8 {
    run.saturating_add(1).min(100)
}
