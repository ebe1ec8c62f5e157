//! The shifts of a plant as a user writes them: `Mon-Fri early 06:00-14:00, Mon-Fri late 14:00-22:00, Sat 08:00-12:00`.
//!
//! Shifts are separated by commas. Each is a stretch of the wall clock, with or without a name before it, on the weekdays before
//! that; without weekdays it is worked every day. A shift that ends at or before the time it starts ends on the next day and
//! belongs to the weekday on which it starts. A shift without a name is called by its times.

use std::ops::Range;

use lineside_model::Problem;

use super::calendar::{DAY, WEEK};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MINUTE: i64 = 60_000_000;

/// A stretch of a week.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shift {
    /// What it is called.
    pub(super) name: Option<String>,
    /// From when to when, in microseconds since the midnight before Monday.
    pub(super) times: Range<i64>,
}

/// Reads shifts: in the order of their starts, none overlapping another.
pub(super) fn parse(text: &str) -> Result<Vec<Shift>, Problem> {
    let mut shifts = Vec::new();
    for written in text.split(',').map(str::trim) {
        shifts.extend(one(written)?);
    }
    shifts.sort_by_key(|shift| shift.times.start);
    let next = shifts.iter().cycle().skip(1);
    for (n, (shift, next)) in shifts.iter().zip(next).enumerate() {
        let next_start = next.times.start + if n + 1 == shifts.len() { WEEK } else { 0 };
        if shift.times.end > next_start {
            let day = DAYS[(next.times.start / DAY) as usize % 7];
            let name = |shift: &Shift| shift.name.clone().unwrap_or_default();
            let message = format!("the shifts \"{}\" and \"{}\" overlap on {day}", name(shift), name(next));
            return Err(Problem::whole(message).hint("a shift ends when the next one starts, or before"));
        }
    }
    Ok(shifts)
}

/// One shift, on each of its days.
fn one(written: &str) -> Result<Vec<Shift>, Problem> {
    let wrong = || {
        let message = format!("\"{written}\" is not a shift");
        Problem::whole(message).hint("write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'")
    };
    let words = written.split_whitespace().collect::<Vec<_>>();
    let (times, before) = words.split_last().ok_or_else(wrong)?;
    let (start, end) = times.split_once('-').ok_or_else(wrong)?;
    let (start, end) = (clock(start).ok_or_else(wrong)?, clock(end).ok_or_else(wrong)?);
    if start >= DAY {
        return Err(wrong());
    }
    let length = if end > start { end - start } else { end - start + DAY };
    let (days, name) = match before.split_first() {
        Some((first, rest)) => match days(first) {
            Some(days) => (days, rest),
            None => ((0..7).collect(), before),
        },
        None => ((0..7).collect(), before),
    };
    let name = if name.is_empty() { (*times).to_owned() } else { name.join(" ") };
    let shift = |day: i64| Shift { name: Some(name.clone()), times: day * DAY + start..day * DAY + start + length };
    Ok(days.into_iter().map(shift).collect())
}

/// A time of day such as `6:00`, `06:00` or `24:00`.
fn clock(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (hours, minutes): (i64, i64) = (number(hours)??, number(minutes)??);
    let time = (hours * 60 + minutes) * MINUTE;
    (minutes < 60 && time <= DAY).then_some(time)
}

/// Weekdays such as `Mon`, `Mon-Fri`, `Fri-Mon` or `Mon/Wed/Fri`, counted from Monday.
fn days(text: &str) -> Option<Vec<i64>> {
    let mut found = Vec::new();
    for part in text.split('/') {
        match part.split_once('-') {
            None => found.push(weekday(part)?),
            Some((first, last)) => {
                let (first, last) = (weekday(first)?, weekday(last)?);
                found.extend((0..=(last - first).rem_euclid(7)).map(|n| (first + n) % 7));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// A weekday, whole or by its first letters, counted from Monday.
pub(super) fn weekday(text: &str) -> Option<i64> {
    let text = text.to_lowercase();
    let found = DAYS.iter().position(|day| text.len() >= 2 && day.starts_with(&text))?;
    i64::try_from(found).ok()
}
