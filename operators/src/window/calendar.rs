//! Windows of a calendar: the days, weeks, months, quarters and years of a time zone, and the shifts of a plant.
//!
//! Their edges are times of the wall clock, so a day is 23 or 25 hours long when the clock is changed, and the night shift
//! one hour shorter or longer. Where the wall clock is no guide:
//!
//! * An edge that the clock skips (02:30 in the night of spring) is at the moment of the change.
//! * An edge that comes twice (02:30 in the night of autumn) is at its first time.
//!
//! Readings between shifts are in no window. The rules of each zone are those that were compiled into the engine.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use lineside_model::options::nearest;
use lineside_model::{Problem, Span};

use super::shifts::{Shift, parse, weekday};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;
pub(super) const WEEK: i64 = 7 * DAY;
/// From the Monday before to Thursday 1970-01-01.
const EPOCH_IN_WEEK: i64 = 3 * DAY;
/// The most that a clock was ever changed at once: where the date line was moved.
const CHANGE_MOST: i64 = DAY;

/// What is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first of the month.
    Month,
    /// From the first of January, April, July, October.
    Quarter,
    /// From the first of January.
    Year,
}

impl Period {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// Reads a period as it is written, `week` or `week from sunday`, and how much later than usual it starts.
    pub fn parse(text: &str) -> Option<(Self, Span)> {
        let words = text.split_whitespace().collect::<Vec<_>>();
        let period = |word: &str| Self::ALL.into_iter().find(|period| period.word().eq_ignore_ascii_case(word));
        match words[..] {
            [word] => Some((period(word)?, Span::ZERO)),
            [word, from, day] if from.eq_ignore_ascii_case("from") && period(word) == Some(Self::Week) => {
                Some((Self::Week, Span(weekday(day)? * DAY)))
            }
            _ => None,
        }
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// Windows by the wall clock of a time zone, one after the other, with or without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    zone: Tz,
    cycle: Cycle,
    about: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Cycle {
    /// Stretches of a week, counted from the midnight before Monday; the last may reach into the next week.
    Week(Vec<Shift>),
    /// Months taken together, each starting so long after its first midnight.
    Months { months: i64, offset: i64 },
}

impl Calendar {
    /// The days, weeks … of a time zone, each starting `offset` later by the wall clock.
    ///
    /// # Errors
    /// If there is no such zone, or the offset is longer than the period.
    pub fn of_periods(period: Period, zone: &str, offset: Span) -> Result<Self, Problem> {
        let micros = offset.micros();
        let (shortest, cycle) = match period {
            Period::Day => {
                let day = |n: i64| Shift { name: None, times: n * DAY + micros..(n + 1) * DAY + micros };
                (DAY, Cycle::Week((0..7).map(day).collect()))
            }
            Period::Week => (WEEK, Cycle::Week(vec![Shift { name: None, times: micros..WEEK + micros }])),
            Period::Month => (28 * DAY, Cycle::Months { months: 1, offset: micros }),
            Period::Quarter => (90 * DAY, Cycle::Months { months: 3, offset: micros }),
            Period::Year => (365 * DAY, Cycle::Months { months: 12, offset: micros }),
        };
        if micros.abs() >= shortest {
            let message = format!("the offset of {offset} is not shorter than a {}", period.word());
            return Err(Problem::whole(message).hint("an offset says how long after midnight a period starts"));
        }
        let shift = if micros == 0 { String::new() } else { format!(" with offset {offset}") };
        let zone = zone_of(zone)?;
        Ok(Self { zone, cycle, about: format!("{}s of {zone}{shift}", period.word()) })
    }

    /// The shifts of a plant, such as `Mon-Fri early 06:00-14:00, Mon-Fri late 14:00-22:00`.
    ///
    /// # Errors
    /// If there is no such zone, or the shifts cannot be read or overlap.
    pub fn of_shifts(shifts: &str, zone: &str) -> Result<Self, Problem> {
        let zone = zone_of(zone)?;
        Ok(Self { zone, cycle: Cycle::Week(parse(shifts)?), about: format!("shifts of {zone}: {shifts}") })
    }

    /// Whether windows have names.
    pub fn has_names(&self) -> bool {
        matches!(&self.cycle, Cycle::Week(shifts) if shifts.iter().any(|shift| shift.name.is_some()))
    }

    /// Whether there are times that are in no window.
    pub fn has_gaps(&self) -> bool {
        match &self.cycle {
            Cycle::Months { .. } => false,
            Cycle::Week(shifts) => shifts.iter().map(|shift| shift.times.end - shift.times.start).sum::<i64>() < WEEK,
        }
    }

    /// No window is longer.
    pub fn longest(&self) -> Span {
        let by_the_clock = match &self.cycle {
            Cycle::Week(shifts) => shifts.iter().map(|shift| shift.times.end - shift.times.start).max().unwrap_or(0),
            Cycle::Months { months: 1, .. } => 31 * DAY,
            Cycle::Months { months: 3, .. } => 92 * DAY,
            Cycle::Months { .. } => 366 * DAY,
        };
        Span(by_the_clock + CHANGE_MOST)
    }

    /// What the window is called.
    pub(super) fn name(&self, window: i64) -> Option<&str> {
        match &self.cycle {
            Cycle::Week(shifts) => shifts[window.rem_euclid(shifts.len() as i64) as usize].name.as_deref(),
            Cycle::Months { .. } => None,
        }
    }

    pub(super) fn bounds(&self, window: i64) -> Range<i64> {
        let wall = self.by_the_clock(window);
        self.instant(wall.start)..self.instant(wall.end)
    }

    pub(super) fn cell(&self, time: i64) -> Range<i64> {
        let last = self.last(time);
        let bounds = self.bounds(last);
        if time < bounds.end { bounds } else { bounds.end..self.bounds(last + 1).start }
    }

    pub(super) fn first(&self, time: i64) -> i64 {
        let last = self.last(time);
        if time < self.bounds(last).end { last } else { last + 1 }
    }

    pub(super) fn last(&self, time: i64) -> i64 {
        let mut window = self.near(self.wall_clock(time));
        // The wall clock may have been put back since the window started, or be about to be.
        while self.bounds(window + 1).start <= time {
            window += 1;
        }
        while self.bounds(window).start > time {
            window -= 1;
        }
        window
    }

    /// Start and end of a window by the wall clock, in microseconds since 1970-01-01T00:00:00 by that clock.
    fn by_the_clock(&self, window: i64) -> Range<i64> {
        match &self.cycle {
            Cycle::Week(shifts) => {
                let count = shifts.len() as i64;
                let times = &shifts[window.rem_euclid(count) as usize].times;
                let week = window.div_euclid(count) * WEEK - EPOCH_IN_WEEK;
                week + times.start..week + times.end
            }
            Cycle::Months { months, offset } => {
                first_of(window * months) + offset..first_of((window + 1) * months) + offset
            }
        }
    }

    /// The last window that starts at or before a time of the wall clock.
    fn near(&self, wall: i64) -> i64 {
        match &self.cycle {
            Cycle::Week(shifts) => {
                let (week, within) = ((wall + EPOCH_IN_WEEK).div_euclid(WEEK), (wall + EPOCH_IN_WEEK).rem_euclid(WEEK));
                let before = shifts.partition_point(|shift| shift.times.start <= within) as i64;
                week * shifts.len() as i64 + before - 1
            }
            Cycle::Months { months, offset } => {
                let date = naive(wall - offset).date();
                ((i64::from(date.year()) - 1970) * 12 + i64::from(date.month0())).div_euclid(*months)
            }
        }
    }

    /// What the wall clock shows at a time.
    fn wall_clock(&self, time: i64) -> i64 {
        time + i64::from(self.zone.offset_from_utc_datetime(&naive(time)).fix().local_minus_utc()) * SECOND
    }

    /// When the wall clock shows a time: for the first time, or next if it is skipped.
    fn instant(&self, wall: i64) -> i64 {
        let instant = |offset: <Tz as TimeZone>::Offset| wall - i64::from(offset.fix().local_minus_utc()) * SECOND;
        match self.zone.offset_from_local_datetime(&naive(wall)) {
            MappedLocalTime::Single(offset) => instant(offset),
            MappedLocalTime::Ambiguous(one, other) => instant(one).min(instant(other)),
            MappedLocalTime::None => self.next_change(wall),
        }
    }

    /// The moment at which the clock skips a time.
    fn next_change(&self, wall: i64) -> i64 {
        let (mut before, mut after) = ((wall - 2 * DAY).div_euclid(SECOND), (wall + 2 * DAY).div_euclid(SECOND));
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.wall_clock(middle * SECOND) < wall { before = middle } else { after = middle }
        }
        after * SECOND
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about)
    }
}

