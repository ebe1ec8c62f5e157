//! How the cost of a case grows with one of its parameters: runs of the same case, each with another value and a fresh engine.
//!
//! With several runs of each value the values take turns (1 2 3 1 2 3), so that a slow change of the machine falls on all alike,
//! and the median of each figure is told. A value that the engine does not hold is no failure: where that begins is what one
//! wants to see, so it is told beside it.

use std::collections::BTreeMap;
use std::fmt;

use lineside_model::{Error, Result};
use serde::Serialize;

use crate::case::{Case, Parameters, Value};
use crate::outcome::{Machine, Outcome, Second};
use crate::report::table::{Column, Row, Table, number, words};
use crate::report::units::{count, digits, fixed, micros, span};

/// Runs of a case over the values of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// The case.
    pub case: String,
    /// The parameter that was varied.
    pub parameter: String,
    /// The other parameters, as they were set.
    pub others: BTreeMap<String, String>,
    /// What the processor time is told of.
    pub each: Each,
    /// Whether values count things, so that the memory of one more can be told.
    pub counts: bool,
    /// How long each run was measured, in seconds.
    pub seconds: u64,
    /// When the first was started, UTC, as RFC 3339.
    pub started: String,
    /// What it ran on.
    pub machine: Machine,
    /// The values, in the order in which they were given.
    pub points: Vec<Point>,
}

/// What the processor time of the engine is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// A message that was sent.
    Message,
    /// One of what the parameter counts, a second: where nothing is sent, as the engine asks for its readings itself.
    Value,
}

/// One value of the parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The value, as it was given.
    pub value: String,
    /// The value as a number; a duration in microseconds.
    pub amount: f64,
    /// The median of each figure over the runs that came to their end.
    pub median: Option<Measured>,
    /// Its runs, in their order.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Limits that were not held, each with what was found; or why the run did not come to its end.
    pub missed: Vec<String>,
    /// What was measured, if it came to its end.
    pub measured: Option<Measured>,
}

/// What a run measured. Lengths of time are in microseconds, memory in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Messages sent a second.
    pub sent: f64,
    /// Results a second.
    pub arrived: f64,
    /// Processor time of the engine, in percent of one core.
    pub cpu_percent: f64,
    /// The same for each message; or a second, for each of what the parameter counts.
    pub cpu_micros_each: f64,
    /// The most memory of any second.
    pub rss_bytes: f64,
    /// Latencies by what was watched.
    pub latencies: BTreeMap<String, Quantiles>,
}

/// Of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
}

impl Sweep {
    /// No run yet; `cases` are the case at each value of the parameter, in their order.
    ///
    /// # Errors
    /// There is no value, or a value is no amount.
    pub fn new(parameter: &str, cases: &[Case]) -> Result<Self> {
        let Some(first) = cases.first() else {
            return Err(Error::user(format!("parameter \"{parameter}\" is to have at least one value")));
        };
        let value = |case: &Case| {
            let value = case.parameters.get(parameter);
            value.and_then(|value| Some((value.to_string(), value.amount()?))).ok_or_else(|| {
                Error::user(format!(
                    "parameter \"{parameter}\" is neither a number nor a duration: there is no order in it"
                ))
            })
        };
        let points = cases.iter().map(|case| {
            let (value, amount) = value(case)?;
            Ok(Point { value, amount, median: None, runs: Vec::new() })
        });
        let others = |parameters: &Parameters| {
            let others = parameters.iter().filter(|(name, _)| *name != parameter);
            others.map(|(name, value)| (name.clone(), value.to_string())).collect()
        };
        Ok(Self {
            case: first.name.clone(),
            parameter: parameter.to_owned(),
            others: others(&first.parameters),
            each: if first.feeds.is_empty() { Each::Value } else { Each::Message },
            counts: matches!(first.parameters.get(parameter), Some(Value::Whole(_))),
            seconds: first.seconds,
            started: String::new(),
            machine: Machine::default(),
            points: points.collect::<Result<_>>()?,
        })
    }

