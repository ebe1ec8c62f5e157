//! Windowed aggregation as a user meets it: readings and watermarks in, closed windows out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use expect_test::{Expect, expect};
use lineside_model::schema::{time_field, time_type};
use lineside_model::{Quality, Reason, Result, Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction;
use lineside_operators::window::{AggregateSpec, WindowKind, WindowSpec, plan};
use lineside_operators::{Emitter, Operator, PlannedOperator, Snapshot};
use proptest::prelude::*;

// ---- what the tests share ----------------------------------------------------------------------------------------------

/// Keeps what an operator puts out.
#[derive(Debug, Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    dropped: BTreeMap<Reason, usize>,
}

impl Emitter for Kept {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.batches.push(rows);
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        *self.dropped.entry(reason).or_default() += rows;
    }
}

const TS: usize = 0;
const SENSOR: usize = 1;
const VALUE: usize = 2;

fn readings() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field("ts", true),
        Field::new("sensor", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
    ]))
}

fn secs(text: &str) -> i64 {
    (text.parse::<f64>().expect("a script has numbers") * 1e6) as i64
}

fn tumble(size: i64) -> WindowKind {
    WindowKind::Tumble { size: Span::from_secs(size), offset: Span::ZERO }
}

fn hop(size: i64, slide: i64) -> WindowKind {
    WindowKind::Hop { size: Span::from_secs(size), slide: Span::from_secs(slide), offset: Span::ZERO }
}

fn aggregates(functions: &[AggregateFunction]) -> Vec<AggregateSpec> {
    let spec = |function: &AggregateFunction| AggregateSpec {
        function: *function,
        column: Some(VALUE),
        name: function.name().to_owned(),
    };
    let mut all = vec![AggregateSpec { function: AggregateFunction::Count, column: None, name: "rows".to_owned() }];
    all.extend(functions.iter().map(spec));
    all
}

fn by_sensor(kind: WindowKind, functions: &[AggregateFunction]) -> WindowSpec {
    WindowSpec { kind, time: TS, time_delay: Span::ZERO, keys: vec![SENSOR], aggregates: aggregates(functions) }
}

/// Runs a script: `seconds sensor value` is a reading (`-` is null), `watermark seconds` a watermark, `restart` a snapshot that
/// a fresh operator takes over, `end` the end of the input. The answer has what each line brought about.
#[expect(clippy::needless_pass_by_value, reason = "an expectation reads best in the call")]
fn check(spec: WindowSpec, script: &str, expected: Expect) {
    let planned = plan(spec, &readings()).expect("the plan is sound");
    let mut operator = (planned.build)();
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut out = Kept::default();
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["watermark", time] => operator.advance(Timestamp(secs(time)), &mut out).expect("advances"),
            ["end"] => operator.advance(Timestamp::MAX, &mut out).expect("ends"),
            ["restart"] => operator = restarted(&planned, operator.as_ref()),
            [time, sensor, value] => {
                let known = |text: &str| (text != "-").then(|| text.to_owned());
                let times = TimestampMicrosecondArray::from(vec![known(time).map(|t| secs(&t))]).with_timezone("UTC");
                let value = known(value).map(|v| v.parse::<f64>().expect("a number"));
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(times),
                    Arc::new(StringArray::from(vec![known(sensor)])),
                    Arc::new(Float64Array::from(vec![value])),
                ];
                let batch = RecordBatch::try_new(readings(), columns).expect("fits");
                operator.process(0, batch, &mut out).expect("takes rows");
            }
            _ => panic!("not a line of a script: {line}"),
        }
        if !out.batches.is_empty() {
            writeln!(text, "{line}:").expect("text takes text");
        }
        for batch in &out.batches {
            assert_eq!(batch.schema(), planned.output);
            text.extend(lines(batch).into_iter().map(|row| format!("  {row}\n")));
        }
        for (reason, rows) in out.dropped {
            writeln!(text, "{line}: dropped as {} {rows}", reason.word()).expect("text takes text");
        }
    }
    writeln!(text, "open {}", operator.open_rows()).expect("text takes text");
    expected.assert_eq(&text);
}

