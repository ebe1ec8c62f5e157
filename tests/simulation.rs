//! The engine's workers driven by a seeded simulator instead of lanes: the same code, any schedule.
//!
//! A seed decides how each source's rows are cut into batches, in which order the sources are served, how many workers share
//! the work, and when a worker is killed and restored from its last snapshot. Whatever it decides, what reaches the sinks is
//! the same. A failure names its seed.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::util::pretty::pretty_format_batches;
use lineside::config::Config;
use lineside::graph::{
    Batch, Component, Ending, Exchange, Handover, Layout, Message, Outbox, Sharing, Watermark, Worker,
};
use lineside::observe::{Board, Kind};
use lineside::plan::{Input, Plan, Registries, build};
use lineside_model::{Span, Timestamp};

const SEEDS: u64 = 150;
const ROWS: usize = 400;
/// Rows are out of order by less than this, and the sources allow it: nothing is late.
const DISORDER: i64 = 3_000_000;

/// One line of keyed queries over queries, with signals followed in the order of time, and one that joins two sources, so that
/// watermarks of both are merged.
const PIPELINE: &str = r#"
[pipeline]
workers = WORKERS

[source.press]
connector = "file"
path = "press.csv"
only_columns = true
columns = { ts = "timestamp", sensor = "text", value = "float" }
time = { column = "ts", disorder = "3s" }

[source.oven]
connector = "file"
path = "oven.csv"
only_columns = true
columns = { ts = "timestamp", sensor = "text", value = "float" }
time = { column = "ts", disorder = "3s" }

[query.warm]
sql = "SELECT ts, sensor, value * 2 + 32 AS value FROM press WHERE value > 10"

[query.seconds]
sql = """SELECT sensor, window_start, count(*) AS n, avg(value) AS mean, min(value) AS low, max(value) AS high, last_value(value) AS last
FROM TUMBLE(warm, ts, INTERVAL '1' SECOND) GROUP BY sensor, window_start"""

[query.sliding]
sql = """SELECT sensor, window_start, sum(value) AS total, median(value) AS middle
FROM HOP(warm, ts, INTERVAL '2' SECOND, INTERVAL '7' SECOND) GROUP BY sensor, window_start"""

[query.minutes]
sql = """SELECT sensor, window_start, max(mean) AS peak
FROM TUMBLE(seconds, window_start, INTERVAL '10' SECOND) GROUP BY sensor, window_start"""

[operator.smooth]
type = "ewma"
input = "warm"
half_life = "500ms"

[operator.even]
type = "resample"
input = "smooth"
period = "300ms"
fill = "linear"
max_gap = "2s"

[operator.held]
type = "held_for"
input = "warm"
above = 100.0
duration = "200ms"

[operator.rising]
type = "rate"
input = "seconds"
value = "mean"
time = "window_start"

[query.both]
sql = "SELECT ts, sensor, value FROM oven UNION ALL SELECT ts, sensor, -value AS value FROM oven2"

[source.oven2]
connector = "file"
path = "oven2.csv"
only_columns = true
columns = { ts = "timestamp", sensor = "text", value = "float" }
time = { column = "ts", disorder = "3s" }

[query.all]
sql = """SELECT window_start, count(*) AS n, sum(value) AS total
FROM TUMBLE(both, ts, INTERVAL '5' SECOND) GROUP BY window_start"""

[sink.even]
connector = "void"
input = "even"
[sink.held]
connector = "void"
input = "held"
[sink.rising]
connector = "void"
input = "rising"
[sink.seconds]
connector = "void"
input = "seconds"
[sink.sliding]
connector = "void"
input = "sliding"
[sink.minutes]
connector = "void"
input = "minutes"
[sink.all]
connector = "void"
input = "all"
"#;

/// The part of it up to the first source.
pub(crate) fn press() -> &'static str {
    PIPELINE.split_once("[source.oven]").expect("the first source comes first").0
}

/// splitmix64: small, seeded, the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

fn plan(workers: usize) -> Plan {
    plan_of(PIPELINE, workers)
}

