//! Windows that are put out early or corrected, beside those that wait as long as late rows are allowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use expect_test::{Expect, expect};
use lineside_model::{Span, Timestamp};
use lineside_operators::PlannedOperator;
use lineside_operators::aggregate::AggregateFunction::{Max, Sum};
use lineside_operators::window::{Early, Emission, WindowKind, WindowSpec, plan, plan_emitting};
use proptest::prelude::*;

use crate::{Kept, by_sensor, check_planned, hop, readings, restarted, tumble};

fn planned(kind: WindowKind, lateness: i64, early: Early) -> PlannedOperator {
    let emission = Emission { allowed_lateness: Span::from_secs(lateness), early };
    plan_emitting(by_sensor(kind, &[Sum]), &readings(), emission).expect("the plan is sound")
}

fn emits(kind: WindowKind, lateness: i64, early: Early, script: &str, expected: &Expect) {
    check_planned(&planned(kind, lateness, early), script, expected);
}

#[test]
fn a_late_row_corrects_its_group_and_no_other_until_the_lateness_is_over() {
    emits(
        tumble(10),
        5,
        Early::Never,
        "
        7 oven 1
        8 press 1
        watermark 10
        8 oven 2
        restart
        11 oven 4
        watermark 12
        watermark 14
        9 press 8
        9 lathe 16
        watermark 15
        9 oven 32
        watermark 20
        end
        ",
        &expect![[r#"
            watermark 10:
              [0, 10) oven 1 1.0
              [0, 10) press 1 1.0
            watermark 12:
              [0, 10) oven 2 3.0
            watermark 15:
              [0, 10) press 2 9.0
              [0, 10) lathe 1 16.0
            9 oven 32: dropped as late 1
            watermark 20:
              [10, 20) oven 1 4.0
            open 0
        "#]],
    );
}

#[test]
fn a_late_row_of_a_hopping_window_corrects_those_that_were_put_out() {
    emits(
        hop(15, 5),
        10,
        Early::Never,
        "
        6 oven 1
        watermark 15
        7 oven 2
        watermark 16
        end
        ",
        &expect![[r#"
            watermark 15:
              [-5, 10) oven 1 1.0
              [0, 15) oven 1 1.0
            watermark 16:
              [-5, 10) oven 2 3.0
              [0, 15) oven 2 3.0
            end:
              [5, 20) oven 2 3.0
            open 0
        "#]],
    );
}

#[test]
fn groups_that_have_changed_come_out_by_the_clock_and_all_when_the_window_closes() {
    emits(
        tumble(10),
        0,
        Early::Every(Span::from_millis(500)),
        "
        1 oven 1
        1 press 1
        tick 100.2
        tick 100.4
        2 oven 2
        tick 100.4
        restart
        tick 100.5
        tick 101
        12 oven 4
        watermark 10
        tick 101.5
        end
        ",
        &expect![[r#"
            tick 100.2:
              [0, 10) oven 1 1.0
              [0, 10) press 1 1.0
            tick 100.5:
              [0, 10) oven 2 3.0
            watermark 10:
              [0, 10) oven 2 3.0
              [0, 10) press 1 1.0
            tick 101.5:
              [10, 20) oven 1 4.0
            end:
              [10, 20) oven 1 4.0
            open 0
        "#]],
    );
}

#[test]
fn groups_that_have_changed_come_out_after_each_batch() {
    emits(
        tumble(10),
        5,
        Early::Changes,
        "
        1 oven 1
        2 oven 2
        watermark 10
        3 oven 4
        watermark 15
        4 oven 8
        end
        ",
        &expect![[r#"
            1 oven 1:
              [0, 10) oven 1 1.0
            2 oven 2:
              [0, 10) oven 2 3.0
            watermark 10:
              [0, 10) oven 2 3.0
            3 oven 4:
              [0, 10) oven 3 7.0
            4 oven 8: dropped as late 1
            open 0
        "#]],
    );
}

/// Keys that come and go are forgotten with their windows, also if at each watermark some group has changed since the last tick.
#[test]
fn keys_of_closed_windows_are_forgotten_whatever_the_clock_does() {
    let planned = planned(tumble(10), 0, Early::Every(Span::from_secs(1)));
    let mut operator = (planned.build)();
    let second = 1_000_000;
    for n in 0..4_000 {
        let rows = [(n as i64 * 10 * second, n, 1.0), (n as i64 * 10 * second, n + 1, 2.0)];
        operator.process(0, batch(&rows), &mut Kept::default()).expect("takes rows");
        operator.advance(Timestamp(n as i64 * 10 * second), &mut Kept::default()).expect("advances");
    }
    let saved = operator.snapshot().expect("saves").len();
    assert!(saved < 20_000, "{saved} bytes");
    let mut out = Kept::default();
    operator.tick(Timestamp(0), &mut out).expect("ticks");
    let keys = out.batches.iter().flat_map(|rows| rows.column(2).as_string::<i32>().iter().flatten());
    assert_eq!(keys.collect::<Vec<_>>(), ["s3999", "s4000"]);
}

/// `(seconds, key, value)` and where the watermark goes after it.
type Step = ((i64, usize, f64), Option<i64>);
/// The sum and count of each window and key.
type Rows = BTreeMap<(i64, i64, String), (i64, f64)>;

fn batch(rows: &[(i64, usize, f64)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("s{}", row.1)))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(readings(), columns).expect("fits")
}

/// Everything that came out in its order, and the last row of each window and key.
fn run(planned: &PlannedOperator, steps: &[Step], whole: bool, restart: usize) -> (Vec<String>, Rows) {
    let mut operator = (planned.build)();
    let mut out = Kept::default();
    let mut waiting = Vec::new();
    let mut watermark = i64::MIN;
    for (n, (row, then)) in steps.iter().enumerate() {
        waiting.push(*row);
        if !whole || then.is_some() || n + 1 == steps.len() {
            operator.process(0, batch(&std::mem::take(&mut waiting)), &mut out).expect("takes rows");
        }
        if let Some(then) = then.filter(|then| *then > watermark) {
            watermark = then;
            operator.advance(Timestamp(then), &mut out).expect("advances");
        }
        if n == restart {
            if !waiting.is_empty() {
                operator.process(0, batch(&std::mem::take(&mut waiting)), &mut out).expect("takes rows");
            }
            operator = restarted(planned, operator.as_ref());
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let (mut told, mut last) = (Vec::new(), Rows::new());
    for rows in &out.batches {
        let times = |at: usize| rows.column(at).as_primitive::<TimestampMicrosecondType>();
        for n in 0..rows.num_rows() {
            let key = rows.column(2).as_string::<i32>().value(n).to_owned();
            let of = (times(0).value(n), times(1).value(n), key);
            let count = rows.column(3).as_primitive::<Int64Type>().value(n);
            let value = (count, rows.column(4).as_primitive::<Float64Type>().value(n));
            told.push(format!("{of:?} {value:?}"));
            last.insert(of, value);
        }
    }
    (told, last)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..60i64, 0..4usize, 0..100i32).prop_map(|(time, key, value)| (time, key, f64::from(value)));
    prop::collection::vec((row, prop::option::weighted(0.3, 0..50i64)), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_row_of_each_group_is_that_of_windows_that_wait(
        steps in steps(), size in 1..20i64, slide in 1..20i64, lateness in 1..20i64, early in 0..3usize,
    ) {
        let kind = WindowKind::Hop { size: Span(size.max(slide)), slide: Span(slide), offset: Span::ZERO };
        let early = [Early::Never, Early::Changes, Early::Every(Span(1))][early];
        let spec = by_sensor(kind.clone(), &[Max]);
        let emission = Emission { allowed_lateness: Span(lateness), early };
        let corrected = plan_emitting(spec.clone(), &readings(), emission).expect("the plan is sound");
        let waits = plan(WindowSpec { time_delay: Span(lateness), ..spec }, &readings()).expect("the plan is sound");
        let (_, expected) = run(&waits, &steps, false, usize::MAX);
        let (_, last) = run(&corrected, &steps, false, steps.len() / 2);
        prop_assert_eq!(last, expected);
    }

    #[test]
    fn corrections_do_not_depend_on_batches_or_a_restart(
        steps in steps(), size in 1..20i64, lateness in 1..20i64, restart in 0..80usize,
    ) {
        let spec = by_sensor(WindowKind::Tumble { size: Span(size), offset: Span::ZERO }, &[Max]);
        let emission = Emission { allowed_lateness: Span(lateness), early: Early::Never };
        let planned = plan_emitting(spec, &readings(), emission).expect("the plan is sound");
        let (one_by_one, _) = run(&planned, &steps, false, usize::MAX);
        prop_assert_eq!(&run(&planned, &steps, true, usize::MAX).0, &one_by_one);
        prop_assert_eq!(&run(&planned, &steps, true, restart).0, &one_by_one);
    }
}