/// Midnight before the first day of a month, counted from January 1970, by the wall clock.
fn first_of(month: i64) -> i64 {
    let year = i32::try_from(1970 + month.div_euclid(12)).ok();
    let date = year.and_then(|year| NaiveDate::from_ymd_opt(year, month.rem_euclid(12) as u32 + 1, 1));
    date.map_or(0, |date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
}

/// A date and time; what is beyond any calendar is 1970.
fn naive(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
}

fn zone_of(name: &str) -> Result<Tz, Problem> {
    Tz::from_str(name).map_err(|_| {
        let known = TZ_VARIANTS.iter().map(|zone| zone.name());
        let same = known.clone().find(|zone| zone.eq_ignore_ascii_case(name));
        // Of "Berlin" and "Germany/Berlin" the city is right.
        let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_lowercase();
        let of_city = || known.clone().filter(|zone| city(zone) == city(name)).collect::<Vec<_>>();
        let hint = match (same.or_else(|| nearest(name, known.clone())), of_city().as_slice()) {
            (_, cities @ [_, ..]) => format!("did you mean \"{}\"?", cities.join("\" or \"")),
            (Some(near), _) => format!("did you mean \"{near}\"?"),
            (None, _) => "write it as in \"Europe/Berlin\", \"America/New_York\" or \"UTC\"".to_owned(),
        };
        Problem::whole(format!("there is no time zone \"{name}\"")).hint(hint)
    })
}