pub(crate) fn plan_of(pipeline: &str, workers: usize) -> Plan {
    let text = pipeline.replace("WORKERS", &workers.to_string());
    let config = Config::parse(Path::new("simulated.toml"), text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    build(&config, &Registries::BUILD).unwrap_or_else(|e| panic!("{e}"))
}

/// Rows of one source: five sensors, times that rise with jitter, integers so that sums do not depend on their order.
fn rows(source: u64) -> Vec<(i64, String, f64)> {
    let mut dice = Dice(source);
    (0..ROWS)
        .map(|n| {
            let time = n as i64 * 50_000 + dice.roll(DISORDER as usize - 1) as i64;
            (time, format!("s{}", dice.roll(5)), dice.roll(100) as f64)
        })
        .collect()
}

pub(crate) fn batch(rows: &[(i64, String, f64)]) -> RecordBatch {
    // In the order of the planned schema, that of the names.
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.0)).with_timezone("UTC");
    let columns: Vec<(&str, arrow::array::ArrayRef, bool)> = vec![
        ("sensor", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.1))), true),
        ("ts", Arc::new(times), true),
        ("value", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2))), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

/// One run of all components under one schedule: the rows of each sink, sorted.
fn simulate(plan: &Plan, dice: &mut Dice, calm: bool) -> BTreeMap<String, Vec<String>> {
    let mut seen = drive(plan, dice, calm, &|source| batch(&rows(source as u64)));
    (seen.iter_mut())
        .map(|(sink, batches)| {
            let mut lines = lines_of(batches).collect::<Vec<_>>();
            lines.sort();
            (sink.clone(), lines)
        })
        .collect()
}

/// Rows as text.
fn lines_of(batches: &[RecordBatch]) -> impl Iterator<Item = String> {
    let text = pretty_format_batches(batches).expect("rows print").to_string();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.split_whitespace().collect()).collect::<Vec<String>>().into_iter()
}

/// What one source has still to give.
struct Feed {
    number: usize,
    rows: RecordBatch,
    given: usize,
    told: Timestamp,
    /// The greatest watermark that may stand in front of each row, and behind the last.
    watermarks: Vec<i64>,
}

impl Feed {
    fn new(plan: &Plan, number: usize, rows: RecordBatch) -> Self {
        let source = &plan.sources[number];
        let mut watermarks = vec![i64::MIN; rows.num_rows() + 1];
        if source.table.is_none() {
            let times = rows.column_by_name(&source.time.column).expect("a source has a time");
            let times = times.as_primitive::<TimestampMicrosecondType>().values();
            watermarks[rows.num_rows()] = times.iter().copied().max().unwrap_or(i64::MIN);
            for row in (0..rows.num_rows()).rev() {
                watermarks[row] = watermarks[row + 1].min(times[row]);
            }
        }
        Self { number, rows, given: 0, told: Timestamp::MIN, watermarks }
    }

    fn has_ended(&self) -> bool {
        self.given == self.rows.num_rows()
    }
}

/// The workers of a component, and what they hand over to the one that gathers.
pub(crate) struct Workers<'a> {
    plan: &'a Plan,
    component: &'a Component,
    board: &'a Board,
    pub(crate) all: Vec<Worker>,
    pub(crate) outbox: Outbox,
    /// What each has handed over and the one that gathers has not taken yet.
    under_way: Vec<VecDeque<Handover>>,
}

impl<'a> Workers<'a> {
    pub(crate) fn new(plan: &'a Plan, component: &'a Component, board: &'a Board) -> Self {
        let all = (0..component.workers).map(|number| Worker::new(plan, component, number, board)).collect();
        let under_way = (0..component.workers).map(|_| VecDeque::new()).collect();
        Self { plan, component, board, all, outbox: Outbox::default(), under_way }
    }

    pub(crate) fn take(&mut self, number: usize, input: Input, message: Message) {
        self.all[number].take(input, message, &mut self.outbox).expect("operators do not fail");
        self.under_way[number].extend(self.outbox.handed_over.drain(..));
    }

    /// One is killed and goes on from what it saved.
    fn restart(&mut self, number: usize) {
        let worker = &mut self.all[number];
        if !worker.has_ended() && !worker.waits_for_others() {
            let saved = worker.snapshot().expect("it saves");
            *worker = Worker::new(self.plan, self.component, number, self.board);
            worker.restore(&saved).expect("it restores");
        }
    }

