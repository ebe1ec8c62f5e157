//! What a plan accepts and says, which types go in and out, what is kept and forgotten.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use expect_test::expect;
use lineside_model::schema::{time_field, time_type};
use lineside_model::{Quality, Reason, Span, Timestamp};
use lineside_operators::Snapshot;
use lineside_operators::aggregate::AggregateFunction::{self, Avg, FirstValue, LastValue, Max, Min, Percentile, Sum};
use lineside_operators::window::keyed::{self, KeyedKind, KeyedSpec};
use lineside_operators::window::{AggregateSpec, MAX_GROUPS, WindowSpec, plan};

use crate::{Kept, SENSOR, VALUE, aggregates, by_sensor, hop, lines, readings, restarted, tumble};

#[test]
fn integers_text_booleans_times_and_qualities_keep_their_types() {
    let types = [
        DataType::Int32,
        DataType::UInt8,
        DataType::Float32,
        DataType::Boolean,
        DataType::LargeUtf8,
        time_type(),
        Quality::data_type(),
    ];
    let raw: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![2, 0, 1])), Arc::new(StringArray::from(vec!["bad", "good", "good"]))];
    let mut fields = vec![time_field("ts", false)];
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 0]).with_timezone("UTC"))];
    for (n, data_type) in types.iter().enumerate() {
        let text = matches!(data_type, DataType::Dictionary(..));
        fields.push(Field::new(format!("c{n}"), data_type.clone(), true));
        columns.push(cast(&raw[usize::from(text)], data_type).expect("casts"));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(SchemaRef::clone(&schema), columns).expect("fits");

    let column = |function: AggregateFunction, column: usize| AggregateSpec {
        name: format!("{}{column}", function.name()),
        function,
        column: Some(column),
    };
    let mut specs = vec![column(Sum, 1), column(Sum, 2), column(Sum, 3)];
    specs.extend((1..=types.len()).flat_map(|n| [Min, Max, FirstValue, LastValue].map(|function| column(function, n))));
    let spec = WindowSpec {
        kind: tumble(10),
        time: 0,
        time_delay: Span::ZERO,
        keys: vec![7],
        aggregates: specs,
        max_groups: MAX_GROUPS,
    };
    let planned = plan(spec, &schema).expect("the plan is sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    operator.process(0, batch, &mut out).expect("takes rows");
    restarted(&planned, operator.as_ref()).advance(Timestamp::MAX, &mut out).expect("ends");
    let text = out.batches.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
    expect![[r#"
        [0, 10) bad 2 2 2.0 2 2 2 2 2 2 2 2 2.0 2.0 2.0 2.0 true true true true 2 2 2 2 1970-01-01T00:00:00.000002Z 1970-01-01T00:00:00.000002Z 1970-01-01T00:00:00.000002Z 1970-01-01T00:00:00.000002Z bad bad bad bad
        [0, 10) good 1 1 1.0 0 1 1 0 0 1 1 0 0.0 1.0 1.0 0.0 false true true false 0 1 1 0 1970-01-01T00:00:00Z 1970-01-01T00:00:00.000001Z 1970-01-01T00:00:00.000001Z 1970-01-01T00:00:00Z good good good good"#]].assert_eq(&text);
}

#[test]
fn a_sum_that_does_not_fit_is_null_and_not_wrong() {
    let schema = Arc::new(Schema::new(vec![time_field("ts", false), Field::new("n", DataType::Int64, false)]));
    let spec = |column| AggregateSpec { function: Sum, column: Some(column), name: "sum".to_owned() };
    let spec = WindowSpec {
        kind: tumble(1),
        time: 0,
        time_delay: Span::ZERO,
        keys: vec![],
        aggregates: vec![spec(1)],
        max_groups: MAX_GROUPS,
    };
    let (mut operator, mut out) = ((plan(spec, &schema).expect("sound").build)(), Kept::default());
    let times = vec![0, 1, 1_000_000, 1_000_001, 1_000_002];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![i64::MAX, 1, i64::MAX, 1, -1])),
    ];
    operator.process(0, RecordBatch::try_new(schema, columns).expect("fits"), &mut out).expect("takes rows");
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let sums = out.batches[0].column(2).as_primitive::<Int64Type>();
    assert_eq!(sums.iter().collect::<Vec<_>>(), [None, Some(i64::MAX)]);
}