/// Each row as text: the window in seconds, then what is in it.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let time = |column: usize, row: usize| {
        batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row) as f64 / 1e6
    };
    let cell = |column: &ArrayRef, row: usize| {
        if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).expect("prints") }
    };
    let line = |row: usize| {
        let cells = batch.columns()[2..].iter().map(|column| cell(column, row)).collect::<Vec<_>>();
        format!("[{}, {}) {}", time(0, row), time(1, row), cells.join(" "))
    };
    (0..batch.num_rows()).map(line).collect()
}

fn restarted(planned: &PlannedOperator, operator: &dyn Operator) -> Box<dyn Operator> {
    let snapshot = operator.snapshot().expect("saves");
    let mut fresh = (planned.build)();
    fresh.restore(&snapshot).expect("restores");
    assert_eq!(fresh.open_rows(), operator.open_rows());
    fresh
}

// ---- scripts -----------------------------------------------------------------------------------------------------------

use AggregateFunction::{Avg, Count, FirstValue, LastValue, Max, Min, Percentile, StddevPopulation, StddevSample, Sum};

#[test]
fn a_tumbling_window_closes_at_the_watermark_and_says_all_about_its_readings() {
    let median = Percentile { fraction: 0.5, exact: true };
    let functions = [Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue, median];
    check(
        by_sensor(tumble(10), &functions),
        "
        1  oven 20
        0  oven 40
        9.999999 oven 30
        5  door -
        10 oven 7
        watermark 9.999999
        watermark 10
        end
        ",
        expect![[r#"
            watermark 10:
              [0, 10) oven 3 3 90.0 30.0 20.0 40.0 10.0 8.16496580927726 40.0 30.0 30.0
              [0, 10) door 1 0 - - - - - - - - -
            end:
              [10, 20) oven 1 1 7.0 7.0 7.0 7.0 - 0.0 7.0 7.0 7.0
            open 0
        "#]],
    );
}

#[test]
fn a_late_reading_is_counted_and_changes_nothing() {
    check(
        by_sensor(tumble(10), &[Sum]),
        "
        1 oven 1
        watermark 10
        9 oven 100
        10 oven 2
        end
        15 oven 3
        ",
        expect![[r#"
            watermark 10:
              [0, 10) oven 1 1.0
            9 oven 100: dropped as late 1
            end:
              [10, 20) oven 1 2.0
            15 oven 3: dropped as late 1
            open 0
        "#]],
    );
}

#[test]
fn a_reading_late_for_one_hopping_window_joins_those_still_open() {
    check(
        by_sensor(hop(15, 5), &[Sum, LastValue]),
        "
        1 oven 1
        12 oven 2
        watermark 15
        6 oven 4
        3 oven 8
        restart
        11 press 16
        6 oven 32
        watermark 20
        end
        ",
        expect![[r#"
            watermark 15:
              [-10, 5) oven 1 1.0 1.0
              [-5, 10) oven 1 1.0 1.0
              [0, 15) oven 2 3.0 2.0
            3 oven 8: dropped as late 1
            watermark 20:
              [5, 20) oven 3 38.0 2.0
              [5, 20) press 1 16.0 16.0
            end:
              [10, 25) oven 1 2.0 2.0
              [10, 25) press 1 16.0 16.0
            open 0
        "#]],
    );
}

#[test]
fn months_of_silence_cost_nothing() {
    check(
        by_sensor(hop(2, 1), &[Sum]),
        "
        0 oven 1
        watermark 5
        30000000 oven 2
        watermark 40000000000
        ",
        expect![[r#"
            watermark 5:
              [-1, 1) oven 1 1.0
              [0, 2) oven 1 1.0
            watermark 40000000000:
              [29999999, 30000001) oven 1 2.0
              [30000000, 30000002) oven 1 2.0
            open 0
        "#]],
    );
}

#[test]
fn readings_before_1970_and_without_time_are_told_apart() {
    check(
        by_sensor(tumble(10), &[Sum]),
        "
        -0.000001 oven 1
        - oven 2
        -10 - 3
        1e13 oven 4
        end
        ",
        expect![[r#"
            - oven 2: dropped as no_time 1
            1e13 oven 4: dropped as too_far_ahead 1
            end:
              [-10, 0) oven 1 1.0
              [-10, 0) - 1 3.0
            open 0
        "#]],
    );
}

#[test]
fn readings_between_windows_that_do_not_touch_are_filtered() {
    check(
        by_sensor(hop(5, 10), &[Sum]),
        "
        4 oven 1
        5 oven 2
        9 oven 3
        10 oven 4
        end
        ",
        expect![[r#"
            5 oven 2: dropped as filtered 1
            9 oven 3: dropped as filtered 1
            end:
              [0, 5) oven 1 1.0
              [10, 15) oven 1 4.0
            open 0
        "#]],
    );
}

#[test]
fn a_delayed_time_column_holds_windows_open_for_the_delay() {
    let spec = WindowSpec { time_delay: Span::from_secs(60), ..by_sensor(tumble(10), &[Sum]) };
    check(
        spec,
        "
        1 oven 1
        watermark 69
        2 oven 2
        watermark 70
        3 oven 4
        ",
        expect![[r#"
            watermark 70:
              [0, 10) oven 2 3.0
            3 oven 4: dropped as late 1
            open 0
        "#]],
    );
}

#[test]
fn windows_start_at_their_offset() {
    let kind = WindowKind::Tumble { size: Span::from_secs(10), offset: Span::from_secs(-7) };
    check(
        WindowSpec { keys: vec![], ..by_sensor(kind, &[Sum]) },
        "
        2.9 oven 1
        3 press 2
        12.9 oven 3
        end
        ",
        expect![[r#"
            end:
              [-7, 3) 1 1.0
              [3, 13) 2 5.0
            open 0
        "#]],
    );
}

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
        function,
        column: Some(column),
        name: format!("{}{column}", function.name()),
    };
    let mut specs = vec![column(Sum, 1), column(Sum, 2), column(Sum, 3)];
    specs.extend((1..=types.len()).flat_map(|n| [Min, Max, FirstValue, LastValue].map(|function| column(function, n))));
    let spec = WindowSpec { kind: tumble(10), time: 0, time_delay: Span::ZERO, keys: vec![7], aggregates: specs };
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
    let spec = WindowSpec { kind: tumble(1), time: 0, time_delay: Span::ZERO, keys: vec![], aggregates: vec![spec(1)] };
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
    let spec = WindowSpec { kind: tumble(1), time: 0, time_delay: Span::ZERO, keys: vec![1], aggregates };
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
        groups are forgotten when they are in no open window
        percentile_cont keeps every value of the open windows, 8 bytes each
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

// ---- any input, against the definition ---------------------------------------------------------------------------------

/// One row of an input, all in small numbers so that floats are exact.
#[derive(Clone, Debug)]
struct Reading {
    time: Option<i64>,
    key: usize,
    value: Option<i32>,
}

#[derive(Clone, Debug)]
enum Step {
    Read(Reading),
    Watermark(i64),
}

/// How the same steps are fed: rows of a batch, and whether to restart after a step.
#[derive(Clone, Debug)]
struct Feed {
    batch: usize,
    restart_every: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![1 => Just(None), 8 => (-40..40i32).prop_map(Some)];
    // Rows lie around a present that moves on with each step, further back than the watermark allows now and then.
    let step = (0..20u8, -25..25i64, 0..4usize, value);
    prop::collection::vec(step, 1..120).prop_map(|raw| {
        let mut watermark = i64::MIN;
        let step = |(n, (kind, around, key, value)): (usize, (u8, i64, usize, Option<i32>))| {
            let present = n as i64 - 30;
            match kind {
                0..=2 => {
                    watermark = watermark.max(present + around / 2);
                    Step::Watermark(watermark)
                }
                3 => Step::Read(Reading { time: None, key, value }),
                4 => Step::Read(Reading { time: Some(present + around * 1000), key, value }),
                _ => Step::Read(Reading { time: Some(present + around), key, value }),
            }
        };
        raw.into_iter().enumerate().map(step).collect()
    })
}

fn key_schemas() -> [Vec<DataType>; 5] {
    let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    [vec![], vec![DataType::Int32], vec![DataType::Utf8], vec![words.clone()], vec![DataType::Utf8View, words]]
}

fn every_function() -> Vec<AggregateFunction> {
    let percentile = |fraction, exact| Percentile { fraction, exact };
    let mut all = vec![Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue];
    all.extend([percentile(0.5, true), percentile(0.95, false)]);
    all
}

fn spec(kind: WindowKind, keys: usize) -> WindowSpec {
    let mut aggregates = aggregates(&every_function());
    aggregates.iter_mut().for_each(|aggregate| aggregate.column = aggregate.column.map(|_| 1));
    WindowSpec { kind, time: 0, time_delay: Span::ZERO, keys: (2..2 + keys).collect(), aggregates }
}

fn batch(readings: &[Reading], keys: &[DataType]) -> RecordBatch {
    let times = readings.iter().map(|r| r.time).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    let values = readings.iter().map(|r| r.value.map(|v| f64::from(v) / 4.0)).collect::<Float64Array>();
    let mut fields = vec![time_field("ts", true), Field::new("value", DataType::Float64, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(values)];
    // Key 0 is null; the others are numbers, as numbers or as text.
    let key: ArrayRef = Arc::new(
        readings
            .iter()
            .map(|r| (r.key > 0).then(|| (r.key as i64 * 40_000 - 50_000).to_string()))
            .collect::<StringArray>(),
    );
    for (n, data_type) in keys.iter().enumerate() {
        fields.push(Field::new(format!("key{n}"), data_type.clone(), true));
        columns.push(cast(&key, data_type).expect("casts"));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fits")
}

fn run(kind: WindowKind, keys: &[DataType], steps: &[Step], feed: &Feed) -> (RecordBatch, BTreeMap<Reason, usize>) {
    let planned = plan(spec(kind, keys.len()), &batch(&[], keys).schema()).expect("the plan is sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let mut waiting = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        if let Step::Read(reading) = step {
            waiting.push(reading.clone());
        }
        let next_is_row = matches!(steps.get(n + 1), Some(Step::Read(_)));
        if waiting.len() >= feed.batch || !next_is_row {
            operator.process(0, batch(&waiting, keys), &mut out).expect("takes rows");
            waiting.clear();
        }
        if let Step::Watermark(watermark) = step {
            operator.advance(Timestamp(*watermark), &mut out).expect("advances");
        }
        if n % feed.restart_every == 0 && waiting.is_empty() {
            operator = restarted(&planned, operator.as_ref());
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    assert_eq!(operator.open_rows(), 0);
    (concat_batches(&planned.output, &out.batches).expect("one schema"), out.dropped)
}

type Answer = BTreeMap<(i64, i64, usize), Vec<Option<f64>>>;

/// What the windows hold, straight from the definition.
fn reference(kind: WindowKind, keyed: bool, steps: &[Step]) -> (Answer, BTreeMap<Reason, usize>) {
    let (size, slide, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size.micros(), size.micros(), offset.micros()),
        WindowKind::Hop { size, slide, offset } => (size.micros(), slide.micros(), offset.micros()),
    };
    let mut windows = BTreeMap::<_, Vec<&Reading>>::new();
    let mut dropped = BTreeMap::new();
    let mut watermark = i64::MIN;
    for step in steps {
        let reading = match step {
            Step::Watermark(time) => {
                watermark = watermark.max(*time);
                continue;
            }
            Step::Read(reading) => reading,
        };
        let Some(time) = reading.time else {
            *dropped.entry(Reason::NoTime).or_default() += 1;
            continue;
        };
        let mut start = (time - offset).div_euclid(slide) * slide + offset;
        let (mut belongs, mut joined) = (false, false);
        while start + size > time {
            belongs = true;
            if start + size > watermark {
                joined = true;
                windows.entry((start, start + size, if keyed { reading.key } else { 0 })).or_default().push(reading);
            }
            start -= slide;
        }
        if !joined {
            *dropped.entry(if belongs { Reason::Late } else { Reason::Filtered }).or_default() += 1;
        }
    }
    (windows.into_iter().map(|(window, readings)| (window, answers(readings))).collect(), dropped)
}

fn answers(mut readings: Vec<&Reading>) -> Vec<Option<f64>> {
    let rows = readings.len() as f64;
    readings.sort_by_key(|reading| reading.time);
    let values = readings.iter().filter_map(|r| r.value).map(|v| f64::from(v) / 4.0).collect::<Vec<_>>();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let some = |value: f64| (!values.is_empty()).then_some(value);
    let (sum, avg) = (values.iter().sum::<f64>(), values.iter().sum::<f64>() / n);
    let squares = values.iter().map(|v| (v - avg).powi(2)).sum::<f64>();
    let percentile = |fraction: f64| {
        let rank = (n - 1.0) * fraction;
        let (low, high) = (*sorted.get(rank as usize)?, sorted.get(rank as usize + 1));
        Some(low + rank.fract() * (high.copied().unwrap_or(low) - low))
    };
    let sample = (n > 1.0).then(|| (squares / (n - 1.0)).sqrt());
    let mut all = vec![Some(rows), Some(n), some(sum), some(avg), sorted.first().copied(), sorted.last().copied()];
    all.extend([sample, some((squares / n).sqrt()), values.first().copied(), values.last().copied()]);
    all.extend([percentile(0.5), percentile(0.95)]);
    all
}

fn answers_of(batch: &RecordBatch, keys: usize) -> Answer {
    let time = |column: usize, row: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row);
    let mut all = Answer::new();
    for row in 0..batch.num_rows() {
        let cells = batch.columns()[2 + keys..].iter().map(|column| {
            let column = cast(column, &DataType::Float64).expect("a number");
            column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row))
        });
        let key = batch.columns()[2..2 + keys].iter().map(|column| {
            let column = cast(&cast(column, &DataType::Utf8).expect("text"), &DataType::Int64).expect("a number");
            if column.is_null(row) { 0 } else { (column.as_primitive::<Int64Type>().value(row) + 50_000) / 40_000 }
        });
        let key = key.max().unwrap_or(0) as usize;
        let doubled = all.insert((time(0, row), time(1, row), key), cells.collect());
        assert_eq!(doubled, None, "a window was put out twice");
    }
    let ends = batch.column(1).as_primitive::<TimestampMicrosecondType>().values();
    assert!(ends.is_sorted(), "windows were put out in another order than their ends");
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_what_the_definition_says(
        size in 1..30i64,
        slide in 1..30i64,
        offset in -10..10i64,
        tumbling in any::<bool>(),
        keys in 0..5usize,
        steps in steps(),
        batch in 1..60usize,
        restart_every in 1..50usize,
    ) {
        let (size, slide, offset) = (Span(size), Span(slide), Span(offset));
        let kind = if tumbling { WindowKind::Tumble { size, offset } } else { WindowKind::Hop { size, slide, offset } };
        let types = &key_schemas()[keys];
        let (straight, dropped) = run(kind, types, &steps, &Feed { batch: 1, restart_every: usize::MAX });
        let (expected, expected_dropped) = reference(kind, keys > 0, &steps);
        prop_assert_eq!(&dropped, &expected_dropped);
        let found = answers_of(&straight, types.len());
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (window, expected) in &expected {
            for (n, (found, expected)) in found[window].iter().zip(expected).enumerate() {
                let equal = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                    (found, expected) => found == expected,
                };
                prop_assert!(equal, "{window:?}: aggregate {n} is {found:?}, not {expected:?}");
            }
        }
        // To the last bit, and in the same order.
        let (fed, fed_dropped) = run(kind, types, &steps, &Feed { batch, restart_every });
        prop_assert_eq!(fed_dropped, dropped);
        prop_assert_eq!(lines(&fed), lines(&straight));
    }
}
