//! Time at a source and in the workers behind it, driven by a simulated clock: no task, no thread, no waiting.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};
use lineside_model::{Clock, Span, Timestamp};

use super::event_time::Piece;
use super::source_time::SourceTime;
use super::watermarks::WatermarkTable;
use crate::clock::SimulatedClock;
use crate::graph::{Batch, Ending, Layout, Message, Outbox, Watermark, Worker};
use crate::observe::{Board, Kind, SensorState};
use crate::plan::{Input, Plan, TimePlan, of_text, quarantine};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// When the stories begin: 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200 * SECOND;

/// One source, the worker behind it, and a clock that a test sets.
struct Line {
    plan: Arc<Plan>,
    clock: Arc<SimulatedClock>,
    time: SourceTime,
    worker: Worker,
    board: Board,
    outbox: Outbox,
}

type Reading = (i64, String);

impl Line {
    /// A source of recorded readings with these options of `time`, what is below it, and what is different in the plan.
    fn new(time: &str, below: &str, change: impl FnOnce(&mut TimePlan)) -> Self {
        let text = format!(
            r#"
[source.readings]
connector = "memory"
rows = []
columns = {{ ts = "timestamp", sensor = "text", value = "float" }}
time = {{ column = "ts", {time} }}
{below}"#
        );
        let mut plan = of_text(&text);
        change(&mut plan.sources[0].time);
        Self::of(plan)
    }

    fn recorded(time: &str) -> Self {
        Self::new(time, COUNTS, |_| {})
    }

    /// As if the source went on for ever.
    fn live(time: &str) -> Self {
        Self::new(time, COUNTS, |time| {
            time.max_ahead = Some(Span(HOUR));
            time.per_key.iter_mut().for_each(|key| key.live = true);
        })
    }

    fn of(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let clock = Arc::new(SimulatedClock::at(Timestamp(START)));
        let board = super::board_of(&plan);
        let layout = Layout::of(&plan);
        let component = layout.components.iter().find(|c| c.sources.contains(&0)).expect("the source is in one");
        let source = &plan.sources[0];
        let time = SourceTime::new(&source.time, &source.schema, clock.now()).expect("its columns are there");
        let worker = Worker::new(&plan, component, 0, &board);
        Self { clock, time, worker, board, plan, outbox: Outbox::default() }
    }

    fn give(&mut self, rows: &[Reading]) {
        let (mut pieces, mut aside) = (Vec::new(), Vec::new());
        let now = self.clock.now();
        self.time.take(batch(&self.plan, rows), now, &mut pieces, &mut aside).expect("it takes");
        self.act(pieces);
        for aside in aside {
            let meter = self.board.find(Kind::Source, "readings").expect("it has a meter");
            meter.drop_rows(aside.reason, aside.rows.num_rows());
            let rows = aside.quarantined(&quarantine(&self.plan.sources[0].schema), now).expect("it fits the schema");
            self.worker.take(Input::Quarantine(0), data(rows), &mut self.outbox).expect("it takes");
        }
        let meter = self.board.find(Kind::Source, "readings").expect("it has a meter");
        meter.held.set_heard_at(self.time.latest_rows());
        meter.held.set_sensors(self.time.sensors(now, 100).expect("names print"));
    }

    /// Lets the clock go on to so many seconds after the start.
    fn wait_until(&mut self, second: i64) {
        let end = Timestamp(START + second * SECOND);
        while let Some(due) =
            self.time.wait(self.clock.now()).map(|wait| self.clock.now() + wait).filter(|due| *due <= end)
        {
            self.clock.set(due);
            let mut pieces = Vec::new();
            self.time.silence(self.clock.now(), &mut pieces);
            self.act(pieces);
        }
        self.clock.set(end);
    }

    fn act(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            let message = match piece {
                Piece::Rows(rows) => data(rows),
                Piece::Watermark(at) => Message::Watermark(Watermark::At(at)),
                Piece::Idle => Message::Watermark(Watermark::Idle),
            };
            self.worker.take(Input::Source(0), message, &mut self.outbox).expect("it takes");
        }
    }

    fn end(&mut self) {
        self.worker.take(Input::Source(0), Message::End(Ending::Complete), &mut self.outbox).expect("it ends");
    }

    /// What reached a sink since this was asked last.
    fn reached(&mut self, sink: &str) -> Vec<RecordBatch> {
        let mut rows = Vec::new();
        self.outbox.to_sinks.retain(|(n, message)| match message {
            Message::Data(batch) if self.plan.sinks[*n].name == sink => {
                rows.push(batch.rows.clone());
                false
            }
            _ => true,
        });
        rows
    }

    fn late(&self) -> Option<u64> {
        self.board.report().objects.iter().find_map(|object| object.dropped.get("late").copied())
    }

    fn watermarks(&self) -> RecordBatch {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        WatermarkTable::new(&self.plan, &self.board, &clock).rows(self.clock.now()).expect("it fits the schema")
    }
}

