//! Days, weeks, months and shifts by the wall clock, across changes of the clock.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use expect_test::{Expect, expect};
use lineside_model::{Span, Timestamp};
use lineside_operators::window::calendar::Period;
use lineside_operators::window::{Calendar, WindowKind, plan, plan_rows};
use proptest::prelude::*;

use crate::{Kept, by_sensor, readings};

fn micros(text: &str) -> i64 {
    text.parse::<DateTime<chrono::Utc>>().expect("a time").timestamp_micros()
}

fn utc(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).expect("a time").format("%a %d %b %Y %H:%M").to_string()
}

fn batch(times: impl Iterator<Item = i64>) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let rows = times.values().len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(StringArray::from(vec!["oven"; rows])),
        Arc::new(Float64Array::from(vec![1.0; rows])),
    ];
    RecordBatch::try_new(readings(), columns).expect("fits")
}

/// A reading every half hour of a stretch of time: how many there are in each window.
fn check(calendar: Calendar, from: &str, to: &str, expected: &Expect) {
    let kind = WindowKind::Calendar(Arc::new(calendar));
    let planned = plan(by_sensor(kind, &[]), &readings()).expect("sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let times = (micros(from)..micros(to)).step_by(1_800_000_000);
    operator.process(0, batch(times), &mut out).expect("takes rows");
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let mut text = String::new();
    for rows in &out.batches {
        for row in 0..rows.num_rows() {
            let edge = |n: usize| rows.column(n).as_primitive::<TimestampMicrosecondType>().value(row);
            let hours = (edge(1) - edge(0)) as f64 / 3.6e9;
            let cell = |n: usize| array_value_to_string(rows.column(n), row).expect("prints");
            let names = (2..rows.num_columns()).map(cell).collect::<Vec<_>>().join(" ");
            text += &format!("{} to {}, {hours} h: {names}\n", utc(edge(0)), utc(edge(1)));
        }
    }
    for (reason, rows) in out.dropped {
        text += &format!("{} {rows}\n", reason.word());
    }
    expected.assert_eq(&text);
}

fn periods(period: Period, zone: &str, offset: Span) -> Calendar {
    Calendar::of_periods(period, zone, offset).expect("a zone")
}

fn shifts(text: &str, zone: &str) -> Calendar {
    Calendar::of_shifts(text, zone).expect("shifts")
}

#[test]
fn a_day_is_23_or_25_hours_long_when_the_clock_is_changed() {
    let berlin = || periods(Period::Day, "Europe/Berlin", Span::ZERO);
    check(
        berlin(),
        "2026-03-28T00:00:00Z",
        "2026-03-30T12:00:00Z",
        &expect![[r#"
        Fri 27 Mar 2026 23:00 to Sat 28 Mar 2026 23:00, 24 h: oven 46
        Sat 28 Mar 2026 23:00 to Sun 29 Mar 2026 22:00, 23 h: oven 46
        Sun 29 Mar 2026 22:00 to Mon 30 Mar 2026 22:00, 24 h: oven 28
    "#]],
    );
    check(
        berlin(),
        "2026-10-24T00:00:00Z",
        "2026-10-26T12:00:00Z",
        &expect![[r#"
        Fri 23 Oct 2026 22:00 to Sat 24 Oct 2026 22:00, 24 h: oven 44
        Sat 24 Oct 2026 22:00 to Sun 25 Oct 2026 23:00, 25 h: oven 50
        Sun 25 Oct 2026 23:00 to Mon 26 Oct 2026 23:00, 24 h: oven 26
    "#]],
    );
    let howe = periods(Period::Day, "Australia/Lord_Howe", Span::ZERO);
    check(
        howe.clone(),
        "2026-04-03T13:00:00Z",
        "2026-04-06T00:00:00Z",
        &expect![[r#"
        Fri 03 Apr 2026 13:00 to Sat 04 Apr 2026 13:00, 24 h: oven 48
        Sat 04 Apr 2026 13:00 to Sun 05 Apr 2026 13:30, 24.5 h: oven 49
        Sun 05 Apr 2026 13:30 to Mon 06 Apr 2026 13:30, 24 h: oven 21
    "#]],
    );
    check(
        howe,
        "2026-10-02T13:30:00Z",
        "2026-10-05T00:00:00Z",
        &expect![[r#"
        Fri 02 Oct 2026 13:30 to Sat 03 Oct 2026 13:30, 24 h: oven 48
        Sat 03 Oct 2026 13:30 to Sun 04 Oct 2026 13:00, 23.5 h: oven 47
        Sun 04 Oct 2026 13:00 to Mon 05 Oct 2026 13:00, 24 h: oven 22
    "#]],
    );
}

#[test]
fn the_night_shift_is_an_hour_shorter_or_longer() {
    let three = || shifts("early 06:00-14:00, late 14:00-22:00, night 22:00-06:00", "Europe/Berlin");
    check(
        three(),
        "2026-03-28T05:00:00Z",
        "2026-03-29T12:00:00Z",
        &expect![[r#"
        Sat 28 Mar 2026 05:00 to Sat 28 Mar 2026 13:00, 8 h: early oven 16
        Sat 28 Mar 2026 13:00 to Sat 28 Mar 2026 21:00, 8 h: late oven 16
        Sat 28 Mar 2026 21:00 to Sun 29 Mar 2026 04:00, 7 h: night oven 14
        Sun 29 Mar 2026 04:00 to Sun 29 Mar 2026 12:00, 8 h: early oven 16
    "#]],
    );
    check(
        three(),
        "2026-10-24T04:00:00Z",
        "2026-10-25T13:00:00Z",
        &expect![[r#"
        Sat 24 Oct 2026 04:00 to Sat 24 Oct 2026 12:00, 8 h: early oven 16
        Sat 24 Oct 2026 12:00 to Sat 24 Oct 2026 20:00, 8 h: late oven 16
        Sat 24 Oct 2026 20:00 to Sun 25 Oct 2026 05:00, 9 h: night oven 18
        Sun 25 Oct 2026 05:00 to Sun 25 Oct 2026 13:00, 8 h: early oven 16
    "#]],
    );
}

#[test]
fn shifts_of_some_weekdays_leave_gaps() {
    let some = shifts("Mon-Fri early 6:00-14:00, Mon/Wed late 14:00-21:30, Sat 08:00-12:00", "Europe/Berlin");
    check(
        some,
        "2026-06-01T00:00:00Z",
        "2026-06-08T00:00:00Z",
        &expect![[r#"
        Mon 01 Jun 2026 04:00 to Mon 01 Jun 2026 12:00, 8 h: early oven 16
        Mon 01 Jun 2026 12:00 to Mon 01 Jun 2026 19:30, 7.5 h: late oven 15
        Tue 02 Jun 2026 04:00 to Tue 02 Jun 2026 12:00, 8 h: early oven 16
        Wed 03 Jun 2026 04:00 to Wed 03 Jun 2026 12:00, 8 h: early oven 16
        Wed 03 Jun 2026 12:00 to Wed 03 Jun 2026 19:30, 7.5 h: late oven 15
        Thu 04 Jun 2026 04:00 to Thu 04 Jun 2026 12:00, 8 h: early oven 16
        Fri 05 Jun 2026 04:00 to Fri 05 Jun 2026 12:00, 8 h: early oven 16
        Sat 06 Jun 2026 06:00 to Sat 06 Jun 2026 10:00, 4 h: 08:00-12:00 oven 8
        filtered 218
    "#]],
    );
}

#[test]
fn weeks_months_and_years_of_a_zone() {
    let berlin = "Europe/Berlin";
    check(
        periods(Period::Week, berlin, Span::ZERO),
        "2026-03-20T00:00:00Z",
        "2026-04-01T00:00:00Z",
        &expect![[r#"
        Sun 15 Mar 2026 23:00 to Sun 22 Mar 2026 23:00, 168 h: oven 142
        Sun 22 Mar 2026 23:00 to Sun 29 Mar 2026 22:00, 167 h: oven 334
        Sun 29 Mar 2026 22:00 to Sun 05 Apr 2026 22:00, 168 h: oven 100
    "#]],
    );
    let from_sunday = Period::parse("week from Sunday").expect("a period");
    check(
        periods(from_sunday.0, berlin, from_sunday.1),
        "2026-03-20T00:00:00Z",
        "2026-04-01T00:00:00Z",
        &expect![[r#"
        Sat 14 Mar 2026 23:00 to Sat 21 Mar 2026 23:00, 168 h: oven 94
        Sat 21 Mar 2026 23:00 to Sat 28 Mar 2026 23:00, 168 h: oven 336
        Sat 28 Mar 2026 23:00 to Sat 04 Apr 2026 22:00, 167 h: oven 146
    "#]],
    );
    let six = Span::from_secs(6 * 3600);
    check(
        periods(Period::Month, berlin, six),
        "2026-02-27T00:00:00Z",
        "2026-04-02T00:00:00Z",
        &expect![[r#"
        Sun 01 Feb 2026 05:00 to Sun 01 Mar 2026 05:00, 672 h: oven 106
        Sun 01 Mar 2026 05:00 to Wed 01 Apr 2026 04:00, 743 h: oven 1486
        Wed 01 Apr 2026 04:00 to Fri 01 May 2026 04:00, 720 h: oven 40
    "#]],
    );
    check(
        periods(Period::Quarter, berlin, Span::ZERO),
        "2025-12-01T00:00:00Z",
        "2026-04-02T00:00:00Z",
        &expect![[r#"
        Tue 30 Sep 2025 22:00 to Wed 31 Dec 2025 23:00, 2209 h: oven 1486
        Wed 31 Dec 2025 23:00 to Tue 31 Mar 2026 22:00, 2159 h: oven 4318
        Tue 31 Mar 2026 22:00 to Tue 30 Jun 2026 22:00, 2184 h: oven 52
    "#]],
    );
    check(
        periods(Period::Year, berlin, Span::ZERO),
        "2025-12-31T20:00:00Z",
        "2026-01-02T00:00:00Z",
        &expect![[r#"
        Tue 31 Dec 2024 23:00 to Wed 31 Dec 2025 23:00, 8760 h: oven 6
        Wed 31 Dec 2025 23:00 to Thu 31 Dec 2026 23:00, 8760 h: oven 50
    "#]],
    );
}

#[test]
fn an_edge_that_the_clock_skips_is_at_the_change_and_one_that_comes_twice_at_its_first_time() {
    let edges = || shifts("before 01:00-02:30, after 02:30-05:00", "Europe/Berlin");
    check(
        edges(),
        "2026-03-28T23:00:00Z",
        "2026-03-29T06:00:00Z",
        &expect![[r#"
        Sun 29 Mar 2026 00:00 to Sun 29 Mar 2026 01:00, 1 h: before oven 2
        Sun 29 Mar 2026 01:00 to Sun 29 Mar 2026 03:00, 2 h: after oven 4
        filtered 8
    "#]],
    );
    check(
        edges(),
        "2026-10-24T22:00:00Z",
        "2026-10-25T06:00:00Z",
        &expect![[r#"
        Sat 24 Oct 2026 23:00 to Sun 25 Oct 2026 00:30, 1.5 h: before oven 3
        Sun 25 Oct 2026 00:30 to Sun 25 Oct 2026 04:00, 3.5 h: after oven 7
        filtered 6
    "#]],
    );
    // A shift that the clock skips whole has no time at all.
    let skipped = shifts("skipped 02:10-02:50, day 06:00-22:00", "Europe/Berlin");
    check(
        skipped,
        "2026-03-28T23:00:00Z",
        "2026-03-29T06:00:00Z",
        &expect![[r#"
        Sun 29 Mar 2026 04:00 to Sun 29 Mar 2026 20:00, 16 h: day oven 4
        filtered 10
    "#]],
    );
}

#[test]
fn a_day_that_a_zone_left_out_has_no_window() {
    let apia = periods(Period::Day, "Pacific/Apia", Span::ZERO);
    check(
        apia,
        "2011-12-29T00:00:00Z",
        "2012-01-01T00:00:00Z",
        &expect![[r#"
        Wed 28 Dec 2011 10:00 to Thu 29 Dec 2011 10:00, 24 h: oven 20
        Thu 29 Dec 2011 10:00 to Fri 30 Dec 2011 10:00, 24 h: oven 48
        Fri 30 Dec 2011 10:00 to Sat 31 Dec 2011 10:00, 24 h: oven 48
        Sat 31 Dec 2011 10:00 to Sun 01 Jan 2012 10:00, 24 h: oven 28
    "#]],
    );
}

#[test]
fn rows_come_out_with_the_shift_they_belong_to() {
    let kind = WindowKind::Calendar(Arc::new(shifts("early 06:00-14:00, 14:00-22:00", "Europe/Berlin")));
    let mut fields = readings().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    fields.extend(kind.fields());
    let planned = plan_rows(&kind, 0, Arc::new(arrow::datatypes::Schema::new(fields)));
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let times = ["2026-06-01T04:00:00Z", "2026-06-01T12:00:00Z", "2026-06-01T20:00:00Z", "2026-06-01T11:59:59Z"];
    operator.process(0, batch(times.iter().map(|time| micros(time))), &mut out).expect("takes rows");
    let rows = &out.batches[0];
    let names = rows.column(5).as_string::<i32>().iter().flatten().collect::<Vec<_>>();
    assert_eq!(names, ["early", "14:00-22:00", "early"]);
    assert_eq!(out.dropped.values().sum::<usize>(), 1);
}

#[test]
fn rows_of_many_windows_come_out_in_many_batches() {
    let kind = crate::hop(3600, 1);
    let mut fields = readings().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    fields.extend(kind.fields());
    let planned = plan_rows(&kind, 0, Arc::new(arrow::datatypes::Schema::new(fields)));
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    operator.process(0, batch(0..100), &mut out).expect("takes rows");
    let sizes = out.batches.iter().map(arrow::array::RecordBatch::num_rows).collect::<Vec<_>>();
    assert_eq!(sizes.iter().sum::<usize>(), 360_000);
    assert!(sizes.iter().all(|rows| *rows < 8192 + 3600), "{sizes:?}");
}

#[test]
fn what_is_wrong_with_a_calendar_is_told_with_the_cure() {
    let day = |zone: &str, offset: i64| Calendar::of_periods(Period::Day, zone, Span::from_secs(offset));
    let shifts = |text: &str| Calendar::of_shifts(text, "Europe/Berlin");
    let wrong = [
        day("Europe/Berlni", 0),
        day("berlin", 0),
        day("europe/berlin", 0),
        day("Nowhere at all", 0),
        day("UTC", 86_400),
        shifts("06:00-14:00, 13:59-22:00"),
        shifts("Mon-Fri 06:00-14:00, Sun 22:00-06:01, Mon late 14:00-22:00"),
        shifts("early"),
        shifts("06:00-14:00, "),
        shifts("25:00-26:00"),
        shifts("06:00-14:60"),
    ];
    let text = wrong.iter().map(|wrong| {
        let problem = wrong.as_ref().expect_err("it is wrong");
        format!("{}\n  {}\n", problem.message, problem.hint.as_deref().unwrap_or("-"))
    });
    expect![[r#"
        there is no time zone "Europe/Berlni"
          did you mean "Europe/Berlin"?
        there is no time zone "berlin"
          did you mean "Europe/Berlin"?
        there is no time zone "europe/berlin"
          did you mean "Europe/Berlin"?
        there is no time zone "Nowhere at all"
          write it as in "Europe/Berlin", "America/New_York" or "UTC"
        the offset of 1d is not shorter than a day
          an offset says how long after midnight a period starts
        the shifts "06:00-14:00" and "13:59-22:00" overlap on monday
          a shift ends when the next one starts, or before
        the shifts "22:00-06:01" and "06:00-14:00" overlap on monday
          a shift ends when the next one starts, or before
        "early" is not a shift
          write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'
        "" is not a shift
          write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'
        "25:00-26:00" is not a shift
          write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'
        "06:00-14:60" is not a shift
          write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'
    "#]]
    .assert_eq(&text.collect::<String>());
}

/// The last moment at or before `time` that the predicate holds for the first time: by asking for every quarter of an hour.
fn wall(zone: Tz, time: i64) -> NaiveDateTime {
    let utc = DateTime::from_timestamp_micros(time).expect("a time").naive_utc();
    utc + zone.offset_from_utc_datetime(&utc).fix()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A day is from the first moment that the clock shows its date to the first moment of the next.
    #[test]
    fn every_reading_is_in_the_day_that_the_clock_shows(
        zone in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu", "UTC"]),
        hour in 0..200_000i64,
        minute in 0..60i64,
    ) {
        let tz = zone.parse::<Tz>().expect("a zone");
        let time = (hour * 60 + minute) * 60_000_000 + micros("2010-01-01T00:00:00Z");
        let kind = WindowKind::Calendar(Arc::new(periods(Period::Day, zone, Span::ZERO)));
        let planned = plan(by_sensor(kind, &[]), &readings()).expect("sound");
        let (mut operator, mut out) = ((planned.build)(), Kept::default());
        operator.process(0, batch([time].into_iter()), &mut out).expect("takes rows");
        operator.advance(Timestamp::MAX, &mut out).expect("ends");
        let rows = &out.batches[0];
        let edge = |n: usize| rows.column(n).as_primitive::<TimestampMicrosecondType>().value(0);
        let (start, end) = (edge(0), edge(1));
        prop_assert!((start..end).contains(&time));
        prop_assert_eq!(wall(tz, start).date(), wall(tz, time).date());
        prop_assert_eq!(wall(tz, end - 1).date(), wall(tz, time).date());
        prop_assert!(wall(tz, start - 1).date() < wall(tz, time).date());
        prop_assert!(wall(tz, end).date() > wall(tz, time).date());
        prop_assert_eq!(wall(tz, start).second(), 0);
    }
}
