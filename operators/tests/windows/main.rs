//! Windowed aggregation as a user meets it: readings and watermarks in, closed windows out.

mod calendars;
mod definition;
mod early;
mod external;
mod keyed;
mod over_time;
mod percentiles;
mod plans;
mod scripts;
mod views;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use expect_test::Expect;
use lineside_model::schema::time_field;
use lineside_model::{Reason, Result, Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction;
use lineside_operators::window::{AggregateSpec, MAX_GROUPS, WindowKind, WindowSpec, plan};
use lineside_operators::{Emitter, Operator, PlannedOperator};

/// Keeps what an operator puts out.
#[derive(Debug, Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    dropped: BTreeMap<Reason, usize>,
    /// What came out by other outputs than the first.
    others: BTreeMap<usize, Kept>,
}

impl Kept {
    fn output(&mut self, output: usize) -> &mut Self {
        if output == 0 { self } else { self.others.entry(output).or_default() }
    }
}

impl Emitter for Kept {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.batches.push(rows);
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        *self.dropped.entry(reason).or_default() += rows;
    }

    fn emit_to(&mut self, output: usize, rows: RecordBatch) -> Result<()> {
        self.output(output).emit(rows)
    }

    fn dropped_from(&mut self, output: usize, reason: Reason, rows: usize) {
        self.output(output).dropped(reason, rows);
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

fn cumulate(size: i64, step: i64) -> WindowKind {
    WindowKind::Cumulate { size: Span::from_secs(size), step: Span::from_secs(step), offset: Span::ZERO }
}

fn aggregates(functions: &[AggregateFunction]) -> Vec<AggregateSpec> {
    let spec = |function: &AggregateFunction| AggregateSpec {
        function: function.clone(),
        column: Some(VALUE),
        name: function.name().to_owned(),
    };
    let mut all = vec![AggregateSpec { function: AggregateFunction::Count, column: None, name: "rows".to_owned() }];
    all.extend(functions.iter().map(spec));
    // Some have several forms of one name.
    for n in 1..all.len() {
        if all[..n].iter().any(|before| before.name == all[n].name) {
            all[n].name += &n.to_string();
        }
    }
    all
}

fn by_sensor(kind: WindowKind, functions: &[AggregateFunction]) -> WindowSpec {
    WindowSpec {
        kind,
        time: TS,
        time_delay: Span::ZERO,
        keys: vec![SENSOR],
        aggregates: aggregates(functions),
        max_groups: MAX_GROUPS,
    }
}

/// Runs a script: `seconds sensor value` is a reading (`-` is null), `watermark seconds` a watermark, `tick seconds` the clock, `restart` a snapshot that
/// a fresh operator takes over, `end` the end of the input. The answer has what each line brought about.
#[expect(clippy::needless_pass_by_value, reason = "an expectation reads best in the call")]
fn check(spec: WindowSpec, script: &str, expected: Expect) {
    check_planned(&plan(spec, &readings()).expect("the plan is sound"), script, &expected);
}

fn check_planned(planned: &PlannedOperator, script: &str, expected: &Expect) {
    let mut operator = (planned.build)();
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut out = Kept::default();
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["watermark", time] => operator.advance(Timestamp(secs(time)), &mut out).expect("advances"),
            ["tick", time] if operator.wake_at().is_some_and(|at| at <= Timestamp(secs(time))) => {
                operator.tick(Timestamp(secs(time)), &mut out).expect("ticks");
            }
            ["tick", _] => {}
            ["end"] => operator.advance(Timestamp::MAX, &mut out).expect("ends"),
            ["restart"] => operator = restarted(planned, operator.as_ref()),
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