    /// Adds a run of the value at this place.
    pub fn add(&mut self, place: usize, outcome: &Outcome) {
        if self.started.is_empty() {
            self.started.clone_from(&outcome.started);
            self.machine = outcome.machine.clone();
        }
        let each = self.each;
        let Some(point) = self.points.get_mut(place) else { return };
        let missed = outcome.limits.iter().filter(|limit| !limit.held);
        let mut missed: Vec<_> =
            missed.map(|limit| format!("{} {}, not {}", limit.name, limit.found, limit.wanted)).collect();
        let measured = Measured::of(outcome, each, point.amount);
        if measured.is_none() {
            missed.insert(0, "nothing was sent while it was measured".to_owned());
        }
        point.runs.push(Run { missed, measured });
        point.median = Measured::median(&point.runs.iter().filter_map(|run| run.measured.as_ref()).collect::<Vec<_>>());
    }

    /// Adds a run of the value at this place that did not come to its end.
    pub fn add_failed(&mut self, place: usize, error: &Error) {
        if let Some(point) = self.points.get_mut(place) {
            // The end of the engine's log stays out.
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            point.runs.push(Run { missed: vec![first], measured: None });
        }
    }

    /// Whether there is a figure for each value.
    pub fn is_whole(&self) -> bool {
        self.points.iter().all(|point| point.median.is_some())
    }

    /// The conditions of all runs, on one line.
    pub fn conditions(&self) -> String {
        let mut parts: Vec<String> = self.others.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let runs = self.points.iter().map(|point| point.runs.len()).max().unwrap_or(0);
        let each = span(self.seconds as f64);
        parts.push(if runs == 1 { format!("{each} each") } else { format!("{each} each, median of {runs}") });
        parts.push(self.started.split('T').next().unwrap_or_default().to_owned());
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }

    /// What the processor time is told of, as the name of a column.
    pub(crate) fn each_words(&self) -> String {
        match self.each {
            Each::Message => "CPU a message".to_owned(),
            Each::Value => format!("CPU a second, each of {}", self.parameter),
        }
    }

    /// Memory of one more of what the parameter counts, against the least value; in bytes.
    fn bytes_each(&self, point: &Point) -> Option<f64> {
        let least =
            self.points.iter().filter(|point| point.median.is_some()).min_by(|a, b| a.amount.total_cmp(&b.amount))?;
        let more = point.amount - least.amount;
        let bytes = point.median.as_ref()?.rss_bytes - least.median.as_ref()?.rss_bytes;
        (self.counts && more > 0.0).then(|| bytes / more)
    }