#[test]
fn keys_of_closed_windows_are_forgotten() {
    let planned = plan(by_sensor(hop(2, 1), &[Sum]), &readings()).expect("sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let mut largest = 0;
    for n in 0..20_000i64 {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![n * 100_000; 2]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![format!("sensor{n}"), "constant".to_owned()])),
            Arc::new(Float64Array::from(vec![1.0, 1.0])),
        ];
        operator.process(0, RecordBatch::try_new(readings(), columns).expect("fits"), &mut out).expect("takes rows");
        operator.advance(Timestamp(n * 100_000), &mut out).expect("advances");
        largest = if n % 500 == 0 { largest.max(operator.snapshot().expect("saves").len()) } else { largest };
    }
    assert!(largest < 60_000, "{largest} bytes of state for a dozen keys in open windows");
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let all = concat_batches(&planned.output, &out.batches).expect("one schema");
    let constant = (0..all.num_rows()).filter(|row| all.column(2).as_string::<i32>().value(*row) == "constant").count();
    assert_eq!(constant, 2001, "one row for each window, whichever number the key had");
}

#[test]
fn more_words_than_a_small_dictionary_holds_go_out_in_several_batches() {
    let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![time_field("ts", false), Field::new("sensor", words.clone(), false)]));
    let aggregates = aggregates(&[]);
    let spec = WindowSpec {
        kind: tumble(1),
        time: 0,
        time_delay: Span::ZERO,
        keys: vec![1],
        aggregates,
        max_groups: MAX_GROUPS,
    };
    let planned = plan(spec, &schema).expect("sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    for start in [0, 100, 200] {
        let sensors: ArrayRef = Arc::new((start..start + 100).map(|n| Some(format!("s{n}"))).collect::<StringArray>());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![0; 100]).with_timezone("UTC")),
            cast(&sensors, &words).expect("a hundred words fit"),
        ];
        let batch = RecordBatch::try_new(SchemaRef::clone(&schema), columns).expect("fits");
        operator.process(0, batch, &mut out).expect("takes rows");
        operator = restarted(&planned, operator.as_ref());
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    assert_eq!(out.batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [128, 128, 44]);
}

