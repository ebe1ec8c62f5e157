//! Several queries over the same slices: each gives what it would give alone, and nothing is kept longer than one needs it.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use expect_test::expect;
use lineside_model::Timestamp;
use lineside_model::schema::time_field;
use lineside_operators::aggregate::AggregateFunction::{Max, Percentile, Sum};
use lineside_operators::window::{AggregateSpec, WindowKind, WindowQuery, WindowSpec, plan, together};
use lineside_operators::{Operator, PlannedOperator};

use crate::{Kept, by_sensor, cumulate, hop, lines, readings, secs, tumble};

fn shared(specs: &[WindowSpec]) -> (Vec<PlannedOperator>, Box<dyn Operator>) {
    shared_over(&readings(), specs)
}

fn shared_over(input: &SchemaRef, specs: &[WindowSpec]) -> (Vec<PlannedOperator>, Box<dyn Operator>) {
    let planned = specs.iter().map(|spec| plan(spec.clone(), input).expect("sound")).collect::<Vec<_>>();
    let queries = planned.iter().map(|planned| planned.windows.as_deref().expect("windows"));
    let operator = together(&queries.collect::<Vec<&WindowQuery>>()).expect("they read the same")();
    (planned, operator)
}

fn reading(time: &str, sensor: &str, value: f64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![secs(time)]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![sensor])),
        Arc::new(Float64Array::from(vec![value])),
    ];
    RecordBatch::try_new(readings(), columns).expect("fits")
}

/// What each query put out and dropped, and how many rows it has open.
fn told(out: &mut Kept, operator: &dyn Operator, queries: usize) -> String {
    let mut text = String::new();
    for n in 0..queries {
        let kept = out.output(n);
        let rows = kept.batches.iter().flat_map(lines).collect::<Vec<_>>().join(", ");
        let dropped = kept.dropped.iter().map(|(reason, rows)| format!("{} {rows}", reason.word())).collect::<Vec<_>>();
        let open = operator.open_rows_of(n);
        writeln!(text, "{n}: {rows}; dropped {}; open {open}", dropped.join(", ")).expect("text takes text");
    }
    text
}

