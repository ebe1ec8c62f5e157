//! Windows that grow, those of a calendar, and the shifts of a plant; offsets of all.

use expect_test::expect;

use super::harness::{explain, refused, run};

const READINGS: &str = "
    10s  a  1   1
    70s  a  10  2
    3h   b  3   3
    5h   a  5   4
    13h  b  -   5
    22h  a  7   6
    30h  a  9   7";

#[test]
fn a_window_that_grows_comes_out_at_each_step() {
    let short = "SELECT window_start, window_end, count(*) AS n
                 FROM CUMULATE(readings, ts, INTERVAL '8' HOUR, INTERVAL '1' DAY) GROUP BY window_start, window_end";
    let long = "SELECT window_start, window_end, count(*) AS n
                FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '8' HOUR, INTERVAL '1' DAY))
                GROUP BY window_start, window_end";
    let named = "SELECT window_start, window_end, count(*) AS n
                 FROM TABLE(CUMULATE(DATA => TABLE readings, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' DAY,
                                     STEP => INTERVAL '8' HOUR))
                 GROUP BY window_start, window_end";
    expect![[r#"
        window_start  window_end  n
        0s            8h          4
        0s            16h         5
        0s            1d          6
        1d            1d8h        1
        1d            1d16h       1
        1d            2d          1
    "#]]
    .assert_eq(&run(short, READINGS));
    assert_eq!(run(long, READINGS), run(short, READINGS));
    assert_eq!(run(named, READINGS), run(short, READINGS));
    assert_eq!(explain(long), explain(short));
}

#[test]
fn offsets_go_by_name_and_place_and_may_be_negative() {
    let starts = |windows: &str| {
        run(
            &format!("SELECT window_start, window_end, count(*) AS n FROM {windows} GROUP BY window_start, window_end"),
            READINGS,
        )
    };
    let tumble = starts("TUMBLE(readings, ts, INTERVAL '1' DAY, INTERVAL '6' HOUR)");
    expect![[r#"
        window_start  window_end  n
        -18h          6h          4
        6h            1d6h        2
        1d6h          2d6h        1
    "#]]
    .assert_eq(&tumble);
    for same in [
        "TUMBLE(readings, ts, SIZE => INTERVAL '1' DAY, OFFSET => INTERVAL '6' HOUR)",
        "TUMBLE(readings, ts, INTERVAL '1' DAY, INTERVAL '-18' HOUR)",
        "TUMBLE(readings, ts, INTERVAL '1' DAY, - INTERVAL '18' HOUR)",
        "TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '6' HOUR))",
        "HOP(readings, ts, INTERVAL '1' DAY, INTERVAL '1' DAY, INTERVAL '6' HOUR)",
        "CUMULATE(readings, ts, INTERVAL '1' DAY, INTERVAL '1' DAY, INTERVAL '6' HOUR)",
        "CALENDAR(readings, ts, 'day', 'UTC', INTERVAL '6' HOUR)",
    ] {
        assert_eq!(starts(same), tumble, "{same}");
    }
    let hop = starts("HOP(readings, ts, INTERVAL '12' HOUR, INTERVAL '1' DAY, INTERVAL '6' HOUR)");
    let named = "HOP(DATA => readings, TIMECOL => ts, SIZE => INTERVAL '1' DAY, SLIDE => INTERVAL '12' HOUR, OFFSET => INTERVAL '-6' HOUR)";
    assert_eq!(starts(named), hop);
    expect![[r#"
        window_start  window_end  n
        -18h          6h          4
        6h            18h         1
        6h            1d6h        2
        1d6h          1d18h       1
        1d6h          2d6h        1
    "#]]
    .assert_eq(&starts("CUMULATE(readings, ts, INTERVAL '12' HOUR, INTERVAL '1' DAY, INTERVAL '6' HOUR)"));
}

#[test]
fn days_and_shifts_go_by_the_wall_clock() {
    // In 1970 Berlin was an hour ahead of UTC all year.
    let days = "SELECT window_start, window_end, count(*) AS n, sum(value) AS total
                FROM CALENDAR(readings, ts, 'day', 'Europe/Berlin') GROUP BY window_start, window_end";
    expect![[r#"
        window_start  window_end  n  total
        -1h           23h         6  26.0
        23h           1d23h       1  9.0
    "#]]
    .assert_eq(&run(days, READINGS));
    let shifts = "SELECT shift, window_start, sensor, count(*) AS n
                  FROM SHIFT(readings, ts, 'Europe/Berlin', 'early 06:00-14:00, late 14:00-22:00, night 22:00-06:00')
                  WHERE n <> 4 GROUP BY window_start, window_end, shift, sensor HAVING shift <> 'late'";
    expect![[r#"
        shift  window_start  sensor  n
        night  -3h           a       2
        night  -3h           b       1
        night  21h           a       1
        early  1d5h          a       1
        filtered 2
    "#]]
    .assert_eq(&run(shifts, READINGS));
    expect![[r#"
        prepare reads readings
          where n <> 4
          select ts, sensor
        window reads prepare
          group by window_start, window_end, shift, sensor over ts: count(*)
        select reads window
          where shift <> 'late'
          select shift, window_start, sensor, count(*) AS n
        event times: window_start (up to 1d8h behind the watermark)
    "#]]
    .assert_eq(&explain(shifts));
}

#[test]
fn rows_come_out_in_each_of_their_windows() {
    let all = |windows: &str| run(&format!("SELECT * FROM {windows} WHERE n > 5"), READINGS);
    expect![[r#"
        ts    sensor  value  n  window_start  window_end
        22h   a       7.0    6  0s            1d
        1d6h  a       9.0    7  1d            1d8h
        1d6h  a       9.0    7  1d            1d16h
        1d6h  a       9.0    7  1d            2d
        filtered 14
    "#]]
    .assert_eq(&all("CUMULATE(readings, ts, INTERVAL '8' HOUR, INTERVAL '1' DAY)"));
    expect![[r#"
        ts    sensor  value  n  window_start  window_end
        22h   a       7.0    6  -9h           30d15h
        1d6h  a       9.0    7  -9h           30d15h
        filtered 5
    "#]]
    .assert_eq(&all("CALENDAR(readings, ts, 'month', 'Asia/Tokyo')"));
    expect![[r#"
        ts    sensor  value  n  window_start  window_end  shift
        22h   a       7.0    6  20h           1d4h        20:00-04:00
        1d6h  a       9.0    7  1d6h          1d18h       day
        filtered 5
    "#]]
    .assert_eq(&all("SHIFT(readings, ts, 'UTC', 'day 06:00-18:00, 20:00-04:00')"));
}

#[test]
fn windows_over_shifts() {
    let sql = "WITH shifts AS (
                 SELECT window_start, shift, count(*) AS n
                 FROM SHIFT(readings, ts, 'UTC', 'day 06:00-18:00, night 18:00-06:00') GROUP BY window_start, shift)
               SELECT window_start, window_end, shift, sum(n) AS n
               FROM CALENDAR(shifts, window_start, 'week', 'UTC') GROUP BY window_start, window_end, shift";
    expect![[r#"
        window_start  window_end  shift  n
        -3d           4d          night  5
        -3d           4d          day    2
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let wrong = |windows: &str| {
        format!("{windows}\n{}", refused(&format!("SELECT count(*) FROM {windows} GROUP BY window_start")))
    };
    let all = [
        "CUMULATE(readings, ts, INTERVAL '7' HOUR, INTERVAL '1' DAY)",
        "CUMULATE(readings, ts, INTERVAL '1' DAY, INTERVAL '1' HOUR)",
        "CUMULATE(readings, ts, INTERVAL '0' HOUR, INTERVAL '1' DAY)",
        "CUMULATE(readings, ts, INTERVAL '1' MICROSECOND, INTERVAL '1' DAY)",
        "CUMULATE(readings, ts, INTERVAL '1' DAY)",
        "CALENDAR(readings, ts, 'dya', 'Europe/Berlin')",
        "CALENDAR(readings, ts, 'month from monday', 'Europe/Berlin')",
        "CALENDAR(readings, ts, 'day', 'Europe/Berlni')",
        "CALENDAR(readings, ts, 'day', 'Europe/Berlin', INTERVAL '25' HOUR)",
        "CALENDAR(readings, ts, 'day')",
        "CALENDAR(readings, ts, INTERVAL '1' DAY, 'Europe/Berlin')",
        "CALENDAR(readings, value, 'day', 'Europe/Berlin')",
        "SHIFT(readings, ts, '06:00-14:00', 'Europe/Berlin')",
        "SHIFT(readings, ts, 'Europe/Berlin', 'early 06:00-14:00, late 13:00-22:00')",
        "SHIFT(readings, ts, 'Europe/Berlin', 'early six to two')",
    ];
    expect![[r#"
        CUMULATE(readings, ts, INTERVAL '7' HOUR, INTERVAL '1' DAY)
        1:54: the size of 1d is not a multiple of the step of 7h
          take a step that divides the size, so that the last step ends with the window
        CUMULATE(readings, ts, INTERVAL '1' DAY, INTERVAL '1' HOUR)
        1:22: the step of 1d is longer than the window of 1h
          step comes first, then size: CUMULATE(readings, ts, INTERVAL '1' HOUR, INTERVAL '1' DAY)
        CUMULATE(readings, ts, INTERVAL '0' HOUR, INTERVAL '1' DAY)
        1:54: the step of a window must be greater than zero
          write CUMULATE(table, event_time, INTERVAL '1' HOUR, INTERVAL '1' DAY): step, then size
        CUMULATE(readings, ts, INTERVAL '1' MICROSECOND, INTERVAL '1' DAY)
        1:22: windows of 1d every 1us put each row into more than 100000 windows
          use a longer step or a shorter size
        CUMULATE(readings, ts, INTERVAL '1' DAY)
        1:22: CUMULATE needs its argument size
          write CUMULATE(table, event_time, INTERVAL '1' HOUR, INTERVAL '1' DAY): step, then size
        CALENDAR(readings, ts, 'dya', 'Europe/Berlin')
        1:45: there is no period "dya"
          did you mean "day"?
        CALENDAR(readings, ts, 'month from monday', 'Europe/Berlin')
        1:45: there is no period "month from monday"
          only a week has another first day: 'week from sunday'
        CALENDAR(readings, ts, 'day', 'Europe/Berlni')
        1:52: there is no time zone "Europe/Berlni"
          did you mean "Europe/Berlin"?
        CALENDAR(readings, ts, 'day', 'Europe/Berlin', INTERVAL '25' HOUR)
        1:78: the offset of 1d1h is not shorter than a day
          an offset says how long after midnight a period starts
        CALENDAR(readings, ts, 'day')
        1:22: CALENDAR needs its argument zone
          write CALENDAR(table, event_time, 'day', 'Europe/Berlin')
        CALENDAR(readings, ts, INTERVAL '1' DAY, 'Europe/Berlin')
        1:54: the period of a window is a text in quotes
          write CALENDAR(table, event_time, 'day', 'Europe/Berlin')
        CALENDAR(readings, value, 'day', 'Europe/Berlin')
        1:41: column "value" is not an event time, so windows cannot be cut by it
          the event times there are: ts
        SHIFT(readings, ts, '06:00-14:00', 'Europe/Berlin')
        1:42: there is no time zone "06:00-14:00"
          write it as in "Europe/Berlin", "America/New_York" or "UTC"
        SHIFT(readings, ts, 'Europe/Berlin', 'early 06:00-14:00, late 13:00-22:00')
        1:59: the shifts "early" and "late" overlap on monday
          a shift ends when the next one starts, or before
        SHIFT(readings, ts, 'Europe/Berlin', 'early six to two')
        1:59: "early six to two" is not a shift
          write '06:00-14:00', 'early 06:00-14:00' or 'Mon-Fri early 06:00-14:00'
    "#]]
    .assert_eq(&all.map(wrong).join(""));
    let by_shift_alone = "SELECT shift, count(*) FROM SHIFT(readings, ts, 'UTC', 'day 06:00-18:00') GROUP BY shift";
    expect![[r#"
        1:75: the rows are not grouped by their window, so no group would ever be complete
          GROUP BY window_start, window_end and the other columns
    "#]]
    .assert_eq(&refused(by_shift_alone));
}
