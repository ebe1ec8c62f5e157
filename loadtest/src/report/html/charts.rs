//! The charts of a page: what was measured over time, and how it is distributed.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::chart::{Chart, Line};
use crate::outcome::{Outcome, Second};
use crate::report::units::span;

/// Points of a line at most: there are hardly more in the width of a chart. Seconds beyond it share a point.
const POINTS: usize = 360;
/// Colours of the page for lines that are told apart by name; further ones begin anew.
const COLOURS: usize = 6;
/// How many times the lesser of sent and arrived may be in the greater, for both to be seen on one axis.
const ONE_AXIS: f64 = 5.0;

/// All charts of an outcome that have something to show.
pub(super) fn of(outcome: &Outcome) -> Vec<Chart> {
    let time = Time::of(&outcome.timeline);
    let mut charts: Vec<_> = latencies(&time, outcome);
    charts.extend(distribution(outcome));
    if !outcome.timeline.is_empty() {
        charts.extend(throughput(&time));
        charts.push(time.one("CPU of the engine, of one core", " %", |second| second.cpu_percent, &MEAN));
        charts.push(time.one("Memory of the engine (RSS)", "B", |second| second.rss_bytes as f64, &MOST));
        charts.push(time.one("Open descriptors of the engine", "", |second| second.descriptors as f64, &MOST));
    }
    charts
}

/// One chart for each latency, all with the same axes, so that they compare.
fn latencies(time: &Time<'_>, outcome: &Outcome) -> Vec<Chart> {
    let each =
        |of: fn(&Second) -> &BTreeMap<String, f64>| outcome.timeline.iter().flat_map(move |s| of(s).values().copied());
    let least = each(|second| &second.p50).fold(f64::INFINITY, f64::min);
    let greatest = each(|second| &second.max).fold(0.0, f64::max);
    let shown = outcome.latencies.keys().filter(|name| outcome.timeline.iter().any(|s| s.max.contains_key(*name)));
    let chart = |name: &String| {
        let line = |word: &str, class: &str, of: fn(&Second) -> &BTreeMap<String, f64>, join: fn(&[f64]) -> f64| Line {
            name: word.to_owned(),
            class: class.to_owned(),
            points: time.points(|second| of(second).get(name).copied(), join),
        };
        Chart {
            title: format!("Latency over time: {name}"),
            note: time.note("median p50, greatest p99 and max"),
            x: time.axis(),
            y: Axis::delays(least, greatest),
            lines: vec![
                line("max", "max", |second| &second.max, most),
                line("p99", "p99", |second| &second.p99, most),
                line("p50", "p50", |second| &second.p50, middle),
            ],
        }
    };
    shown.map(chart).collect()
}

/// How many were at most how late, drawn so that the few late ones have as much room as the many others.
fn distribution(outcome: &Outcome) -> Option<Chart> {
    let measured: Vec<_> = outcome.latencies.iter().filter(|(_, l)| l.count > 0 && !l.quantiles.is_empty()).collect();
    let count = measured.iter().map(|(_, latency)| latency.count).max()?;
    let delays = || measured.iter().flat_map(|(_, latency)| latency.quantiles.iter().map(|(_, delay)| *delay));
    let lines = measured.iter().enumerate().map(|(at, (name, latency))| {
        // Of n, the greatest is what all but one of n are below: there a line ends.
        let end = 1.0 - 1.0 / latency.count as f64;
        let points = latency.quantiles.iter().map(|(fraction, delay)| Some((fraction.min(end), *delay)));
        Line { name: (*name).clone(), class: colour(at), points: points.collect() }
    });
    Some(Chart {
        title: "Distribution of latency".to_owned(),
        note: "so many were at most so late".to_owned(),
        x: Axis::nines(count),
        y: Axis::delays(delays().fold(f64::INFINITY, f64::min), delays().fold(0.0, f64::max)),
        lines: lines.collect(),
    })
}

