//! Windows whose edges depend on the readings of each key: by script, and against their definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use expect_test::{Expect, expect};
use lineside_model::{Reason, Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction::{
    Avg, CountDistinct, CounterIncrease, Delta, FirstValue, LastValue, Max, Min, Percentile, StddevSample, Sum,
    ValueRange,
};
use lineside_operators::window::MAX_GROUPS;
use lineside_operators::window::keyed::{KeyedKind, KeyedSpec, plan};
use lineside_operators::{PlannedOperator, Snapshot};
use proptest::prelude::*;

use crate::{Kept, SENSOR, TS, VALUE, aggregates, check_planned, lines, readings, restarted};

fn planned(kind: KeyedKind) -> PlannedOperator {
    let aggregates = aggregates(&[Sum, FirstValue, LastValue]);
    let spec = KeyedSpec {
        kind,
        time: TS,
        time_delay: Span::ZERO,
        keys: vec![SENSOR],
        kept: None,
        aggregates,
        max_groups: MAX_GROUPS,
    };
    plan(&spec, &readings()).expect("the plan is sound")
}

fn session(gap: i64, max_size: Option<i64>) -> KeyedKind {
    KeyedKind::Session { gap: Span::from_secs(gap), max_size: max_size.map(Span::from_secs) }
}

fn count(size: u64, slide: u64, gap: Option<i64>) -> KeyedKind {
    KeyedKind::Count { size, slide, gap: gap.map(Span::from_secs) }
}

#[expect(clippy::needless_pass_by_value, reason = "an expectation reads best in the call")]
fn check(kind: KeyedKind, script: &str, expected: Expect) {
    check_planned(&planned(kind), script, &expected);
}

#[test]
fn a_session_ends_a_gap_after_its_last_reading_and_readings_out_of_order_join_it() {
    check(
        session(10, None),
        "
        0  oven 1
        20 oven 4
        10 oven 2
        3  door 8
        watermark 13
        watermark 14
        restart
        31 oven 16
        watermark 30
        watermark 31
        watermark 32
        42 oven 32
        end
        ",
        expect![[r#"
            watermark 14:
              [3, 13) door 1 8.0 8.0 8.0
            watermark 31:
              [0, 30) oven 3 7.0 1.0 4.0
            end:
              [31, 41) oven 1 16.0 16.0 16.0
              [42, 52) oven 1 32.0 32.0 32.0
            open 0
        "#]],
    );
}

#[test]
fn a_late_reading_joins_a_session_that_is_open_and_no_other() {
    check(
        session(10, None),
        "
        20 oven 1
        25 oven 2
        watermark 28
        22 oven 4
        15 oven 8
        4  oven 16
        17 door 32
        18 door 64
        restart
        watermark 29
        watermark 36
        25 oven 128
        end
        ",
        expect![[r#"
            4  oven 16: dropped as late 1
            17 door 32: dropped as late 1
            watermark 29:
              [18, 28) door 1 64.0 64.0 64.0
            watermark 36:
              [15, 35) oven 4 15.0 8.0 2.0
            25 oven 128: dropped as late 1
            open 0
        "#]],
    );
}

#[test]
fn a_session_of_a_sensor_that_never_pauses_is_cut() {
    check(
        session(10, Some(12)),
        "
        0  oven 1
        6  oven 2
        12 oven 4
        18 oven 8
        watermark 12
        1  oven 16
        watermark 13
        restart
        13 oven 32
        watermark 24
        30 oven 64
        end
        ",
        expect![[r#"
            watermark 12:
              [0, 12) oven 2 3.0 1.0 2.0
            1  oven 16: dropped as late 1
            watermark 24:
              [12, 24) oven 3 44.0 4.0 8.0
            end:
              [30, 40) oven 1 64.0 64.0 64.0
            open 0
        "#]],
    );
}

#[test]
fn a_late_reading_does_not_move_the_end_of_a_session_behind_the_watermark() {
    check(
        session(20, Some(25)),
        "
        100 oven 1
        120 oven 2
        watermark 124
        96 oven 4
        99 oven 8
        100 oven 16
        watermark 125
        end
        ",
        expect![[r#"
            96 oven 4: dropped as late 1
            99 oven 8: dropped as late 1
            watermark 125:
              [100, 125) oven 3 19.0 1.0 2.0
            open 0
        "#]],
    );
}

#[test]
fn a_count_window_is_full_when_the_watermark_has_passed_its_last_reading() {
    check(
        count(2, 2, None),
        "
        1 oven 1
        3 oven 4
        2 oven 2
        watermark 2
        2 oven 8
        watermark 3
        restart
        4 oven 16
        2 oven 32
        5 oven 64
        end
        ",
        expect![[r#"
            watermark 3:
              [1, 2) oven 2 3.0 1.0 2.0
            2 oven 32: dropped as late 1
            end:
              [2, 3) oven 2 12.0 8.0 4.0
              [4, 5) oven 2 80.0 16.0 64.0
            open 0
        "#]],
    );
}

#[test]
fn sliding_count_windows_start_anew_after_a_gap() {
    check(
        count(3, 1, Some(10)),
        "
        1  oven 1
        2  oven 2
        3  oven 4
        4  oven 8
        1  door 16
        watermark 5
        restart
        watermark 11
        watermark 12
        20 oven 32
        21 oven 64
        watermark 31
        watermark 32
        50 oven 128
        ",
        expect![[r#"
            watermark 5:
              [1, 3) oven 3 7.0 1.0 4.0
              [2, 4) oven 3 14.0 2.0 8.0
            watermark 12:
              [1, 1) door 1 16.0 16.0 16.0
            watermark 32:
              [20, 21) oven 2 96.0 32.0 64.0
            open 1
        "#]],
    );
}

/// Readings with two conditions and whether they count: `ts sensor value start stop kept`, as text.
fn with_conditions() -> SchemaRef {
    let mut fields = readings().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    fields.extend(["start", "stop", "kept"].map(|name| Field::new(name, DataType::Boolean, true)));
    Arc::new(Schema::new(fields))
}

fn conditions(kind: KeyedKind, kept: bool) -> PlannedOperator {
    let aggregates = aggregates(&[
        Sum,
        Avg,
        Min,
        Max,
        FirstValue,
        LastValue,
        Delta,
        CounterIncrease,
        ValueRange,
        CountDistinct,
        Percentile { fraction: 0.5, exact: true },
    ]);
    let kept = kept.then_some(5);
    let spec = KeyedSpec {
        kind,
        time: TS,
        time_delay: Span::ZERO,
        keys: vec![SENSOR],
        kept,
        aggregates,
        max_groups: MAX_GROUPS,
    };
    plan(&spec, &with_conditions()).expect("the plan is sound")
}

/// One row of an input, in small numbers so that floats are exact.
#[derive(Clone, Debug)]
struct Reading {
    time: Option<i64>,
    key: usize,
    value: Option<i32>,
    start: Option<bool>,
    stop: Option<bool>,
    kept: Option<bool>,
}

#[derive(Clone, Debug)]
enum Step {
    Read(Reading),
    Watermark(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![1 => Just(None), 8 => (-40..40i32).prop_map(Some)];
    let holds = || prop_oneof![1 => Just(None), 4 => any::<bool>().prop_map(Some)];
    let step = (0..20u8, -8..8i64, 0..3usize, value, holds(), holds(), holds());
    prop::collection::vec(step, 1..150).prop_map(|raw| {
        let mut watermark = i64::MIN;
        let step = |(n, (kind, around, key, value, start, stop, kept)): (usize, (u8, i64, usize, _, _, _, _))| {
            let present = n as i64 - 30;
            let time = match kind {
                0..=2 => {
                    watermark = watermark.max(present + around - 4);
                    return Step::Watermark(watermark);
                }
                3 => None,
                4 => Some(present + around * 20),
                _ => Some(present + around),
            };
            Step::Read(Reading { time, key, value, start, stop, kept })
        };
        raw.into_iter().enumerate().map(step).collect()
    })
}

fn batch(readings: &[Reading]) -> RecordBatch {
    let times = readings.iter().map(|r| r.time).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    let condition = |of: fn(&Reading) -> Option<bool>| Arc::new(readings.iter().map(of).collect::<BooleanArray>());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(readings.iter().map(|r| (r.key > 0).then(|| format!("k{}", r.key))).collect::<StringArray>()),
        Arc::new(readings.iter().map(|r| r.value.map(f64::from)).collect::<Float64Array>()),
        condition(|r| r.start),
        condition(|r| r.stop),
        condition(|r| r.kept),
    ];
    RecordBatch::try_new(with_conditions(), columns).expect("fits")
}

fn run(planned: &PlannedOperator, steps: &[Step], batch_max: usize, restart_every: usize) -> (Vec<String>, Drops, u64) {
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let mut waiting = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        if let Step::Read(reading) = step {
            waiting.push(reading.clone());
        }
        let next_is_row = matches!(steps.get(n + 1), Some(Step::Read(_)));
        if waiting.len() >= batch_max || !next_is_row {
            operator.process(0, batch(&waiting), &mut out).expect("takes rows");
            waiting.clear();
        }
        if let Step::Watermark(watermark) = step {
            operator.advance(Timestamp(*watermark), &mut out).expect("advances");
        }
        if n % restart_every == 0 && waiting.is_empty() {
            operator = restarted(planned, operator.as_ref());
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let rows = concat_batches(&planned.output, &out.batches).expect("one schema");
    (lines(&rows), out.dropped, operator.open_rows())
}

type Drops = BTreeMap<Reason, usize>;

/// A window by the definition: its edges, and its rows in the order of time. `over`: it came out.
#[derive(Clone, Debug)]
struct Window {
    start: i64,
    end: i64,
    rows: Vec<Reading>,
}

/// Rows of one key in the order of time, with their windows.
fn windows(kind: KeyedKind, rows: &[Reading]) -> (Vec<Window>, Vec<Reading>) {
    let time = |reading: &Reading| reading.time.expect("it has a time");
    let mut done = Vec::new();
    let mut outside = Vec::new();
    match kind {
        KeyedKind::Session { gap, max_size } => {
            for row in rows {
                let now = time(row);
                let fits = |w: &Window| now <= w.end && max_size.is_none_or(|size| now < w.start + size.micros());
                match done.last_mut().filter(|w: &&mut Window| fits(w)) {
                    Some(window) => {
                        window.rows.push(row.clone());
                        window.end = now + gap.micros();
                    }
                    None => done.push(Window { start: now, end: now + gap.micros(), rows: vec![row.clone()] }),
                }
            }
            if let Some(size) = max_size {
                done.iter_mut().for_each(|w| w.end = w.end.min(w.start + size.micros()));
            }
        }
        KeyedKind::Count { size, slide, gap } => {
            let silent = |two: &[Reading]| gap.is_some_and(|gap| time(&two[1]) - time(&two[0]) > gap.micros());
            for part in rows.chunk_by(|one, next| !silent(&[one.clone(), next.clone()])) {
                let (size, slide) = (size as usize, slide as usize);
                let mut from = 0;
                let mut fresh = 0;
                while from + size <= part.len() {
                    done.push(window_of(&part[from..from + size]));
                    fresh = from + size;
                    from += slide;
                }
                if gap.is_some() && part[fresh..].iter().any(|row| row.kept == Some(true)) {
                    done.push(window_of(&part[from..]));
                }
            }
        }
        KeyedKind::Condition { stop, max_size, .. } => {
            let mut open = None::<Window>;
            for row in rows {
                let now = time(row);
                if let Some(size) = max_size
                    && let Some(mut window) = open.take_if(|window| now >= window.start + size.micros())
                {
                    window.end = window.start + size.micros();
                    done.push(window);
                }
                let starts = row.start == Some(true);
                if stop.is_none() && !starts {
                    outside.push(row.clone());
                    done.extend(open.take().map(|window| Window { end: now, ..window }));
                    continue;
                }
                if open.is_none() && !starts {
                    outside.push(row.clone());
                    continue;
                }
                let window = open.get_or_insert(Window { start: now, end: now, rows: vec![] });
                window.rows.push(row.clone());
                if stop.is_some() && row.stop == Some(true) {
                    done.extend(open.take().map(|window| Window { end: now, ..window }));
                }
            }
            if let (Some(size), Some(window)) = (max_size, open) {
                done.push(Window { end: window.start + size.micros(), ..window });
            }
        }
    }
    (done, outside)
}

fn window_of(rows: &[Reading]) -> Window {
    let time = |row: &Reading| row.time.expect("it has a time");
    Window { start: time(&rows[0]), end: time(&rows[rows.len() - 1]), rows: rows.to_vec() }
}

/// What comes out of rows that are all on time, straight from the definition.
fn reference(kind: KeyedKind, steps: &[Step]) -> (Vec<String>, usize) {
    let mut keys = BTreeMap::<usize, Vec<Reading>>::new();
    for step in steps {
        if let Step::Read(reading) = step {
            keys.entry(reading.key).or_default().push(reading.clone());
        }
    }
    let mut out = Vec::new();
    let mut filtered = 0;
    for (key, mut rows) in keys {
        rows.sort_by_key(|row| row.time);
        let (windows, outside) = windows(kind, &rows);
        filtered += outside.len();
        let mut left = rows.iter().filter(|row| row.kept != Some(true)).count();
        left -= outside.iter().filter(|row| row.kept != Some(true)).count();
        filtered += left;
        for Window { start, end, rows } in windows {
            let kept = rows.iter().filter(|row| row.kept == Some(true)).collect::<Vec<_>>();
            if kept.is_empty() {
                continue;
            }
            let values = kept.iter().filter_map(|row| row.value).map(f64::from).collect::<Vec<_>>();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:?}"));
            let of = |value: fn(&[f64], &[f64]) -> f64| (!values.is_empty()).then(|| value(&values, &sorted));
            let cells = [
                of(|values, _| values.iter().sum()),
                of(|values, _| values.iter().sum::<f64>() / values.len() as f64),
                of(|_, sorted| sorted[0]),
                of(|_, sorted| sorted[sorted.len() - 1]),
                of(|values, _| values[0]),
                of(|values, _| values[values.len() - 1]),
                of(|values, _| values[values.len() - 1] - values[0]),
                of(|values, _| {
                    values
                        .windows(2)
                        .map(|two| if two[1] < two[0] { two[1] } else { two[1] - two[0] })
                        .fold(0.0, |a, b| a + b)
                }),
                of(|_, sorted| sorted[sorted.len() - 1] - sorted[0]),
            ];
            let mut different = sorted.clone();
            different.dedup();
            let cells = cells.map(shown).join(" ") + &format!(" {} ", different.len());
            let cells =
                cells + &shown(of(|_, sorted| (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0));
            let key = if key == 0 { "-".to_owned() } else { format!("k{key}") };
            let (from, to) = (start as f64 / 1e6, end as f64 / 1e6);
            out.push(format!("[{from}, {to}) {key} {} {cells}", kept.len()));
        }
    }
    out.sort();
    (out, filtered)
}

fn kinds() -> impl Strategy<Value = KeyedKind> {
    let span = |longest: i64| prop::option::of((1..longest).prop_map(Span));
    prop_oneof![
        (1..12i64, span(30)).prop_map(|(gap, max_size)| KeyedKind::Session { gap: Span(gap), max_size }),
        (1..9u64, 0..9u64, span(12)).prop_map(|(size, less, gap)| KeyedKind::Count {
            size,
            slide: size - less % size,
            gap
        }),
        (any::<bool>(), span(30)).prop_map(|(stops, max_size)| KeyedKind::Condition {
            start: 3,
            stop: stops.then_some(4),
            max_size
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_and_restarts_make_no_difference(
        kind in kinds(), steps in steps(), batch_max in 1..60usize, restart_every in 1..50usize,
    ) {
        let planned = conditions(kind, true);
        let straight = run(&planned, &steps, 1, usize::MAX);
        prop_assert_eq!(run(&planned, &steps, batch_max, restart_every), straight);
    }

    /// Rows in any order that the watermarks allow give what the definition says of the rows in the order of time.
    #[test]
    fn any_rows_on_time_give_what_the_definition_says(
        kind in kinds(), steps in steps(), batch_max in 1..60usize,
    ) {
        let mut watermark = i64::MIN;
        let on_time = steps.into_iter().filter(|step| match step {
            Step::Watermark(at) => {
                watermark = *at;
                true
            }
            Step::Read(reading) => reading.time.is_some_and(|time| time >= watermark),
        });
        let steps = on_time.collect::<Vec<_>>();
        let (mut found, dropped, open) = run(&conditions(kind, true), &steps, batch_max, usize::MAX);
        let ends = found.iter().map(|line| end_of(line)).collect::<Vec<_>>();
        let left_over = matches!(kind, KeyedKind::Count { gap: Some(_), .. });
        prop_assert!(left_over || ends.is_sorted(), "windows came out in another order than their ends: {:?}", ends);
        found.sort();
        let (expected, filtered) = reference(kind, &steps);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(dropped.get(&Reason::Filtered).copied().unwrap_or(0), filtered);
        prop_assert_eq!(dropped.len(), usize::from(filtered > 0));
        let bounded = match kind {
            KeyedKind::Session { .. } => true,
            KeyedKind::Count { gap: bound, .. } | KeyedKind::Condition { max_size: bound, .. } => bound.is_some(),
        };
        prop_assert!(open == 0 || !bounded);
    }

    /// A row goes into a window, stays in one that is open, or is counted; sliding windows have it several times.
    #[test]
    fn every_row_is_accounted_for(kind in kinds(), steps in steps()) {
        let (found, dropped, open) = run(&conditions(kind, true), &steps, 7, usize::MAX);
        let came = steps.iter().filter(|step| matches!(step, Step::Read(_))).count();
        let out = found.iter().map(|line| rows_of(line)).sum::<usize>();
        let accounted = out + dropped.values().sum::<usize>() + open as usize;
        match kind {
            KeyedKind::Count { size, slide, .. } if size != slide => prop_assert!(accounted >= came),
            _ => prop_assert_eq!(accounted, came),
        }
    }
}

fn end_of(line: &str) -> i64 {
    let (_, end) = line.split_once(", ").expect("a window has an end");
    (end.split_once(')').expect("it is followed").0.parse::<f64>().expect("a number") * 1e6).round() as i64
}

fn rows_of(line: &str) -> usize {
    line.split_whitespace().nth(3).and_then(|cell| cell.parse().ok()).expect("rows are counted")
}

#[test]
fn keys_and_slots_of_closed_windows_are_forgotten() {
    for kind in [session(1, None), count(2, 1, Some(1)), count(3, 3, Some(1))] {
        let planned = planned(kind);
        let (mut operator, mut out) = ((planned.build)(), Kept::default());
        let mut saved = Vec::new();
        for round in 0..40i64 {
            let times = vec![round * 10_000_000; 500];
            let columns: Vec<ArrayRef> = vec![
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(StringArray::from_iter_values((0..500).map(|n| format!("round {round:03} sensor {n:03}")))),
                Arc::new(Float64Array::from(vec![1.0; 500])),
            ];
            operator
                .process(0, RecordBatch::try_new(readings(), columns).expect("fits"), &mut out)
                .expect("takes rows");
            operator.advance(Timestamp(round * 10_000_000 + 5_000_000), &mut out).expect("advances");
            operator = restarted(&planned, operator.as_ref());
            assert_eq!(operator.open_rows(), 0);
            saved.push(operator.snapshot().expect("saves").len());
        }
        assert!(saved[39] <= 2 * saved[3], "{kind:?}: {saved:?}");
        assert_eq!(out.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
    }
}

#[test]
fn the_oldest_open_window_is_the_one_that_the_watermark_closes_first() {
    let planned = planned(session(10, None));
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let mut story = Vec::new();
    for (sensor, time, watermark) in [("a", 0, 0), ("b", 4, 3), ("a", 5, 6), ("c", 8, 7), ("a", 9, 16), ("a", 20, 20)] {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![time * 1_000_000]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![sensor])),
            Arc::new(Float64Array::from(vec![1.0])),
        ];
        operator.process(0, RecordBatch::try_new(readings(), columns).expect("fits"), &mut out).expect("takes rows");
        operator.advance(Timestamp(watermark * 1_000_000), &mut out).expect("advances");
        operator = restarted(&planned, operator.as_ref());
        let (start, end) = operator.oldest_open().expect("there is one");
        story.push(format!("{}..{}", start.micros() / 1_000_000, end.micros() / 1_000_000));
    }
    assert_eq!(story, ["0..10", "0..10", "4..14", "4..14", "8..18", "20..30"]);
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    assert_eq!(operator.oldest_open(), None);
}

#[test]
fn what_is_wrong_with_a_window_is_told() {
    let wrong = |kind| {
        let spec = KeyedSpec {
            kind,
            time: VALUE,
            time_delay: Span::ZERO,
            keys: vec![SENSOR],
            kept: Some(VALUE),
            aggregates: aggregates(&[StddevSample]),
            max_groups: MAX_GROUPS,
        };
        let problems = plan(&spec, &readings()).expect_err("it is wrong");
        problems.0.into_iter().map(|p| format!("{} ({})\n", p.message, p.hint.unwrap_or_default())).collect::<String>()
    };
    let kinds = [
        session(0, Some(-1)),
        count(0, 1, Some(0)),
        count(2, 3, None),
        count(1_000_000, 1, None),
        KeyedKind::Condition { start: VALUE, stop: Some(9), max_size: Some(Span::ZERO) },
    ];
    let told = kinds.map(|kind| format!("{kind:?}\n{}", wrong(kind))).concat();
    expect![[r#"
        Session { gap: Span(0), max_size: Some(Span(-1000000)) }
        the window's gap must be positive and below 36,000 years (write a duration such as INTERVAL '30' SECOND)
        the window's longest length must be positive and below 36,000 years (write a duration such as INTERVAL '30' SECOND)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        "value" is Float64, a condition is a boolean (compare it with something)
        Count { size: 0, slide: 1, gap: Some(Span(0)) }
        the window's gap must be positive and below 36,000 years (write a duration such as INTERVAL '30' SECOND)
        a window has at least one row, and the next starts at least one row later (write a number of rows such as 100)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        "value" is Float64, a condition is a boolean (compare it with something)
        Count { size: 2, slide: 3, gap: None }
        windows of 2 rows every 3 leave rows out (use a slide that is not greater than the size)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        "value" is Float64, a condition is a boolean (compare it with something)
        Count { size: 1000000, slide: 1, gap: None }
        windows of 1000000 rows every 1 put each into more than 100000 (use a greater slide or a smaller size)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        "value" is Float64, a condition is a boolean (compare it with something)
        Condition { start: 2, stop: Some(9), max_size: Some(Span(0)) }
        the window's longest length must be positive and below 36,000 years (write a duration such as INTERVAL '30' SECOND)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        "value" is Float64, a condition is a boolean (compare it with something)
        the input has no column number 9 ()
        "value" is Float64, a condition is a boolean (compare it with something)
    "#]].assert_eq(&told);
}

#[test]
fn explain_says_what_bounds_the_state() {
    let kinds = [
        session(30, None),
        session(30, Some(3600)),
        count(100, 100, None),
        count(100, 30, Some(60)),
        KeyedKind::Condition { start: 3, stop: Some(4), max_size: None },
        KeyedKind::Condition { start: 3, stop: None, max_size: Some(Span::from_secs(60)) },
    ];
    let told = kinds.map(|kind| {
        let planned = conditions(kind, false);
        let times = planned.times.iter().map(|time| format!("time {} -{}\n", time.name, time.delay));
        planned.explain.iter().map(|line| format!("{line}\n")).chain(times).collect::<String>() + "\n"
    });
    expect![[r#"
        sessions with pauses of at most 30s, per key
        state is unbounded in time for a key that never pauses for longer than 30s; MAX_SIZE bounds it
        state: rows until the watermark passes them, and one entry per aggregate, key and open window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows join a session that is still open, others are counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -0s

        sessions with pauses of at most 30s, cut at 1h, per key
        state: rows until the watermark passes them, and one entry per aggregate, key and open window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows join a session that is still open, others are counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -0s
        time window_start -1h

        windows of 100 rows per key, counted in the order of event time
        state is unbounded in time for a key that falls silent before a window is full; GAP bounds it
        state: rows until the watermark passes them, and one entry per aggregate, key and open window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows are dropped and counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -0s

        windows of 100 rows every 30 per key, counted in the order of event time
        a key that is silent for more than 1m puts out what it has, and starts anew
        state: rows until the watermark passes them, and one entry per aggregate, key and 7 slices of a window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows are dropped and counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -1m

        windows from where the start condition holds until the stop condition does, per key
        rows outside windows are dropped and counted as filtered
        state is unbounded in time for a key whose window never stops; MAX_SIZE bounds it
        state: rows until the watermark passes them, and one entry per aggregate, key and open window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows are dropped and counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -0s

        windows from where the start condition holds while it does, cut at 1m, per key
        rows outside windows are dropped and counted as filtered
        state: rows until the watermark passes them, and one entry per aggregate, key and open window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        late rows are dropped and counted as late
        count_distinct keeps every different value of the open windows
        counter_increase keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        percentile_cont keeps every value of the open windows, 8 bytes each
        time window_end -0s
        time window_start -1m

    "#]]
    .assert_eq(&told.concat());
}

#[test]
fn a_damaged_snapshot_is_refused_and_never_panics() {
    let reading = |time: i64| {
        let flag = Some(time % 3 == 0);
        Reading { time: Some(time), key: time as usize % 2, value: Some(1), start: flag, stop: Some(false), kept: None }
    };
    let rows = |from: i64| batch(&(from..from + 9).map(reading).collect::<Vec<_>>());
    let condition = KeyedKind::Condition { start: 3, stop: Some(4), max_size: Some(Span(5)) };
    let kinds = [count(3, 1, None), count(5, 2, Some(1)), session(1, Some(2)), condition];
    for kind in kinds {
        let planned = conditions(kind, false);
        let (mut operator, mut out) = ((planned.build)(), Kept::default());
        operator.process(0, rows(0), &mut out).expect("takes rows");
        operator.advance(Timestamp(7), &mut out).expect("advances");
        let snapshot = operator.snapshot().expect("saves");
        let bytes = postcard::to_stdvec(&snapshot).expect("a snapshot serialises");
        for at in bytes.len() - snapshot.len()..bytes.len() {
            for bit in [1, 0x10, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                let damaged = postcard::from_bytes::<Snapshot>(&damaged).expect("still a snapshot");
                let mut operator = (planned.build)();
                // A wrong number here and there cannot be noticed.
                if operator.restore(&damaged).is_ok() {
                    operator.process(0, rows(5), &mut out).expect("takes rows");
                    operator.advance(Timestamp(20), &mut out).expect("advances");
                    operator.advance(Timestamp::MAX, &mut out).expect("ends");
                }
            }
        }
        let other = if matches!(kind, KeyedKind::Session { .. }) { count(3, 1, None) } else { session(1, None) };
        assert!((conditions(other, false).build)().restore(&snapshot).is_err());
    }
}