fn data(rows: RecordBatch) -> Message {
    Message::Data(Batch { rows, origin: Timestamp(0), handed_on: 0 })
}

fn batch(plan: &Plan, rows: &[Reading]) -> RecordBatch {
    let schema = &plan.sources[0].schema;
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => {
                let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
                Arc::new(times.with_timezone("UTC"))
            }
            "sensor" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1.as_str()))),
            _ => Arc::new(Float64Array::from(vec![1.0; rows.len()])),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).expect("columns of the schema")
}

fn check(rows: &[RecordBatch], expected: &Expect) {
    expected.assert_eq(&format!("{}\n", pretty_format_batches(rows).expect("rows print")));
}

const COUNTS: &str = r#"
[query.counts]
late = "late_readings"
sql = """SELECT window_start, window_end, count(*) AS n
FROM TUMBLE(readings, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end"""
[sink.counts]
connector = "void"
input = "counts"
[sink.late]
connector = "void"
input = "late_readings"
[sink.ahead]
connector = "void"
input = "readings.quarantine"
"#;

/// When windows came out, in seconds after the start: their end, their rows.
fn closed(line: &mut Line) -> Vec<(i64, i64)> {
    let ends = |rows: &RecordBatch| {
        let ends = rows["window_end"].as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec();
        let counts = rows["n"].as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        ends.into_iter().map(|end| (end - START) / SECOND).zip(counts).collect::<Vec<_>>()
    };
    line.reached("counts").iter().flat_map(ends).collect()
}

/// A thousand sensors, a reading a second each: `s1` goes silent after 20 s, `s2` runs a day ahead, `s3` is an hour late.
fn second_of_a_thousand(second: i64) -> Vec<Reading> {
    let sensors = (0..1000).filter(|n| *n != 1 || second < 20);
    let reading = |n: i64| {
        let off = match n {
            2 => 24 * HOUR,
            3 => -HOUR,
            _ => n * 900,
        };
        (START + second * SECOND + off, format!("s{n}"))
    };
    sensors.map(reading).collect()
}