fn throughput(time: &Time<'_>) -> Vec<Chart> {
    let line = |name: &str, class: &str, of: fn(&Second) -> u64| Line {
        name: name.to_owned(),
        class: class.to_owned(),
        points: time.points(|second| Some(of(second) as f64), mean),
    };
    let greatest = |of: fn(&Second) -> u64| time.seconds.iter().map(of).max().unwrap_or_default() as f64;
    let (sent, arrived) = (greatest(|second| second.sent), greatest(|second| second.arrived));
    let chart = |title: &str, most: f64, lines: Vec<Line>| Chart {
        title: title.to_owned(),
        note: time.note("mean"),
        x: time.axis(),
        y: Axis::amounts(most, ""),
        lines,
    };
    let sent_line = line("sent", "sent", |second| second.sent);
    let arrived_line = line("arrived", "arrived", |second| second.arrived);
    if sent.max(arrived) <= ONE_AXIS * sent.min(arrived) {
        vec![chart("Messages a second", sent.max(arrived), vec![sent_line, arrived_line])]
    } else {
        vec![
            chart("Messages sent a second", sent, vec![sent_line]),
            chart("Results arrived a second", arrived, vec![arrived_line]),
        ]
    }
}

fn colour(at: usize) -> String {
    format!("s{}", at % COLOURS)
}

/// The seconds of a run, so many of them to a point that a line has no more points than can be seen.
struct Time<'a> {
    seconds: &'a [Second],
    each: usize,
}

impl<'a> Time<'a> {
    fn of(seconds: &'a [Second]) -> Self {
        Self { seconds, each: seconds.len().div_ceil(POINTS).max(1) }
    }

    fn axis(&self) -> Axis {
        Axis::seconds(self.seconds.len() as f64)
    }

    /// One point for each piece, in its middle, where anything in it has a value.
    fn points(&self, of: impl Fn(&Second) -> Option<f64>, join: impl Fn(&[f64]) -> f64) -> Vec<Option<(f64, f64)>> {
        let pieces = self.seconds.chunks(self.each).enumerate();
        let points = pieces.map(|(at, piece)| {
            let values: Vec<f64> = piece.iter().filter_map(&of).filter(|value| value.is_finite()).collect();
            let middle = (at * self.each) as f64 + piece.len() as f64 / 2.0;
            (!values.is_empty()).then(|| (middle, join(&values)))
        });
        points.collect()
    }

    /// What a point tells, if it tells of more than a second.
    fn note(&self, what: &str) -> String {
        if self.each == 1 { String::new() } else { format!("{} a point: {what}", span(self.each as f64)) }
    }

    /// A chart of one line; what it comes to is said beside the title.
    fn one(&self, title: &str, unit: &str, of: fn(&Second) -> f64, joined: &Joined) -> Chart {
        let all: Vec<f64> = self.seconds.iter().map(of).collect();
        let points = self.points(|second| Some(of(second)), joined.join);
        let y = Axis::amounts(points.iter().flatten().map(|(_, y)| *y).fold(0.0, f64::max), unit);
        let said = joined.said.map(|(word, of)| format!("{word} {}", y.text(of(&all)))).join(", ");
        let note =
            [said, self.note(joined.name)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        Chart {
            title: title.to_owned(),
            note,
            x: self.axis(),
            y,
            lines: vec![Line { name: String::new(), class: "arrived".to_owned(), points }],
        }
    }
}

/// What many values come to.
type Join = fn(&[f64]) -> f64;

/// How seconds are joined to a point, and what is said of all of them.
struct Joined {
    name: &'static str,
    join: Join,
    said: [(&'static str, Join); 2],
}

const MEAN: Joined = Joined { name: "mean", join: mean, said: [("mean", mean), ("most", most)] };
const MOST: Joined = Joined { name: "greatest", join: most, said: [("first", first), ("last", last)] };

fn first(values: &[f64]) -> f64 {
    values.first().copied().unwrap_or(f64::NAN)
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The lower median.
fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}
