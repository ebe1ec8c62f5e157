//! The tables of a report, in the order in which they are read: what was to be held, how late things were, what came of each
//! message, what the engine took, what it counted itself.

use std::collections::BTreeMap;

use super::counters::Counters;
use super::table::{Row, Table, number, words};
use super::units::{TimeUnit, count, digits, fixed, megabytes, set, tenths};
use crate::outcome::{Outcome, Second, StageTime};

/// What was measured from without.
pub(super) fn measured(outcome: &Outcome) -> [Table; 5] {
    [limits(outcome), latencies(outcome), deadlines(outcome), ledgers(outcome), process(&outcome.timeline)]
}

/// What the engine tells of itself.
pub(super) fn told(outcome: &Outcome) -> [Table; 3] {
    let counters = Counters::of(&outcome.engine);
    [stages(outcome), objects(&counters), times(&counters)]
}

/// Whether all was held, in words.
pub(super) fn verdict(outcome: &Outcome) -> String {
    let (all, missed) = (outcome.limits.len(), outcome.limits.iter().filter(|limit| !limit.held).count());
    match (all, missed) {
        (0, _) => "measured; nothing was to be held".to_owned(),
        (1, 0) => "held: the one limit".to_owned(),
        (_, 0) => format!("held: all {all} limits"),
        _ => format!("not held: {missed} of {all} limits"),
    }
}

fn limits(outcome: &Outcome) -> Table {
    let row = |limit: &crate::outcome::Limit| Row {
        held: Some(limit.held),
        ..Row::new(&limit.name, [limit.wanted.clone(), limit.found.clone()])
    };
    // What was missed is what one looks for.
    let (held, missed): (Vec<_>, Vec<_>) = outcome.limits.iter().partition(|limit| limit.held);
    Table {
        title: "Limit",
        columns: vec![words("wanted"), words("found")],
        rows: missed.into_iter().chain(held).map(row).collect(),
    }
}

fn latencies(outcome: &Outcome) -> Table {
    let rows = outcome.latencies.iter().map(|(name, latency)| {
        let unit = TimeUnit::of(latency.p50);
        let tails = [(100, latency.p99), (1_000, latency.p999), (10_000, latency.p9999), (1, latency.max)];
        let [p99, p999, p9999, max] = tails;
        let quantiles = [(1, latency.p50), (1, latency.p90), p99, p999, p9999, max];
        let texts = known(latency.count, quantiles, |time| unit.text(time));
        Row::new(name, texts.into_iter().chain([unit.name.to_owned(), count(latency.count)]))
    });
    Table {
        title: "Latency, from when it was due",
        columns: ["p50", "p90", "p99", "p99.9", "p99.99", "max"]
            .map(number)
            .into_iter()
            .chain([words(""), number("measured")])
            .collect(),
        rows: rows.collect(),
    }
}

/// Quantiles as texts, each with how many must be measured to know it: of 500 there is no 9,999th of 10,000, and the greatest would be
/// shown twice, as if it were known.
fn known<const N: usize>(count: u64, quantiles: [(u64, f64); N], text: impl Fn(f64) -> String) -> [String; N] {
    quantiles.map(|(least, time)| if count >= least { text(time) } else { "–".to_owned() })
}

fn deadlines(outcome: &Outcome) -> Table {
    let rows = outcome.deadlines.iter().map(|(name, met)| {
        Row::new(name, [set(met.deadline), count(met.due), count(met.missed), digits(met.per_million)])
    });
    Table {
        title: "Deadline, from when it was due",
        columns: ["within", "due", "missed", "per million"].map(number).to_vec(),
        rows: rows.collect(),
    }
}

/// Where the time of a reading goes, one table for the whole way: sources in front, sinks behind.
fn stages(outcome: &Outcome) -> Table {
    let rows = outcome.stages.iter().map(|stage| {
        let times = known(stage.count, [(1, stage.p50), (100, stage.p99), (1_000, stage.p999), (1, stage.max)], tenths);
        let name = format!("{} {}", stage.of, stage.stage);
        Row::new(name, times.into_iter().chain(["µs".to_owned(), count(stage.count)]))
    });
    Table {
        title: "Where the time goes in the engine",
        columns: ["p50", "p99", "p99.9", "max"]
            .map(number)
            .into_iter()
            .chain([words(""), number("measured")])
            .collect(),
        rows: rows.collect(),
    }
}

