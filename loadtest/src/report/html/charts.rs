//! The charts of a page: what was measured over time, and how it is distributed.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::chart::{Chart, Line};
use super::mark::{At, Mark, Shape};
use crate::outcome::{Latency, Outcome, Second};
use crate::report::units::{set, span};

/// Points of a line at most: there are hardly more in the width of a chart. Seconds beyond it share a point.
const POINTS: usize = 360;
/// Colours of the page for lines that are told apart by name; further ones begin anew.
const COLOURS: usize = 6;
/// How many times the lesser of sent and arrived may be in the greater, for both to be seen on one axis.
const ONE_AXIS: f64 = 5.0;
/// A limit that is so many times what was measured is said beside the title: drawn, it would leave no room for the rest.
const FAR: f64 = 4.0;
/// What an outcome has of the engine, by the words of its limits.
const ENGINE: &str = "engine";
/// A distribution is drawn from above this part of all.
const LEAST_FEW: f64 = 0.1;
/// Quantiles of which there may be limits.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// All charts of an outcome that have something to show.
pub(super) fn of(outcome: &Outcome) -> Vec<Chart> {
    let time = Time::of(&outcome.timeline);
    let mut charts: Vec<_> = latencies(&time, outcome);
    charts.extend(distribution(outcome));
    if !outcome.timeline.is_empty() {
        charts.extend(throughput(&time));
        let of = |word| bound(outcome, ENGINE, word);
        let cpu = of("cpu").map(|bound| ("mean at most", bound));
        charts.push(time.one("CPU of the engine, of one core", " %", |second| second.cpu_percent, &MEAN, cpu));
        let rss = of("rss").map(|bound| ("at most", bound));
        charts.push(time.one("Memory of the engine (RSS)", "B", |second| second.rss_bytes as f64, &MOST, rss));
        let open = of("descriptors").map(|bound| ("at most", bound));
        charts.push(time.one("Open descriptors of the engine", "", |second| second.descriptors as f64, &MOST, open));
    }
    charts
}

/// The bound of a limit, if there is one on this.
fn bound(outcome: &Outcome, subject: &str, word: &str) -> Option<f64> {
    let of_this = |name: &str| name.strip_suffix(word).and_then(|rest| rest.strip_suffix(' ')) == Some(subject);
    outcome.limits.iter().find(|limit| of_this(&limit.name)).and_then(|limit| limit.bound).filter(|b| b.is_finite())
}

/// One chart for each latency, all with the same axes, so that they compare.
fn latencies(time: &Time<'_>, outcome: &Outcome) -> Vec<Chart> {
    let each =
        |of: fn(&Second) -> &BTreeMap<String, f64>| outcome.timeline.iter().flat_map(move |s| of(s).values().copied());
    let drawn = |name: &str| {
        let of = |(word, _): (&'static str, f64)| Some((word, bound(outcome, name, word)?));
        [QUANTILES[0], QUANTILES[2], QUANTILES[5]].into_iter().filter_map(of).collect::<Vec<_>>()
    };
    let bounds = || outcome.latencies.keys().flat_map(|name| drawn(name)).map(|(_, bound)| bound);
    let least = each(|second| &second.p50).chain(bounds()).fold(f64::INFINITY, f64::min);
    let greatest = each(|second| &second.max).chain(bounds()).fold(0.0, f64::max);
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
            marks: (drawn(name).into_iter())
                .map(|(word, bound)| Mark {
                    name: format!("{word} at most {}", set(bound)),
                    class: "limit".to_owned(),
                    at: At::Height(bound),
                })
                .collect(),
        }
    };
    shown.map(chart).collect()
}

/// How many were at most how late, drawn so that the few late ones have as much room as the many others.
fn distribution(outcome: &Outcome) -> Option<Chart> {
    let measured: Vec<_> = outcome.latencies.iter().filter(|(_, l)| l.count > 0 && !l.quantiles.is_empty()).collect();
    let count = measured.iter().map(|(_, latency)| latency.count).max()?;
    let marks = measured.iter().enumerate().flat_map(|(at, (name, latency))| {
        let end = 1.0 - 1.0 / latency.count as f64;
        let of = move |(word, fraction): (&str, f64)| {
            let bound = bound(outcome, name, word)?;
            Some(Mark { name: String::new(), class: colour(at), at: At::Point(Shape::Bar, fraction.min(end), bound) })
        };
        QUANTILES.into_iter().filter_map(of)
    });
    let marks: Vec<_> = marks.collect();
    let bounds = marks.iter().filter_map(|mark| if let At::Point(_, _, bound) = mark.at { Some(bound) } else { None });
    let measured_delays = measured.iter().flat_map(|(_, latency)| drawn(latency)).map(|(_, delay)| delay);
    let delays: Vec<f64> = measured_delays.chain(bounds).collect();
    let lines = measured.iter().enumerate().map(|(at, (name, latency))| Line {
        name: (*name).clone(),
        class: colour(at),
        points: drawn(latency).into_iter().map(Some).collect(),
    });
    Some(Chart {
        title: "Distribution of latency".to_owned(),
        note: format!("so many were at most so late{}", if marks.is_empty() { "" } else { "; bars: limits" }),
        x: Axis::nines(count),
        y: Axis::delays(
            delays.iter().copied().fold(f64::INFINITY, f64::min),
            delays.iter().copied().fold(0.0, f64::max),
        ),
        lines: lines.collect(),
        marks,
    })
}