#[test]
fn a_row_late_for_one_query_counts_there_and_joins_the_others() {
    let specs = [by_sensor(tumble(10), &[Sum]), by_sensor(tumble(60), &[Max]), by_sensor(hop(5, 10), &[])];
    let (_, mut operator) = shared(&specs);
    let mut out = Kept::default();
    operator.process(0, reading("1", "oven", 1.0), &mut out).expect("takes rows");
    operator.process(0, reading("7", "oven", 2.0), &mut out).expect("takes rows");
    operator.advance(Timestamp(secs("30")), &mut out).expect("advances");
    operator.process(0, reading("8", "oven", 50.0), &mut out).expect("takes rows");
    operator.process(0, reading("31", "oven", 4.0), &mut out).expect("takes rows");
    expect![[r#"
        0: [0, 10) oven 2 3.0; dropped late 1; open 1
        1: ; dropped ; open 4
        2: [0, 5) oven 1; dropped filtered 2; open 1
    "#]]
    .assert_eq(&told(&mut out, operator.as_ref(), 3));
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    expect![[r#"
        0: [0, 10) oven 2 3.0, [30, 40) oven 1 4.0; dropped late 1; open 0
        1: [0, 60) oven 4 50.0; dropped ; open 0
        2: [0, 5) oven 1, [30, 35) oven 1; dropped filtered 2; open 0
    "#]]
    .assert_eq(&told(&mut out, operator.as_ref(), 3));
}

#[test]
fn a_shift_of_seconds_keeps_no_more_than_the_seconds_that_are_open() {
    let median = Percentile { fraction: 0.5, exact: true };
    let alone = [by_sensor(tumble(3600), &[Sum])];
    let together =
        [by_sensor(tumble(3600), &[Sum]), by_sensor(tumble(1), &[Sum, median]), by_sensor(hop(10, 2), &[Max])];
    let saved = |specs: &[WindowSpec]| {
        let (_, mut operator) = shared(specs);
        for n in 0..3000i64 {
            let mut out = Kept::default();
            operator.process(0, reading(&n.to_string(), "oven", n as f64), &mut out).expect("takes rows");
            operator.advance(Timestamp(n * 1_000_000), &mut out).expect("advances");
        }
        operator.snapshot().expect("saves").len()
    };
    let (alone, together) = (saved(&alone), saved(&together));
    assert!(together < alone + 2000, "{together} bytes with seconds that are closed, {alone} bytes without them");
}

/// Pressure and temperature of a press.
fn press() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let sensor = Field::new("sensor", DataType::Utf8, true);
    Arc::new(Schema::new(vec![time_field("ts", true), sensor, number("pressure"), number("temperature")]))
}

/// An exact percentile of one of its columns.
fn percentile(kind: WindowKind, fraction: f64, column: usize) -> WindowSpec {
    let function = Percentile { fraction, exact: true };
    let aggregates = vec![AggregateSpec { function, column: Some(column), name: "percentile".to_owned() }];
    WindowSpec { aggregates, ..by_sensor(kind, &[]) }
}

#[test]
fn windows_that_slide_follow_no_values_that_only_another_query_asks_for() {
    let hopping = percentile(hop(10, 1), 0.95, 3);
    let held = |specs: &[WindowSpec]| {
        let (_, mut operator) = shared_over(&press(), specs);
        for second in 0..300i64 {
            let times = (0..20).map(|n| second * 1_000_000 + n * 50_000).collect::<Vec<_>>();
            let values = || Arc::new((0..20).map(|n| Some(f64::from(n))).collect::<Float64Array>());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(StringArray::from(vec!["press"; 20])),
                values(),
                values(),
            ];
            let rows = RecordBatch::try_new(press(), columns).expect("fits");
            operator.process(0, rows, &mut Kept::default()).expect("takes rows");
            operator.advance(Timestamp((second + 1) * 1_000_000), &mut Kept::default()).expect("advances");
        }
        // What follows the windows is in no snapshot.
        format!("{operator:?}").len()
    };
    for other in [tumble(1), tumble(20), hop(3, 1)] {
        let specs = [hopping.clone(), percentile(other, 0.5, 2)];
        let (one, next, both) = (held(&specs[..1]), held(&specs[1..]), held(&specs));
        assert!(both < one + next, "{specs:?}: {both} together, {one} and {next} apart");
    }
}

#[test]
fn windows_that_grow_are_put_out_at_each_step() {
    let (_, mut operator) = shared(&[by_sensor(cumulate(30, 10), &[Sum])]);
    let mut out = Kept::default();
    for (time, value) in [("1", 1.0), ("25", 2.0), ("31", 4.0)] {
        operator.process(0, reading(time, "oven", value), &mut out).expect("takes rows");
    }
    operator.advance(Timestamp(secs("20")), &mut out).expect("advances");
    operator.process(0, reading("12", "oven", 8.0), &mut out).expect("takes rows");
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let rows = out.batches.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
    expect![[r#"
        [0, 10) oven 1 1.0
        [0, 20) oven 1 1.0
        [0, 30) oven 3 11.0
        [30, 40) oven 1 4.0
        [30, 50) oven 1 4.0
        [30, 60) oven 1 4.0"#]]
    .assert_eq(&rows);
}

#[test]
fn saved_state_of_other_queries_is_refused() {
    let (_, one) = shared(&[by_sensor(tumble(10), &[Sum])]);
    let (_, mut two) = shared(&[by_sensor(tumble(10), &[Sum]), by_sensor(tumble(20), &[Sum])]);
    let error = two.restore(&one.snapshot().expect("saves")).expect_err("another plan");
    assert!(error.to_string().contains("of 1 queries"), "{error}");
}