#[test]
fn everything_wrong_with_a_plan_is_told_at_once() {
    let spec = WindowSpec {
        kind: hop(86_400, 0),
        time: VALUE,
        time_delay: Span::ZERO,
        keys: vec![SENSOR, SENSOR],
        max_groups: MAX_GROUPS,
        aggregates: vec![
            AggregateSpec { function: Sum, column: Some(SENSOR), name: "a".to_owned() },
            AggregateSpec { function: Avg, column: None, name: "b".to_owned() },
            AggregateSpec {
                function: Percentile { fraction: 95.0, exact: true },
                column: Some(VALUE),
                name: "c".to_owned(),
            },
        ],
    };
    let problems = plan(spec, &readings()).expect_err("nothing fits");
    let text = problems.0.iter().map(|p| format!("{} ({})\n", p.message, p.hint.as_deref().unwrap_or("-")));
    expect![[r#"
        the window's slide must be positive, found 0s (write a duration such as INTERVAL '10' SECOND, below 36,000 years)
        windows are cut by a timestamp in microseconds, "value" is Float64 (use the event time of the input, or CAST(… AS TIMESTAMP(6)))
        sum does not work on Utf8 (use a column of numbers, or CAST(… AS DOUBLE))
        avg needs a column (write avg(value))
        percentile_cont expects a fraction from 0 to 1, found 95 (write 0.95 for the 95th percentile)
        two output columns are named "sensor" (name one of them with AS)
    "#]].assert_eq(&text.collect::<String>());
}

#[test]
fn a_plan_says_what_it_puts_out_and_what_bounds_it() {
    let functions = [Percentile { fraction: 0.99, exact: true }, Percentile { fraction: 0.99, exact: false }];
    let planned = plan(by_sensor(hop(60, 7), &functions), &readings()).expect("sound");
    let mut text = String::new();
    for field in planned.output.fields() {
        let nullable = if field.is_nullable() { "null" } else { "not null" };
        writeln!(text, "{} {} {nullable}", field.name(), field.data_type()).expect("text takes text");
    }
    for time in &planned.times {
        writeln!(text, "{} is at most {} behind", time.name, time.delay).expect("text takes text");
    }
    writeln!(text, "{:?}\n{}", planned.partition_by, planned.explain.join("\n")).expect("text takes text");
    expect![[r#"
        window_start Timestamp(µs, "UTC") not null
        window_end Timestamp(µs, "UTC") not null
        sensor Utf8 null
        rows Int64 not null
        percentile_cont Float64 null
        approx_percentile_cont Float64 null
        window_end is at most 0s behind
        window_start is at most 1m behind
        Some(["sensor"])
        windows of 1m every 7s, from 1970-01-01T00:00:00Z, closed when the watermark reaches their end
        rows of closed windows are dropped and counted as late
        state: one entry per aggregate, group and slice that has rows; 17 slices to a window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        percentile_cont keeps every value of the open windows, 8 bytes each
        percentile_cont follows windows as they slide: 8 bytes more for each value of one window, and those around each rank
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_damaged_snapshot_is_refused_and_never_panics() {
    let planned = plan(by_sensor(hop(15, 5), &[Sum, Min, FirstValue]), &readings()).expect("sound");
    let mut operator = (planned.build)();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["oven", "press"])),
        Arc::new(Float64Array::from(vec![1.0, 2.0])),
    ];
    let batch = RecordBatch::try_new(readings(), columns).expect("fits");
    operator.process(0, batch, &mut Kept::default()).expect("takes rows");
    let snapshot = operator.snapshot().expect("saves");
    // The state itself comes last, after its length.
    let bytes = postcard::to_stdvec(&snapshot).expect("a snapshot serialises");
    let state = bytes.len() - snapshot.len();
    for at in state..bytes.len() {
        for bit in [1, 0x10, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            let damaged = postcard::from_bytes::<Snapshot>(&damaged).expect("still a snapshot");
            let mut operator = (planned.build)();
            // A wrong number here and there cannot be noticed.
            if operator.restore(&damaged).is_ok() {
                operator.advance(Timestamp(20_000_000), &mut Kept::default()).expect("advances");
            }
        }
    }
    let other = plan(by_sensor(hop(15, 5), &[Avg, Max, LastValue]), &readings()).expect("sound");
    let shorter = Snapshot::save("window", 1, &"short").expect("saves");
    assert!((other.build)().restore(&shorter).is_err());
    let older = Snapshot::save("window", 0, &"old").expect("saves");
    assert!((other.build)().restore(&older).expect_err("an unknown version").to_string().contains("version 0"));
}

#[test]
fn rows_of_more_groups_than_there_may_be_are_counted_and_those_of_known_ones_go_on() {
    let spec = WindowSpec { max_groups: 2, ..by_sensor(tumble(1), &[Sum]) };
    let planned = plan(spec, &readings()).expect("sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    for second in 0..3i64 {
        // Others in each second: those of closed windows make room.
        let sensor = |n: i64| format!("sensor{}", n % 5 + second);
        for from in [0, 5_000] {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(TimestampMicrosecondArray::from(vec![second * 1_000_000; 5_000]).with_timezone("UTC")),
                Arc::new(StringArray::from_iter_values((from..from + 5_000).map(sensor))),
                Arc::new(Float64Array::from(vec![1.0; 5_000])),
            ];
            operator
                .process(0, RecordBatch::try_new(readings(), columns).expect("fits"), &mut out)
                .expect("takes rows");
        }
        operator.advance(Timestamp((second + 1) * 1_000_000), &mut out).expect("advances");
        assert_eq!(operator.open_rows(), 0);
    }
    let all = concat_batches(&planned.output, &out.batches).expect("one schema");
    let rows = all.column_by_name("rows").expect("it is counted").as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(
        out.dropped[&Reason::TooManyKeys] as i64 + rows.iter().sum::<i64>(),
        30_000,
        "every row is accounted for"
    );
    assert_eq!(rows[..2], [2_000, 2_000]);
}

/// The same groups mostly come again, so they are not forgotten before others need their room, which is in the midst of a batch.
#[test]
fn groups_make_room_at_the_same_row_however_the_input_is_cut() {
    for max_groups in [5, 8, 16] {
        let planned = plan(WindowSpec { max_groups, ..by_sensor(tumble(1), &[Sum]) }, &readings()).expect("sound");
        let told = |rows_at_once: usize, restarts: bool| {
            let (mut operator, mut out) = ((planned.build)(), Kept::default());
            for second in 0..40i64 {
                let sensor = |row: i64| format!("sensor{}", row * 7 % (3 + second % 8) + second / 5);
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(TimestampMicrosecondArray::from(vec![second * 1_000_000; 60]).with_timezone("UTC")),
                    Arc::new(StringArray::from_iter_values((0..60).map(sensor))),
                    Arc::new(Float64Array::from(vec![1.0; 60])),
                ];
                let rows = RecordBatch::try_new(readings(), columns).expect("fits");
                for from in (0..60).step_by(rows_at_once) {
                    let some = rows.slice(from, rows_at_once.min(60 - from));
                    operator.process(0, some, &mut out).expect("takes rows");
                    if restarts {
                        operator = restarted(&planned, operator.as_ref());
                    }
                }
                // The next second has begun when this one is closed.
                operator.advance(Timestamp(second * 1_000_000), &mut out).expect("advances");
            }
            operator.advance(Timestamp::MAX, &mut out).expect("ends");
            (out.batches.iter().flat_map(lines).collect::<Vec<_>>(), out.dropped)
        };
        let whole = told(60, false);
        assert_eq!(whole.1.contains_key(&Reason::TooManyKeys), max_groups < 10, "eleven at a time");
        for (rows_at_once, restarts) in [(1, false), (7, false), (60, true), (7, true)] {
            assert_eq!(told(rows_at_once, restarts), whole, "{rows_at_once} rows at once");
        }
    }
}

