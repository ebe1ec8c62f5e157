//! Batches that go to workers in turn: which pipelines that is for, and that rows which come too late for some windows are too late for
//! just those, whichever worker gets them and however late the others are with their parts.

use lineside::graph::{Barrier, Batch, Ending, Layout, Message, Sharing, Stage, Watermark};
use lineside::observe::Kind;
use lineside::plan::Input;
use lineside::run::board_of;
use lineside_model::Timestamp;

use crate::simulation::{Dice, Workers, batch, plan_of, press};

/// A pipeline of queries, each with a sink.
fn pipeline(queries: &[(&str, &str)]) -> String {
    let query = |(name, sql): &(&str, &str)| {
        format!("[query.{name}]\nsql = \"{sql}\"\n[sink.{name}]\nconnector = \"void\"\ninput = \"{name}\"\n")
    };
    press().to_owned() + &queries.iter().map(query).collect::<String>()
}

const WARM: (&str, &str) = ("warm", "SELECT ts, sensor, value * 2 AS value FROM press WHERE value > 10");
const SECONDS: (&str, &str) = (
    "seconds",
    "SELECT sensor, window_start, count(*) AS n, sum(value) AS total, max(value) AS high \
     FROM TUMBLE(warm, ts, INTERVAL '1' SECOND) GROUP BY sensor, window_start",
);
const SLIDING: (&str, &str) = (
    "sliding",
    "SELECT sensor, window_start, count(*) AS n, median(value) AS middle, avg(value) AS mean \
     FROM HOP(warm, ts, INTERVAL '2' SECOND, INTERVAL '7' SECOND) GROUP BY sensor, window_start",
);
const MINUTES: (&str, &str) = (
    "minutes",
    "SELECT sensor, window_start, last_value(high) AS high \
     FROM TUMBLE(seconds, window_start, INTERVAL '10' SECOND) GROUP BY sensor, window_start",
);
const LAST: (&str, &str) = (
    "last",
    "SELECT sensor, window_start, last_value(value) AS last \
     FROM TUMBLE(warm, ts, INTERVAL '1' SECOND) GROUP BY sensor, window_start",
);

#[test]
fn rows_that_are_looked_at_one_by_one_and_windows_that_can_be_gathered_go_to_workers_in_turn() {
    let told_of = |text: &str| {
        let plan = plan_of(text, 2);
        let component = Layout::of(&plan).components.remove(0);
        match &component.sharing {
            Sharing::InTurn(stages) => {
                let stage = |(n, stage): (&usize, &Stage)| format!("{}: {stage:?}", plan.nodes[*n].name);
                stages.iter().map(stage).collect::<Vec<_>>().join(", ")
            }
            Sharing::ByKey(key) => format!("by {}", key.join(", ")),
            Sharing::Whole => component.reason,
        }
    };
    let told = |queries: &[(&str, &str)]| told_of(&pipeline(queries));
    assert_eq!(told(&[WARM]), "warm: Every");
    let first = "seconds/select: First, minutes/prepare: First, minutes/window: First, minutes/select: First";
    assert_eq!(told(&[WARM, SECONDS, MINUTES]), format!("warm: Every, seconds/window: Gathered, {first}"));
    assert_eq!(
        told(&[WARM, SECONDS, LAST]),
        "by sensor",
        "who comes last is not known where batches are taken in turn"
    );
    let top = "SELECT sensor, window_start, n FROM seconds \
               QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY n DESC) <= 2";
    let no_key = told(&[WARM, SECONDS, ("top", top)]);
    assert!(no_key.contains("no key column in common"), "who ranks rows of one window asks for their order: {no_key}");
    let reads_late = pipeline(&[WARM, SECONDS, ("missed", "SELECT * FROM too_late")]);
    let reads_late = reads_late.replace("[query.seconds]\n", "[query.seconds]\nlate = \"too_late\"\n");
    assert_eq!(told_of(&reads_late), "by sensor", "late rows are told in the order in which they come");
}

const DAYS: (&str, &str) = (
    "days",
    "SELECT sensor, window_end, count(*) AS n, sum(value) AS total FROM TUMBLE(warm, ts, INTERVAL '1' DAY) GROUP BY sensor, window_end",
);
const GROWING: (&str, &str) = (
    "growing",
    "SELECT window_end, max(value) AS high FROM CUMULATE(warm, ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY window_start, window_end",
);