    /// What reached sinks, each row with the sink's name.
    pub(crate) fn rows(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (sink, message) in &self.outbox.to_sinks {
            if let Message::Data(batch) = message {
                let name = &self.plan.sinks[self.component.sinks[*sink]].name;
                lines.extend(lines_of(std::slice::from_ref(&batch.rows)).map(|line| format!("{name} {line}")));
            }
        }
        lines
    }

    /// What is under way arrives, of each worker as long as `more` says so.
    pub(crate) fn hand_over(&mut self, mut more: impl FnMut() -> bool) {
        for (number, under_way) in self.under_way.iter_mut().enumerate() {
            while !under_way.is_empty() && more() {
                let Some(handover) = under_way.pop_front() else { break };
                self.all[0].gather(number, handover, &mut self.outbox).expect("operators do not fail");
            }
        }
    }
}

/// The rows that each worker gets.
fn share_out(
    component: &Component,
    schema: &SchemaRef,
    batch: RecordBatch,
    dice: &mut Dice,
) -> Vec<Option<RecordBatch>> {
    match &component.sharing {
        Sharing::Whole => vec![Some(batch)],
        Sharing::ByKey(key) => {
            let exchange = Exchange::new(schema, key, component.workers);
            exchange.expect("the key is in the schema").split(&batch).expect("it splits")
        }
        Sharing::InTurn(_) => {
            let turn = dice.roll(component.workers);
            (0..component.workers).map(|number| (number == turn).then(|| batch.clone())).collect()
        }
    }
}

/// One run of all components under one schedule over the rows of each source: what each sink gets, in the order in which it comes.
///
/// A calm run hands over each source whole, in one batch. Otherwise the dice cut each into batches, put watermarks behind some
/// of them, as high as the rows to come allow or lower, and restart workers.
pub(crate) fn drive(
    plan: &Plan,
    dice: &mut Dice,
    calm: bool,
    rows_of: &dyn Fn(usize) -> RecordBatch,
) -> BTreeMap<String, Vec<RecordBatch>> {
    let board = Board::default();
    let mut seen = BTreeMap::<String, Vec<RecordBatch>>::new();
    for component in &Layout::of(plan).components {
        let mut workers = Workers::new(plan, component, &board);
        let mut open = component.sources.iter().map(|&n| Feed::new(plan, n, rows_of(n))).collect::<Vec<_>>();
        while !open.is_empty() {
            let at = if calm { 0 } else { dice.roll(open.len()) };
            let feed = &mut open[at];
            let (input, source) = (Input::Source(feed.number), &plan.sources[feed.number]);
            let whole = calm || source.table.is_some();
            let upto = if whole {
                feed.rows.num_rows()
            } else {
                feed.given + 1 + dice.roll((feed.rows.num_rows() / 3).clamp(2, 40))
            };
            let upto = upto.min(feed.rows.num_rows());
            let batch = feed.rows.slice(feed.given, upto - feed.given);
            feed.given = upto;
            let parts = if component.workers == 1 || source.table.is_some() {
                vec![Some(batch); component.workers]
            } else {
                share_out(component, &source.schema, batch, dice)
            };
            let highest = Timestamp(feed.watermarks[upto]);
            feed.told = feed.told.max(highest - Span(dice.roll(3) as i64 * DISORDER / 2));
            let then = if feed.has_ended() {
                Some(Message::End(Ending::Complete))
            } else {
                (dice.roll(4) > 0).then_some(Message::Watermark(Watermark::At(feed.told)))
            };
            for (number, part) in parts.into_iter().enumerate() {
                let rows = part.filter(|rows| rows.num_rows() > 0);
                let data = rows.map(|rows| Message::Data(Batch { rows, origin: Timestamp(0), handed_on: 0 }));
                for message in data.into_iter().chain(then.clone()) {
                    workers.take(number, input, message);
                }
                if !calm && dice.roll(10) == 0 && component.sources.len() == 1 {
                    workers.restart(number);
                }
            }
            open.retain(|feed| !feed.has_ended());
            workers.hand_over(|| calm || open.is_empty() || dice.roll(3) > 0);
        }
        assert!(workers.all.iter().all(Worker::has_ended), "every worker heard of the end of every source");
        for (sink, message) in workers.outbox.to_sinks {
            if let Message::Data(batch) = message {
                seen.entry(plan.sinks[component.sinks[sink]].name.clone()).or_default().push(batch.rows);
            }
        }
    }
    seen
}