/// The points of a distribution that are drawn. Of n, the greatest is what all but one of n are below: there a line ends. The least few
/// are left out: a single lucky one far below all others would take most of the height.
fn drawn(latency: &Latency) -> Vec<(f64, f64)> {
    let end = 1.0 - 1.0 / latency.count as f64;
    let within = latency.quantiles.iter().copied().filter(|(fraction, _)| *fraction > LEAST_FEW && *fraction < end);
    let greatest = latency.quantiles.iter().map(|(_, delay)| *delay).reduce(f64::max);
    within.chain(greatest.map(|delay| (end, delay))).collect()
}

/// What was sent and what arrived; nothing of a case in which the engine asks for all.
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
        marks: Vec::new(),
    };
    let sent_line = line("sent", "sent", |second| second.sent);
    let arrived_line = line("arrived", "arrived", |second| second.arrived);
    if sent.min(arrived) > 0.0 && sent.max(arrived) <= ONE_AXIS * sent.min(arrived) {
        vec![chart("Messages a second", sent.max(arrived), vec![sent_line, arrived_line])]
    } else {
        let apart = [
            (sent, chart("Messages sent a second", sent, vec![sent_line])),
            (arrived, chart("Results arrived a second", arrived, vec![arrived_line])),
        ];
        apart.into_iter().filter(|(most, _)| *most > 0.0).map(|(_, chart)| chart).collect()
    }
}

pub(super) fn colour(at: usize) -> String {
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

    /// A chart of one line and the limit of it; what it comes to is said beside the title.
    fn one(
        &self,
        title: &str,
        unit: &str,
        of: fn(&Second) -> f64,
        joined: &Joined,
        limit: Option<(&str, f64)>,
    ) -> Chart {
        let all: Vec<f64> = self.seconds.iter().map(of).collect();
        let points = self.points(|second| Some(of(second)), joined.join);
        let greatest = points.iter().flatten().map(|(_, y)| *y).fold(0.0, f64::max);
        let drawn = limit.filter(|(_, bound)| *bound <= FAR * greatest);
        let y = Axis::amounts(drawn.map_or(greatest, |(_, bound)| greatest.max(bound)), unit);
        let said = joined.said.map(|(word, of)| format!("{word} {}", y.text(of(&all)))).join(", ");
        let allowed = |(words, bound): (&str, f64)| format!("{words} {}", y.text(bound));
        let far = limit.filter(|_| drawn.is_none()).map(|limit| format!("limit: {}", allowed(limit)));
        let note = [said, self.note(joined.name), far.unwrap_or_default()];
        let note = note.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        let mark =
            |limit: (&str, f64)| Mark { name: allowed(limit), class: "limit".to_owned(), at: At::Height(limit.1) };
        let marks = drawn.map(mark).into_iter().collect();
        Chart {
            title: title.to_owned(),
            note,
            x: self.axis(),
            y,
            lines: vec![Line { name: String::new(), class: "arrived".to_owned(), points }],
            marks,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_drawn_without_its_least_and_ends_with_its_greatest() {
        let quantiles = vec![(0.001, 0.1), (0.25, 140.0), (0.5, 200.0), (0.995, 900.0), (1.0, 950.0)];
        let latency = Latency { count: 100, quantiles, ..Latency::default() };
        assert_eq!(drawn(&latency), [(0.25, 140.0), (0.5, 200.0), (0.99, 950.0)]);
    }

    #[test]
    fn what_nothing_was_sent_of_has_no_chart() {
        let seconds = |sent, arrived| vec![Second { sent, arrived, ..Second::default() }; 3];
        let titles =
            |seconds: &[Second]| throughput(&Time::of(seconds)).into_iter().map(|c| c.title).collect::<Vec<_>>();
        assert_eq!(titles(&seconds(100, 90)), ["Messages a second"]);
        assert_eq!(titles(&seconds(100, 1)), ["Messages sent a second", "Results arrived a second"]);
        assert_eq!(titles(&seconds(0, 3)), ["Results arrived a second"]);
        assert_eq!(titles(&seconds(0, 0)), [""; 0]);
    }
}