    /// What is watched, by name.
    pub(crate) fn watches(&self) -> Vec<&str> {
        let medians = self.points.iter().filter_map(|point| point.median.as_ref());
        let mut names = medians.flat_map(|median| median.latencies.keys().map(String::as_str)).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All figures.
    pub(crate) fn table(&self) -> Table {
        let watches = self.watches();
        let mut columns = match self.each {
            Each::Message => vec![number("sent /s")],
            Each::Value => Vec::new(),
        };
        columns.extend([
            number("results /s"),
            number("CPU, % of a core"),
            Column::number(self.each_words()),
            number("RSS, MB"),
        ]);
        if self.counts {
            columns.push(number("bytes of one more"));
        }
        columns.extend(
            watches.iter().flat_map(|name| ["p50", "p99"].map(|word| Column::number(format!("{name} {word}")))),
        );
        columns.push(words("held"));
        Table { title: "Value", columns, rows: self.points.iter().map(|point| self.row(point, &watches)).collect() }
    }

    fn row(&self, point: &Point, watches: &[&str]) -> Row {
        let median = point.median.as_ref();
        let cell = |of: &dyn Fn(&Measured) -> Option<String>| median.and_then(of).unwrap_or_else(|| "–".to_owned());
        let mut cells = match self.each {
            Each::Message => vec![cell(&|of| Some(count(of.sent.round() as u64)))],
            Each::Value => Vec::new(),
        };
        cells.extend([
            cell(&|of| Some(count(of.arrived.round() as u64))),
            cell(&|of| Some(digits(of.cpu_percent))),
            cell(&|of| Some(micros(of.cpu_micros_each))),
            cell(&|of| Some(fixed(of.rss_bytes / 1e6, 1))),
        ]);
        if self.counts {
            cells.push(self.bytes_each(point).map_or("–".to_owned(), |bytes| fixed(bytes, 0)));
        }
        for name in watches {
            let quantiles = |of: &Measured| of.latencies.get(*name).copied();
            cells.push(cell(&|of| quantiles(of).map(|of| micros(of.p50))));
            cells.push(cell(&|of| quantiles(of).map(|of| micros(of.p99))));
        }
        let held = point.runs.iter().filter(|run| run.missed.is_empty()).count();
        cells.push(match point.runs.len() {
            1 if held == 1 => "yes".to_owned(),
            1 => "no".to_owned(),
            runs => format!("{held} of {runs}"),
        });
        let mut missed: Vec<&str> = point.runs.iter().flat_map(|run| run.missed.first()).map(String::as_str).collect();
        missed.dedup();
        Row { note: missed.join("; "), ..Row::new(&point.value, cells) }
    }
}

impl Measured {
    fn of(outcome: &Outcome, each: Each, amount: f64) -> Option<Self> {
        let seconds = &outcome.timeline;
        if seconds.is_empty() {
            return None;
        }
        let mean = |of: fn(&Second) -> f64| seconds.iter().map(of).sum::<f64>() / seconds.len() as f64;
        let (sent, cpu_percent) = (mean(|second| second.sent as f64), mean(|second| second.cpu_percent));
        let by = match each {
            Each::Message => sent,
            Each::Value => amount,
        };
        if by <= 0.0 {
            return None;
        }
        let latencies = outcome.latencies.iter().filter(|(_, latency)| latency.count > 0);
        let quantiles =
            |(name, of): (&String, &crate::outcome::Latency)| (name.clone(), Quantiles { p50: of.p50, p99: of.p99 });
        Some(Self {
            sent,
            arrived: mean(|second| second.arrived as f64),
            cpu_percent,
            cpu_micros_each: cpu_percent / 100.0 * 1e6 / by,
            rss_bytes: seconds.iter().map(|second| second.rss_bytes).max().unwrap_or_default() as f64,
            latencies: latencies.map(quantiles).collect(),
        })
    }

    /// The median of each figure by itself.
    fn median(runs: &[&Self]) -> Option<Self> {
        let of = |figure: &dyn Fn(&Self) -> Option<f64>| median(runs.iter().filter_map(|run| figure(run)).collect());
        let names = runs.iter().flat_map(|run| run.latencies.keys());
        let latency = |name: &String| {
            let p50 = of(&|run| run.latencies.get(name).map(|of| of.p50))?;
            let p99 = of(&|run| run.latencies.get(name).map(|of| of.p99))?;
            Some((name.clone(), Quantiles { p50, p99 }))
        };
        Some(Self {
            sent: of(&|run| Some(run.sent))?,
            arrived: of(&|run| Some(run.arrived))?,
            cpu_percent: of(&|run| Some(run.cpu_percent))?,
            cpu_micros_each: of(&|run| Some(run.cpu_micros_each))?,
            rss_bytes: of(&|run| Some(run.rss_bytes))?,
            latencies: names.filter_map(latency).collect(),
        })
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} over {}", self.case, self.parameter)?;
        write!(f, "{}\n\n{}", self.conditions(), self.table().text())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;

    use super::*;
    use crate::outcome::{Latency, Limit};