#[test]
fn any_schedule_any_cut_any_number_of_workers_and_any_restart_give_the_same_rows() {
    let expected = simulate(&plan(1), &mut Dice(0), true);
    assert_eq!(expected.len(), 7, "every sink has rows");
    assert!(expected.values().all(|rows| rows.len() > 3), "{expected:?}");
    let plans = [plan(1), plan(2), plan(3)];
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed);
        let plan = &plans[dice.roll(3)];
        let got = simulate(plan, &mut dice, false);
        assert_eq!(got, expected, "seed {seed}, {} workers", plan.workers);
    }
}

/// Overlapping windows over one source, all by sensor, so that they share their slices.
const OVERLAPPING: [(&str, &str); 6] = [
    (
        "seconds",
        "SELECT window_start, sensor, count(*) AS n, sum(value) AS total FROM TUMBLE(press, ts, INTERVAL '1' SECOND)",
    ),
    (
        "sliding",
        "SELECT window_start, sensor, max(value) AS high FROM HOP(press, ts, INTERVAL '3' SECOND, INTERVAL '10' SECOND)",
    ),
    (
        "tens",
        "SELECT window_start, sensor, median(value) AS middle FROM TUMBLE(press, ts, INTERVAL '10' SECOND, INTERVAL '1' SECOND)",
    ),
    (
        "good",
        "SELECT window_start, sensor, avg(value) AS mean FROM TUMBLE(press, ts, INTERVAL '2' SECOND) WHERE value > 10",
    ),
    (
        "better",
        "SELECT window_end, sensor, avg(value) AS mean FROM TUMBLE(press, ts, INTERVAL '7' SECOND) WHERE value > 10",
    ),
    // It needs fewer columns than those before, and is given theirs.
    ("many", "SELECT window_start, sensor, count(*) AS n FROM TUMBLE(press, ts, INTERVAL '3' SECOND) WHERE value > 10"),
];

fn overlapping(queries: &[(&str, &str)]) -> String {
    let query = |(name, sql): &(&str, &str)| {
        let edge = if *name == "better" { "window_end" } else { "window_start" };
        format!(
            "[query.{name}]\nsql = \"\"\"{sql} GROUP BY {edge}, sensor\"\"\"\n[sink.{name}]\nconnector = \"void\"\ninput = \"{name}\"\n"
        )
    };
    press().to_owned() + &queries.iter().map(query).collect::<String>()
}

#[test]
fn a_query_gives_the_same_rows_alone_as_with_others_that_share_its_slices() {
    let together = overlapping(&OVERLAPPING);
    let plans = [1, 2, 3].map(|workers| plan_of(&together, workers));
    let shared = plans[0].nodes.iter().filter(|node| node.output_of.is_some()).map(|node| node.name.as_str());
    assert_eq!(shared.collect::<Vec<_>>(), ["sliding/window", "tens/window", "better/window", "many/window"]);
    assert!(!plans[0].nodes.iter().any(|node| node.name == "better/prepare"), "it reads what \"good\" prepares");
    for query in OVERLAPPING {
        let alone = simulate(&plan_of(&overlapping(&[query]), 1), &mut Dice(0), true);
        for seed in 1..=20 {
            let mut dice = Dice(seed);
            let got = simulate(&plans[dice.roll(3)], &mut dice, false);
            assert_eq!(got[query.0], alone[query.0], "{} with seed {seed}", query.0);
        }
    }
}

/// Windows whose edges depend on the rows of each sensor, and windows over those.
const OF_EACH_SENSOR: &str = r#"
[query.sessions]
sql = """SELECT window_start, window_end, sensor, count(*) AS n, sum(value) AS total
FROM SESSION(press PARTITION BY sensor, ts, INTERVAL '400' MILLISECOND, MAX_SIZE => INTERVAL '3' SECOND)
GROUP BY window_start, window_end, sensor"""

[query.counts]
sql = """SELECT window_start, window_end, sensor, median(value) AS middle, max(value) AS high, last_value(value) AS last
FROM COUNT_WINDOW(press PARTITION BY sensor, ts, 10, 3) GROUP BY window_start, window_end, sensor"""

[query.cycles]
sql = """SELECT window_start, window_end, sensor, count(*) AS n, sum(value) AS total
FROM STATE_WINDOW(press PARTITION BY sensor, ts, START => value > 60, STOP => value < 30) WHERE value <> 50
GROUP BY window_start, window_end, sensor"""