fn ledgers(outcome: &Outcome) -> Table {
    let rows = outcome.ledgers.iter().map(|(name, account)| {
        let dropped = account.dropped.values().sum();
        let numbers = [account.expected, account.arrived, account.lost, dropped, account.duplicates, account.reordered]
            .map(count);
        Row { note: reasons(&account.dropped), ..Row::new(name, numbers) }
    });
    Table {
        title: "Messages",
        columns: ["expected", "arrived", "lost", "dropped", "duplicates", "reordered"].map(number).to_vec(),
        rows: rows.collect(),
    }
}

/// What was left out, by reason.
fn reasons(dropped: &BTreeMap<String, u64>) -> String {
    let parts: Vec<_> =
        dropped.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{reason} {}", count(*n))).collect();
    if parts.is_empty() { String::new() } else { format!("dropped: {}", parts.join(", ")) }
}

fn process(timeline: &[Second]) -> Table {
    let (Some(first), Some(last)) = (timeline.first(), timeline.last()) else { return Table::default() };
    let cpu = timeline.iter().map(|second| second.cpu_percent);
    // Of the CPU one second more or less says nothing; of the others, the way from first to last is what matters.
    let percent = |percent: f64| fixed(percent, 1);
    let mean = cpu.clone().sum::<f64>() / timeline.len() as f64;
    let rss = timeline.iter().map(|second| second.rss_bytes).max().unwrap_or_default();
    let descriptors = timeline.iter().map(|second| second.descriptors).max().unwrap_or_default();
    let row = |name: &str, [first, last, mean, most]: [String; 4], unit: &str| {
        Row::new(name, [first, last, mean, most, unit.to_owned()])
    };
    Table {
        title: "Engine",
        columns: vec![number("first"), number("last"), number("mean"), number("most"), words("")],
        rows: vec![
            row(
                "CPU",
                [String::new(), String::new(), percent(mean), percent(cpu.fold(0.0, f64::max))],
                "% of one core",
            ),
            row(
                "memory (RSS)",
                [megabytes(first.rss_bytes), megabytes(last.rss_bytes), String::new(), megabytes(rss)],
                "MB",
            ),
            row(
                "descriptors",
                [count(first.descriptors), count(last.descriptors), String::new(), count(descriptors)],
                "open",
            ),
        ],
    }
}

fn objects(counters: &Counters) -> Table {
    let rows = counters.objects.iter().map(|object| {
        let taken = if object.messages > 0 { object.messages } else { object.rows_in };
        let dropped = object.dropped.values().sum();
        let numbers = [taken, object.rows_out, dropped, object.open_rows, object.reconnects].map(count);
        Row {
            note: reasons(&object.dropped),
            ..Row::new(&object.name, [object.kind.clone()].into_iter().chain(numbers))
        }
    });
    Table {
        title: "Counted by the engine",
        columns: vec![
            words("kind"),
            number("in"),
            number("out"),
            number("dropped"),
            number("open"),
            number("reconnects"),
        ],
        rows: rows.collect(),
    }
}

fn times(counters: &Counters) -> Table {
    let measured =
        counters.objects.iter().flat_map(|object| object.times.iter().map(move |(of, time)| (object, of, time)));
    let own = |of: &str| !StageTime::NAMES.contains(&of);
    let rows = measured.filter(|(_, of, time)| time.count > 0 && own(of)).map(|(object, of, time)| {
        let unit = TimeUnit::of(time.p50);
        let text = |t| if unit.name == "µs" { tenths(t) } else { unit.text(t) };
        let texts = known(time.count, [(1, time.p50), (100, time.p99), (1_000, time.p999), (1, time.max)], text);
        Row::new(format!("{} {of}", object.name), texts.into_iter().chain([unit.name.to_owned(), count(time.count)]))
    });
    Table {
        title: "Timed by the engine",
        columns: ["p50", "p99", "p99.9", "max"]
            .map(number)
            .into_iter()
            .chain([words(""), number("measured")])
            .collect(),
        rows: rows.collect(),
    }
}
