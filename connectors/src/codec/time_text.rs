//! Points in time as text: RFC 3339, such as `2024-03-01T12:30:00.25Z` or `2024-03-01T13:30:00+01:00`.
//!
//! Reading is strict (a date without a zone is refused, since nobody can know which one was meant) and keeps microseconds;
//! finer digits are cut off. The conversion between days and dates is Howard Hinnant's ("chrono-Compatible Low-Level Date
//! Algorithms", 2013).

use std::sync::LazyLock;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use lineside_model::Timestamp;

use super::field::TimeUnit;

const DAY_S: i64 = 86_400;

/// Reads a time in the form that `unit` says; `None` if it is none.
pub(super) fn read(unit: TimeUnit, text: &str) -> Option<Timestamp> {
    // What programs write is mostly RFC 3339, too, and quickest read as that.
    parse(text).or_else(|| if unit == TimeUnit::Text { loose(text) } else { None })
}

/// Reads what Arrow takes for a time, in UTC where it names no offset.
fn loose(text: &str) -> Option<Timestamp> {
    static UTC: LazyLock<Option<Tz>> = LazyLock::new(|| "UTC".parse().ok());
    string_to_datetime(UTC.as_ref()?, text).ok().map(|time| Timestamp(time.timestamp_micros()))
}

/// Reads an RFC 3339 text; `None` if it is not one.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let year = number(bytes, 0, 4)?;
    let month = number(bytes, 5, 2)?;
    let day = number(bytes, 8, 2)?;
    let hour = number(bytes, 11, 2)?;
    let minute = number(bytes, 14, 2)?;
    let second = number(bytes, 17, 2)?;
    let marks = [(4, b"-".as_slice()), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !marks.iter().all(|(at, allowed)| bytes.get(*at).is_some_and(|b| allowed.contains(b))) {
        return None;
    }
    // A leap second is the first moment of the next minute, as POSIX clocks have it.
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = bytes.get(19..)?;
    let mut micros = 0;
    if let Some(digits) = rest.strip_prefix(b".") {
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        for n in 0..6 {
            let digit = if n < count { i64::from(digits.get(n)? - b'0') } else { 0 };
            micros = micros * 10 + digit;
        }
        rest = digits.get(count..)?;
    }
    let offset_s = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(rest, 1, 2)?, number(rest, 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = days_from_date(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second - offset_s;
    Some(Timestamp(seconds * 1_000_000 + micros))
}

/// Writes RFC 3339 in UTC with six digits after the second, so that texts sort as the times do.
pub(super) fn write(time: Timestamp, out: &mut Vec<u8>) {
    use std::io::Write;
    let micros = time.micros().rem_euclid(1_000_000);
    let seconds = time.micros().div_euclid(1_000_000);
    let (year, month, day) = date_from_days(seconds.div_euclid(DAY_S));
    let second = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
        .expect("writing to memory does not fail");
}

/// The same as a text of its own.
pub(crate) fn written(time: Timestamp) -> String {
    let mut text = Vec::new();
    write(time, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn number(bytes: &[u8], from: usize, digits: usize) -> Option<i64> {
    bytes
        .get(from..from + digits)?
        .iter()
        .try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates_are_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T12:30:00.25Z", 1_709_209_800_250_000),
            ("2024-02-29T13:30:00.250000+01:00", 1_709_209_800_250_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2100-01-01 00:00:00Z", 4_102_444_800_000_000),
        ] {
            assert_eq!(parse(text), Some(Timestamp(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "yesterday",
            "2024-02-29",
            "2024-02-29T12:30:00",
            "2023-02-29T12:30:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+25:00",
            "2024-01-01T00:00:00Zx",
            "２024-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_reads_back_as_it_was_written(micros in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let mut text = Vec::new();
            write(Timestamp(micros), &mut text);
            prop_assert_eq!(parse(std::str::from_utf8(&text).unwrap()), Some(Timestamp(micros)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _unused = parse(&text);
        }
    }
}