[query.runs]
sql = """SELECT window_start, sensor, count(*) AS sessions, sum(n) AS n
FROM TUMBLE(sessions, window_start, INTERVAL '5' SECOND) GROUP BY window_start, sensor"""

[sink.sessions]
connector = "void"
input = "sessions"
[sink.counts]
connector = "void"
input = "counts"
[sink.cycles]
connector = "void"
input = "cycles"
[sink.runs]
connector = "void"
input = "runs"
"#;

#[test]
fn windows_of_each_sensor_do_not_depend_on_cuts_workers_and_restarts() {
    let plans = [1, 2, 3].map(|workers| plan_of(&format!("{}{OF_EACH_SENSOR}", press()), workers));
    let expected = simulate(&plans[0], &mut Dice(0), true);
    assert_eq!(expected.len(), 4, "every sink has rows");
    assert!(expected.values().all(|rows| rows.len() > 15), "{expected:?}");
    for seed in 1..=SEEDS / 3 {
        let mut dice = Dice(seed);
        let plan = &plans[dice.roll(3)];
        let got = simulate(plan, &mut dice, false);
        assert_eq!(got, expected, "seed {seed}, {} workers", plan.workers);
    }
}

#[test]
fn each_query_that_shares_slices_has_books_of_its_own() {
    let plan = plan_of(&overlapping(&OVERLAPPING), 1);
    let board = lineside::run::board_of(&plan);
    let layout = Layout::of(&plan);
    let (component, input) = (&layout.components[0], Input::Source(0));
    let mut worker = Worker::new(&plan, component, 0, &board);
    let mut outbox = Outbox::default();
    let late = [(0, "s1".to_owned(), 50.0)];
    let watermark = Message::Watermark(Watermark::At(Timestamp(8_000_000)));
    let messages = [
        Message::Data(Batch { rows: batch(&rows(0)[..20]), origin: Timestamp(0), handed_on: 0 }),
        watermark,
        Message::Data(Batch { rows: batch(&late), origin: Timestamp(0), handed_on: 0 }),
        Message::End(Ending::Stopped),
    ];
    for message in messages {
        worker.take(input, message, &mut outbox).expect("it takes");
    }
    let report = board.report();
    let told = |name: &str| {
        let window = report.find(Kind::Operator, &format!("{name}/window")).expect("it has a meter");
        (window.rows_in, window.dropped.get("late").copied(), window.dropped.get("open_at_stop").copied())
    };
    assert_eq!(told("seconds"), (21, Some(1), None));
    assert_eq!(told("sliding"), (21, None, Some(21)));
    assert_eq!(told("tens").0, 21);
}

#[test]
fn keyed_queries_over_one_source_are_shared_out_and_others_are_not() {
    let layout = Layout::of(&plan(2));
    let told = layout.components.iter().map(|c| (c.workers, c.sharing.clone())).collect::<Vec<_>>();
    assert_eq!(told, [(2, Sharing::ByKey(vec!["sensor".to_owned()])), (1, Sharing::Whole)]);
}

#[test]
fn rows_that_come_in_are_put_out_dropped_or_held() {
    let plan = plan(1);
    let board = lineside::run::board_of(&plan);
    let layout = Layout::of(&plan);
    let component = layout.components.iter().find(|c| c.sources.len() == 1).expect("one has one source");
    let input = Input::Source(component.sources[0]);
    let mut worker = Worker::new(&plan, component, 0, &board);
    let mut outbox = Outbox::default();
    let message = Message::Data(Batch { rows: batch(&rows(0)), origin: Timestamp(0), handed_on: 0 });
    worker.take(input, message, &mut outbox).expect("it takes");
    worker.take(input, Message::End(Ending::Stopped), &mut outbox).expect("it ends");
    let report = board.report();
    let warm = report.find(Kind::Operator, "warm").expect("it has a meter");
    assert_eq!(warm.rows_in, warm.rows_out + warm.dropped_total());
    let held =
        report.objects.iter().filter(|o| o.name.starts_with("seconds") && o.dropped_total() > 0).collect::<Vec<_>>();
    assert_eq!(held.len(), 1, "only the window holds rows");
    assert_eq!(held[0].dropped["open_at_stop"], warm.rows_out, "a stop closes no window, and says what it held");
}