/// One batch after another, each with a watermark behind it that is ahead of many rows still to come.
fn run(workers: usize, dice: &mut Dice) -> (Vec<String>, Vec<u64>) {
    let plan = plan_of(&pipeline(&[WARM, SECONDS, SLIDING, MINUTES, DAYS, GROWING]), workers);
    let board = board_of(&plan);
    let layout = Layout::of(&plan);
    let component = &layout.components[0];
    let mut running = Workers::new(&plan, component, &board);
    // What comes is always the same; who takes it is not.
    let mut story = Dice(7);
    for step in 0..60_i64 {
        let row = |_| {
            let time = step * 500_000 + story.roll(14_000_000) as i64;
            (time, format!("s{}", story.roll(5)), story.roll(100) as f64)
        };
        let rows = (0..20).map(row).collect::<Vec<_>>();
        let taker = dice.roll(workers);
        running.take(
            taker,
            Input::Source(0),
            Message::Data(Batch { rows: batch(&rows), origin: Timestamp(0), handed_on: 0 }),
        );
        let watermark = Watermark::At(Timestamp(step * 500_000 + 9_500_000));
        let then = if step == 59 { Message::End(Ending::Complete) } else { Message::Watermark(watermark) };
        (0..workers).for_each(|worker| running.take(worker, Input::Source(0), then.clone()));
        running.hand_over(|| step == 59 || dice.roll(3) > 0);
    }
    let mut rows = running.rows();
    rows.sort();
    let report = board.report();
    let steps = ["seconds/window", "sliding/window", "minutes/window", "days/window", "growing/window"];
    let books = steps.map(|name| {
        let meter = report.find(Kind::Operator, name).expect("it has a meter");
        let late = meter.dropped.get("late").copied().unwrap_or_default();
        let filtered = meter.dropped.get("filtered").copied().unwrap_or_default();
        [meter.rows_in, meter.rows_out, late, filtered, meter.open_rows]
    });
    (rows, books.concat())
}

#[test]
fn a_row_is_late_for_the_windows_that_are_closed_whichever_worker_gets_it() {
    let (expected, books) = run(1, &mut Dice(0));
    let late = (books[2], books[7]);
    assert!(late.0 > 100 && late.1 > 10 && late.0 > late.1, "{books:?}");
    for seed in 1..=40 {
        let mut dice = Dice(seed);
        let (rows, told) = run(1 + dice.roll(4), &mut dice);
        assert_eq!(rows, expected, "seed {seed}");
        assert_eq!(told, books, "seed {seed}");
    }
}

#[test]
fn a_sink_behind_windows_is_asked_to_flush_when_all_workers_have_handed_over_what_came_before() {
    let plan = plan_of(&pipeline(&[WARM, SECONDS]), 2);
    let board = board_of(&plan);
    let layout = Layout::of(&plan);
    let component = &layout.components[0];
    let (source, number) = (component.sources[0], 1);
    let mut running = Workers::new(&plan, component, &board);
    let told = |running: &mut Workers<'_>| {
        let barriers = running.outbox.to_sinks.drain(..).filter(|(_, message)| matches!(message, Message::Barrier(_)));
        barriers.map(|(sink, _)| plan.sinks[component.sinks[sink]].name.as_str()).collect::<Vec<_>>()
    };
    let barrier = Message::Barrier(Barrier { source, number });
    running.take(1, Input::Source(source), barrier.clone());
    assert_eq!(told(&mut running), ["warm"]);
    running.take(0, Input::Source(source), barrier);
    assert_eq!(told(&mut running), ["warm"]);
    running.hand_over(|| true);
    assert_eq!(told(&mut running), ["seconds"]);
    let asked = running.all.iter().map(|worker| worker.sinks_below(source).len()).sum::<usize>();
    assert_eq!(asked, 3, "so many answers the source waits for");
}

#[test]
fn what_is_open_is_counted_if_a_worker_that_is_waited_for_never_answers() {
    let plan = plan_of(&pipeline(&[WARM, SECONDS]), 2);
    let board = board_of(&plan);
    let layout = Layout::of(&plan);
    let mut running = Workers::new(&plan, &layout.components[0], &board);
    let rows = (0..20).map(|n| (n * 100_000, "s1".to_owned(), 50.0)).collect::<Vec<_>>();
    running.take(0, Input::Source(0), Message::Data(Batch { rows: batch(&rows), origin: Timestamp(0), handed_on: 0 }));
    running.take(0, Input::Source(0), Message::End(Ending::Complete));
    running.hand_over(|| true);
    assert!(!running.all[0].has_ended(), "it waits for the other");
    running.all[0].give_up(&mut running.outbox).expect("operators do not fail");
    let report = board.report();
    let window = report.find(Kind::Operator, "seconds/window").expect("it has a meter");
    assert_eq!((window.rows_in, window.rows_out, window.dropped.get("open_at_stop")), (20, 0, Some(&20)));
    let ended = running.outbox.to_sinks.iter().filter(|(_, message)| matches!(message, Message::End(Ending::Stopped)));
    assert_eq!(ended.count(), 2, "both sinks hear of it");
}