/// Four new groups a second, each in windows of twelve seconds: never more than some fifty at a time, whatever came before.
#[test]
fn groups_that_come_and_go_find_room_where_there_are_few_at_a_time() {
    let hopping = plan(WindowSpec { max_groups: 100, ..by_sensor(hop(12, 1), &[Sum]) }, &readings()).expect("sound");
    let sessions = keyed::plan(
        &KeyedSpec {
            kind: KeyedKind::Session { gap: Span::from_secs(12), max_size: None },
            time: 0,
            time_delay: Span::ZERO,
            keys: vec![1],
            kept: None,
            aggregates: aggregates(&[Sum]),
            max_groups: 100,
        },
        &readings(),
    );
    for planned in [hopping, sessions.expect("sound")] {
        let (mut operator, mut out) = ((planned.build)(), Kept::default());
        for second in 0..200i64 {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(TimestampMicrosecondArray::from(vec![second * 1_000_000; 4]).with_timezone("UTC")),
                Arc::new(StringArray::from_iter_values((0..4).map(|n| format!("sensor{second}.{n}")))),
                Arc::new(Float64Array::from(vec![1.0; 4])),
            ];
            let rows = RecordBatch::try_new(readings(), columns).expect("fits");
            operator.process(0, rows, &mut out).expect("takes rows");
            operator.advance(Timestamp(second * 1_000_000), &mut out).expect("advances");
        }
        assert_eq!(out.dropped, BTreeMap::new());
    }
}

#[test]
fn ever_new_groups_do_not_take_more_room_than_there_is() {
    let planned = plan(WindowSpec { max_groups: 100, ..by_sensor(tumble(1), &[Sum]) }, &readings()).expect("sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    for batch in 0..50 {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![0; 1_000]).with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values((0..1_000).map(|n| format!("sensor{batch}.{n}")))),
            Arc::new(Float64Array::from(vec![1.0; 1_000])),
        ];
        operator.process(0, RecordBatch::try_new(readings(), columns).expect("fits"), &mut out).expect("takes rows");
        let bytes = operator.snapshot().expect("saves").len();
        assert!(bytes < 200_000, "{bytes} bytes for a hundred groups");
    }
    assert_eq!((out.dropped[&Reason::TooManyKeys], operator.open_rows()), (49_900, 100));
}