#[test]
fn of_a_thousand_sensors_one_is_silent_one_a_day_ahead_and_one_an_hour_late_and_the_others_close_on_time() {
    let mut line = Line::live(r#"disorder = "1s", per_key = "sensor", idle_after = "5s""#);
    let mut told = String::new();
    for second in 0..60 {
        line.wait_until(second);
        line.give(&second_of_a_thousand(second));
        for (end, count) in closed(&mut line).into_iter().filter(|(end, _)| *end > 0) {
            told += &format!("second {second}: the window that ends at {end}, {count} rows\n");
        }
        if second == 23 || second == 40 {
            told +=
                &format!("second {second}:\n{}\n", pretty_format_batches(&[line.watermarks()]).expect("rows print"));
        }
    }
    // What a sensor told that was never believed is told of it when it is silent, too.
    line.wait_until(70);
    line.give(&[]);
    let rows = line.watermarks();
    let first = rows.slice(0, rows.num_rows().min(5));
    told += &format!("second 70, the first:\n{}\n", pretty_format_batches(&[first]).expect("rows print"));
    told += &format!("counted as late: {:?}\n", line.late());
    let late = line.reached("late");
    told += &format!(
        "late: {} rows, the first:\n{}\n",
        late.iter().map(RecordBatch::num_rows).sum::<usize>(),
        pretty_format_batches(&[late[0].slice(0, 1)]).expect("rows print")
    );
    let ahead = line.reached("ahead");
    told += &format!(
        "in quarantine: {} rows, the first:\n{}\n",
        ahead.iter().map(RecordBatch::num_rows).sum::<usize>(),
        pretty_format_batches(&[ahead[0].slice(0, 1)]).expect("rows print")
    );
    expect![[r#"
        second 11: the window that ends at 10, 9980 rows
        second 23:
        +----------------------+---------------+----------------------+----------------------+-----------------------------+----------+--------+--------+-----------------------------+----------------------+
        | at                   | step          | window_start         | window_end           | watermark                   | source   | sensor | state  | newest                      | since                |
        +----------------------+---------------+----------------------+----------------------+-----------------------------+----------+--------+--------+-----------------------------+----------------------+
        | 2024-01-01T00:00:23Z | counts/window | 2024-01-01T00:00:10Z | 2024-01-01T00:00:20Z | 2024-01-01T00:00:18.000900Z | readings | s1     | holds  | 2024-01-01T00:00:19.000900Z | 2024-01-01T00:00:19Z |
        | 2024-01-01T00:00:23Z |               |                      |                      |                             | readings | s2     | ahead  | 2024-01-02T00:00:23Z        | 2024-01-01T00:00:23Z |
        | 2024-01-01T00:00:23Z |               |                      |                      |                             | readings | s3     | behind | 2023-12-31T23:00:23Z        | 2024-01-01T00:00:23Z |
        +----------------------+---------------+----------------------+----------------------+-----------------------------+----------+--------+--------+-----------------------------+----------------------+
        second 25: the window that ends at 20, 9980 rows
        second 31: the window that ends at 30, 9970 rows
        second 40:
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        | at                   | step          | window_start         | window_end           | watermark            | source   | sensor | state  | newest                      | since                |
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        | 2024-01-01T00:00:40Z | counts/window | 2024-01-01T00:00:30Z | 2024-01-01T00:00:40Z | 2024-01-01T00:00:39Z | readings | s0     | holds  | 2024-01-01T00:00:40Z        | 2024-01-01T00:00:40Z |
        | 2024-01-01T00:00:40Z |               |                      |                      |                      | readings | s1     | silent | 2024-01-01T00:00:19.000900Z | 2024-01-01T00:00:19Z |
        | 2024-01-01T00:00:40Z |               |                      |                      |                      | readings | s2     | ahead  | 2024-01-02T00:00:40Z        | 2024-01-01T00:00:40Z |
        | 2024-01-01T00:00:40Z |               |                      |                      |                      | readings | s3     | behind | 2023-12-31T23:00:40Z        | 2024-01-01T00:00:40Z |
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        second 41: the window that ends at 40, 9970 rows
        second 51: the window that ends at 50, 9970 rows
        second 70, the first:
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        | at                   | step          | window_start         | window_end           | watermark            | source   | sensor | state  | newest                      | since                |
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        | 2024-01-01T00:01:10Z | counts/window | 2024-01-01T00:00:50Z | 2024-01-01T00:01:00Z | 2024-01-01T00:00:58Z | readings | s0     | holds  | 2024-01-01T00:00:59Z        | 2024-01-01T00:00:59Z |
        | 2024-01-01T00:01:10Z |               |                      |                      |                      | readings | s1     | silent | 2024-01-01T00:00:19.000900Z | 2024-01-01T00:00:19Z |
        | 2024-01-01T00:01:10Z |               |                      |                      |                      | readings | s2     | silent | 2024-01-02T00:00:59Z        | 2024-01-01T00:00:59Z |
        | 2024-01-01T00:01:10Z |               |                      |                      |                      | readings | s3     | silent | 2023-12-31T23:00:59Z        | 2024-01-01T00:00:59Z |
        | 2024-01-01T00:01:10Z |               |                      |                      |                      | readings | s4     | silent | 2024-01-01T00:00:59.003600Z | 2024-01-01T00:00:59Z |
        +----------------------+---------------+----------------------+----------------------+----------------------+----------+--------+--------+-----------------------------+----------------------+
        counted as late: Some(55)
        late: 55 rows, the first:
        +-----------------------------+--------+------------+--------+----------------------+-------+
        | watermark                   | reason | late_us    | sensor | ts                   | value |
        +-----------------------------+--------+------------+--------+----------------------+-------+
        | 2024-01-01T00:00:03.003600Z | late   | 3598003600 | s3     | 2023-12-31T23:00:05Z | 1.0   |
        +-----------------------------+--------+------------+--------+----------------------+-------+
        in quarantine: 60 rows, the first:
        +----------------------+---------------+-------------+--------+----------------------+-------+
        | quarantined_at       | reason        | ahead_us    | sensor | ts                   | value |
        +----------------------+---------------+-------------+--------+----------------------+-------+
        | 2024-01-01T00:00:00Z | too_far_ahead | 86400000000 | s2     | 2024-01-02T00:00:00Z | 1.0   |
        +----------------------+---------------+-------------+--------+----------------------+-------+
    "#]].assert_eq(&told);
}

#[test]
fn recorded_rows_give_the_same_watermarks_however_they_are_cut() {
    let rows = (0..40).flat_map(second_of_a_thousand).filter(|(_, s)| s.len() < 4).collect::<Vec<_>>();
    let late_rows = |line: &mut Line| {
        let batches = line.reached("late");
        let text = pretty_format_batches(&batches).expect("rows print").to_string();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let story = |cut: usize| {
        let mut line = Line::recorded(r#"disorder = "1s", per_key = "sensor", idle_after = "5s", max_ahead = "1h""#);
        rows.chunks(cut).for_each(|rows| line.give(rows));
        line.end();
        let late = line.board.report().objects.iter().map(|o| o.dropped.clone()).collect::<Vec<_>>();
        (closed(&mut line), late, late_rows(&mut line))
    };
    let whole = story(rows.len());
    assert!(whole.0.iter().any(|(end, _)| *end == 30), "{whole:?}");
    for cut in [1, 2, 7, 64, 999] {
        assert_eq!(story(cut), whole, "cut at {cut}");
    }
}

#[test]
fn without_a_time_per_sensor_the_one_that_runs_ahead_makes_all_others_late() {
    let mut line = Line::recorded(r#"disorder = "1s""#);
    line.give(&second_of_a_thousand(0));
    line.give(&second_of_a_thousand(1));
    line.end();
    assert!(line.late() > Some(900), "{:?}", line.late());
}

#[test]
fn windows_close_by_the_clock_when_all_is_silent() {
    for (after, expected) in [(None, vec![]), (Some(30), vec![(10, 3)])] {
        let mut line = Line::new(r#"disorder = "1s""#, COUNTS, |time| {
            time.close_after = after.map(Span::from_secs);
            time.idle_after = Some(Span::from_secs(5));
        });
        line.give(&[0, 1, 2].map(|n| (START + n * SECOND, "a".to_owned())));
        line.wait_until(29);
        assert_eq!(closed(&mut line), [], "not before");
        line.wait_until(31);
        assert_eq!(closed(&mut line), expected);
        // What comes then is late if its window is closed, and on time if not.
        line.give(&[9, 60].map(|n| (START + n * SECOND, "a".to_owned())));
        line.end();
        assert_eq!(line.late(), after.map(|_| 1));
    }
}

#[test]
fn a_silence_after_readings_that_were_all_put_aside_moves_no_time() {
    let mut line = Line::new(r#"per_key = "sensor", idle_after = "5s""#, COUNTS, |time| {
        time.max_ahead = Some(Span(HOUR));
        time.close_after = Some(Span::from_secs(5));
        time.per_key.iter_mut().for_each(|key| key.live = true);
    });
    line.give(&[(START + 24 * HOUR, "a".to_owned())]);
    line.wait_until(60);
    assert_eq!(line.time.watermark(), Timestamp::MIN);
    let told = line.time.sensors(line.clock.now(), 100).expect("names print");
    let told = told.iter().map(|sensor| (sensor.sensor.as_str(), sensor.state, sensor.newest)).collect::<Vec<_>>();
    assert_eq!(told, [("a", SensorState::Silent, Timestamp(START + 24 * HOUR))]);
}

#[test]
fn after_a_silence_of_all_the_first_sensor_to_come_back_makes_no_other_late() {
    let mut line = Line::live(r#"per_key = "sensor", idle_after = "5s""#);
    let both =
        |second: i64| [(START + second * SECOND, "a".to_owned()), (START + second * SECOND - 400_000, "b".to_owned())];
    (0..10).for_each(|second| {
        line.wait_until(second);
        line.give(&both(second));
    });
    line.wait_until(1000);
    (1000..1020).for_each(|second| {
        line.wait_until(second);
        let [a, b] = both(second);
        line.give(&[a]);
        line.give(&[b]);
    });
    line.end();
    assert_eq!(line.late(), None);
    assert_eq!(closed(&mut line).iter().map(|(_, n)| n).sum::<i64>(), 60);
}

#[test]
fn a_row_ahead_of_the_clock_or_without_time_is_in_quarantine_with_the_reason() {
    let mut line = Line::recorded(r#"disorder = "1s", max_ahead = "10s""#);
    line.give(&[(START, "a".to_owned()), (START + 11 * SECOND, "b".to_owned())]);
    check(
        &line.reached("ahead"),
        &expect![[r#"
        +----------------------+---------------+----------+--------+----------------------+-------+
        | quarantined_at       | reason        | ahead_us | sensor | ts                   | value |
        +----------------------+---------------+----------+--------+----------------------+-------+
        | 2024-01-01T00:00:00Z | too_far_ahead | 11000000 | b      | 2024-01-01T00:00:11Z | 1.0   |
        +----------------------+---------------+----------+--------+----------------------+-------+
    "#]],
    );
}

const LATE: &str = r#"
[query.tops]
late = "came_late"
sql = """SELECT sensor, window_start, max(value) AS top FROM TUMBLE(readings, ts, INTERVAL '10' SECOND)
WHERE value > 0 GROUP BY sensor, window_start"""
[query.lateness]
sql = """SELECT window_start, sensor, count(*) AS n, max(late_us) AS most FROM TUMBLE(came_late, watermark, INTERVAL '1' MINUTE)
GROUP BY window_start, sensor"""
[sink.late]
connector = "void"
input = "came_late"
[sink.lateness]
connector = "void"
input = "lateness"
[sink.tops]
connector = "void"
input = "tops"
"#;

#[test]
fn late_rows_come_whole_and_another_query_reads_them() {
    let mut line = Line::new(r#"disorder = "1s""#, LATE, |_| {});
    let at = |second: i64, sensor: &str| (START + second * SECOND, sensor.to_owned());
    line.give(&[at(5, "a"), at(15, "a"), at(3, "b"), at(14, "a"), at(25, "a"), at(2, "b")]);
    line.end();
    check(
        &line.reached("late"),
        &expect![[r#"
        +----------------------+--------+----------+----------------------+--------+-------+
        | watermark            | reason | late_us  | ts                   | sensor | value |
        +----------------------+--------+----------+----------------------+--------+-------+
        | 2024-01-01T00:00:14Z | late   | 11000000 | 2024-01-01T00:00:03Z | b      | 1.0   |
        | 2024-01-01T00:00:24Z | late   | 22000000 | 2024-01-01T00:00:02Z | b      | 1.0   |
        +----------------------+--------+----------+----------------------+--------+-------+
    "#]],
    );
    check(
        &line.reached("lateness"),
        &expect![[r#"
        +----------------------+--------+---+----------+
        | window_start         | sensor | n | most     |
        +----------------------+--------+---+----------+
        | 2024-01-01T00:00:00Z | b      | 2 | 22000000 |
        +----------------------+--------+---+----------+
    "#]],
    );
    assert_eq!(line.late(), Some(2));
}

#[test]
fn a_late_row_corrects_its_window_while_the_query_allows_it_and_is_in_the_table_of_late_rows_after() {
    let below = LATE.replace("late = \"came_late\"", "late = \"came_late\"\nallowed_lateness = \"10s\"");
    let mut line = Line::new(r#"disorder = "1s""#, &below, |_| {});
    let at = |second: i64, sensor: &str| (START + second * SECOND, sensor.to_owned());
    line.give(&[at(5, "a"), at(15, "b"), at(3, "b"), at(16, "a"), at(25, "a"), at(2, "b")]);
    line.end();
    check(
        &line.reached("tops"),
        &expect![[r#"
        +--------+----------------------+-----+
        | sensor | window_start         | top |
        +--------+----------------------+-----+
        | a      | 2024-01-01T00:00:00Z | 1.0 |
        | b      | 2024-01-01T00:00:00Z | 1.0 |
        | a      | 2024-01-01T00:00:10Z | 1.0 |
        | b      | 2024-01-01T00:00:10Z | 1.0 |
        | a      | 2024-01-01T00:00:20Z | 1.0 |
        +--------+----------------------+-----+
    "#]],
    );
    check(
        &line.reached("late"),
        &expect![[r#"
        +----------------------+--------+----------+----------------------+--------+-------+
        | watermark            | reason | late_us  | ts                   | sensor | value |
        +----------------------+--------+----------+----------------------+--------+-------+
        | 2024-01-01T00:00:24Z | late   | 22000000 | 2024-01-01T00:00:02Z | b      | 1.0   |
        +----------------------+--------+----------+----------------------+--------+-------+
    "#]],
    );
}
