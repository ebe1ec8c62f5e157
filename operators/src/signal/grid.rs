//! The value of one sensor at the points of a regular grid in time.
//!
//! Points lie at multiples of the period since 1970-01-01T00:00:00Z, plus an offset, so all sensors share them. A point has
//! the value of a reading of its very time; how it is filled otherwise is told at [`Fill`]. A silence longer than the
//! greatest gap is not filled: no points come out of it, and they begin again with the next reading.
//!
//! A value that reaches over a reading of bad quality is uncertain; otherwise it has the quality of the worst reading it
//! is made of. A point without value is bad. Of several readings of one time the last one counts.

use lineside_model::{Problem, Problems, Quality, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::more_than_no_time;
use super::derived::Derived;
use crate::series::MOMENT;

/// How many points one gap may be filled with.
const POINTS_MAX: i64 = 100_000;

/// How a point between two readings gets its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The last reading stands until the next one: for setpoints, states, and whatever is sent when it changes.
    #[default]
    Hold,
    /// On the straight line between the readings before and after: for what moves steadily. A point has to wait for the
    /// reading after it.
    Linear,
    /// The last reading within the period up to the point; null if there is none.
    Null,
}

/// A grid with checked options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    period: Span,
    offset: Span,
    fill: Fill,
    max_gap: Span,
}

/// What is known of one sensor.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Track {
    /// The last reading up to which all points are known.
    from: Option<Known>,
    /// The reading after it, as long as another one of the same time may come.
    to: Option<Known>,
    /// The next point, unless the gap has become too long.
    next: Option<Timestamp>,
    /// Whether there was a bad reading since `from`.
    in_doubt: bool,
}

/// A reading with a value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Known {
    ts: Timestamp,
    value: f64,
    quality: Quality,
}

impl Grid {
    pub(super) fn new(period: Span, offset: Option<Span>, fill: Fill, max_gap: Span) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        more_than_no_time("period", Some(period), &mut problems);
        if problems.0.is_empty() && max_gap < period {
            let told = format!("expected at least the period of {period}, found {max_gap}");
            problems.push(Problem::option("max_gap", told));
        } else if problems.0.is_empty() && max_gap.micros() / period.micros() > POINTS_MAX {
            let told = format!("a gap of {max_gap} has more than {POINTS_MAX} points {period} apart");
            problems.push(Problem::option("max_gap", told).hint("a longer period, or a shorter gap"));
        }
        problems.or(Self { period, offset: offset.unwrap_or(Span::ZERO), fill, max_gap })
    }

    /// How far behind the watermark a point may come out.
    pub(super) fn lag(self) -> Span {
        if self.fill == Fill::Linear { self.max_gap } else { Span::ZERO }
    }

    /// Lines for `explain`.
    pub(super) fn explain(self) -> Vec<String> {
        let Self { period, fill, max_gap, .. } = self;
        let how = match fill {
            Fill::Hold => "held",
            Fill::Linear => "interpolated",
            Fill::Null => "null",
        };
        vec![format!("grid: every {period}, gaps of at most {max_gap} are {how}; a longer one has no points")]
    }

    /// The first point that is not before `ts`.
    fn point_from(self, ts: Timestamp) -> Timestamp {
        let (period, offset) = (i128::from(self.period.micros()), i128::from(self.offset.micros()));
        let periods = -(-(i128::from(ts.micros()) - offset)).div_euclid(period);
        let point = periods * period + offset;
        Timestamp(i64::try_from(point).unwrap_or(if point < 0 { i64::MIN } else { i64::MAX }))
    }

    /// Takes a reading of a time up to which all that was due has been told.
    pub(super) fn take(self, track: &mut Track, ts: Timestamp, value: Option<f64>, quality: Quality) {
        let Some(value) = value else {
            track.in_doubt = true;
            return;
        };
        let known = Some(Known { ts, value, quality });
        if self.fill == Fill::Linear {
            track.to = known;
        } else {
            track.from = known;
            track.in_doubt = false;
            track.next = track.next.or(Some(self.point_from(ts)));
        }
    }

    /// When the next points are known.
    pub(super) fn due(self, track: &Track) -> Option<Timestamp> {
        let known = if self.fill == Fill::Linear { track.to.map(|to| to.ts) } else { track.next };
        known.map(|at| at + MOMENT)
    }

    /// Tells the points that are known now.
    pub(super) fn elapsed(self, track: &mut Track, mut tell: impl FnMut(Timestamp, Derived)) {
        if self.fill == Fill::Linear {
            self.line(track, tell);
        } else if let (Some(at), Some(from)) = (track.next, track.from) {
            tell(at, self.standing(from, at, track.in_doubt));
            let next = at + self.period;
            track.next = (next > at && next.since(from.ts) <= self.max_gap).then_some(next);
        }
    }

    /// The value at a point if the last reading stands.
    fn standing(self, from: Known, at: Timestamp, in_doubt: bool) -> Derived {
        if self.fill == Fill::Null && at.since(from.ts) >= self.period {
            return Derived { value: None, quality: Quality::Bad };
        }
        Derived { value: Some(from.value), quality: from.quality.max(doubt(in_doubt)) }
    }

    /// The points up to the last reading, on the line from the one before.
    fn line(self, track: &mut Track, mut tell: impl FnMut(Timestamp, Derived)) {
        let Some(to) = track.to.take() else { return };
        let from = track.from.filter(|from| to.ts.since(from.ts) <= self.max_gap);
        let mut at = self.point_from(from.map_or(to.ts, |from| from.ts + MOMENT));
        while at < to.ts {
            let Some(from) = from else { break };
            let part = at.since(from.ts).as_secs_f64() / to.ts.since(from.ts).as_secs_f64();
            let value = from.value * (1.0 - part) + to.value * part;
            let quality = from.quality.max(to.quality).max(doubt(track.in_doubt));
            tell(at, Derived { value: Some(value), quality });
            at = at + self.period;
        }
        if at == to.ts {
            tell(at, Derived { value: Some(to.value), quality: to.quality });
        }
        track.from = Some(to);
        track.in_doubt = false;
    }

    /// Whether the value at this point is known, or known to be none, when no reading before `watermark` can come any more.
    pub(super) fn knows(self, track: &Track, at: Timestamp, watermark: Timestamp) -> bool {
        let waits_from =
            track.from.filter(|from| self.fill == Fill::Linear && watermark.since(from.ts) <= self.max_gap);
        waits_from.map_or(at < watermark, |from| at <= from.ts)
    }
}

fn doubt(in_doubt: bool) -> Quality {
    if in_doubt { Quality::Uncertain } else { Quality::Good }
}