    /// A case of so many sensors.
    fn at(sensors: u32) -> Case {
        let settings = [("sensors".to_owned(), sensors.to_string())];
        Case::open_with("tumbling", &settings).expect("a case of the project")
    }

    /// A run with so many sensors.
    fn outcome(sensors: u32, cpu_percent: f64, p99: f64) -> Outcome {
        let latency = Latency { count: 5_000, p50: 900.0, p99, ..Latency::default() };
        let second = Second {
            sent: 30_000,
            arrived: u64::from(sensors),
            cpu_percent,
            rss_bytes: 30_000_000 + u64::from(sensors) * 400,
            ..Second::default()
        };
        Outcome {
            started: "2026-11-21T18:40:02Z".to_owned(),
            latencies: BTreeMap::from([("window".to_owned(), latency)]),
            timeline: vec![second],
            limits: vec![Limit {
                name: "window p99".to_owned(),
                wanted: "at most 50 ms".to_owned(),
                found: micros(p99),
                held: p99 <= 50e3,
                ..Limit::default()
            }],
            ..Outcome::default()
        }
    }

    pub(crate) fn sample() -> Sweep {
        let sensors = [100, 1_000, 10_000, 100_000];
        let mut sweep = Sweep::new("sensors", &sensors.map(at)).expect("it has values");
        for run in 0..3 {
            for (place, n) in sensors.into_iter().enumerate().take(3) {
                let noise = f64::from(run) - 1.0;
                sweep.add(place, &outcome(n, 20.0 + noise, 2_000.0 * f64::from(n) / 100.0 * (1.0 + 0.8 * noise)));
            }
            sweep.add_failed(3, &Error::external("the engine ended by itself (signal 9)\n  its log"));
        }
        sweep
    }

    #[test]
    fn each_value_is_told_by_its_medians_and_what_it_did_not_hold() {
        expect![[r#"
            tumbling over sensors
            connections 4 · rate 30000 · size 1s · 20 s each, median of 3 · 2026-11-21

            Value     sent /s  results /s  CPU, % of a core  CPU a message  RSS, MB  bytes of one more  window p50  window p99  held
              100      30,000         100              20.0        6.67 µs     30.0                  –      900 µs     2.00 ms  3 of 3
              1000     30,000       1,000              20.0        6.67 µs     30.4                400      900 µs     20.0 ms  3 of 3
              10000    30,000      10,000              20.0        6.67 µs     34.0                400      900 µs      200 ms  1 of 3
                  window p99 200 ms, not at most 50 ms; window p99 360 ms, not at most 50 ms
              100000        –           –                 –              –        –                  –           –           –  0 of 3
                  the engine ended by itself (signal 9)
        "#]].assert_eq(&sample().to_string());
        assert!(!sample().is_whole());
    }

    #[test]
    fn a_case_to_which_nothing_is_sent_tells_the_processor_time_of_each() {
        let loops = |n: &str| {
            let settings = [("loops".to_owned(), n.to_owned())];
            Case::open_with("many-loops", &settings).expect("a case of the project")
        };
        let mut sweep = Sweep::new("loops", &[loops("10"), loops("1000")]).expect("it has values");
        sweep.add(1, &outcome(10, 25.0, 100.0));
        let median = sweep.points[1].median.as_ref().expect("it was measured");
        assert_eq!((sweep.each, median.cpu_micros_each), (Each::Value, 250.0));
    }

    #[test]
    fn what_cannot_be_varied_is_told() {
        assert!(Sweep::new("sensors", &[]).is_err());
        let error = Sweep::new("colour", &[at(5)]).expect_err("there is none").to_string();
        assert!(error.starts_with("parameter \"colour\" is neither"), "{error}");
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert_eq!((median(vec![]), median(vec![3.0]), median(vec![4.0, 1.0])), (None, Some(3.0), Some(2.5)));
    }
}
