//! What a limit looks at, such as `alarm p99`, and what a run has found of it.

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Result};

use super::unit::Unit;
use crate::outcome::{Account, Latency, Outcome, Second};

/// The name of what is not a watch.
const ENGINE: &str = "engine";

/// Something that a run finds out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantity {
    /// What is watched, or `engine`, or `engine STAGE`.
    pub(super) subject: String,
    pub(super) what: What,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Lost,
    Dropped,
    Duplicates,
    Reordered,
    Missed,
    Start,
    Recovery,
    Cpu,
    Rss,
    RssGrowth,
    Descriptors,
    DescriptorsGrowth,
}

const WORDS: [(&str, What, Unit); 18] = [
    ("p50", What::P50, Unit::Micros),
    ("p90", What::P90, Unit::Micros),
    ("p99", What::P99, Unit::Micros),
    ("p99.9", What::P999, Unit::Micros),
    ("p99.99", What::P9999, Unit::Micros),
    ("max", What::Max, Unit::Micros),
    ("lost", What::Lost, Unit::Count),
    ("dropped", What::Dropped, Unit::Count),
    ("duplicates", What::Duplicates, Unit::Count),
    ("reordered", What::Reordered, Unit::Count),
    ("missed", What::Missed, Unit::PerMillion),
    ("start", What::Start, Unit::Micros),
    ("recovery", What::Recovery, Unit::Micros),
    ("cpu", What::Cpu, Unit::Percent),
    ("rss growth", What::RssGrowth, Unit::Bytes),
    ("descriptors growth", What::DescriptorsGrowth, Unit::Count),
    ("rss", What::Rss, Unit::Bytes),
    ("descriptors", What::Descriptors, Unit::Count),
];

impl What {
    fn word(self) -> &'static str {
        WORDS.iter().find(|(_, what, _)| *what == self).map_or("", |(word, ..)| word)
    }

    fn unit(self) -> Unit {
        WORDS.iter().find(|(_, what, _)| *what == self).map_or(Unit::Count, |(.., unit)| *unit)
    }
}

impl Quantity {
    /// Reads a subject and a word; `known` are the subjects that there are.
    ///
    /// # Errors
    /// There is no such word, or no such subject for it.
    pub(super) fn parse(text: &str, known: &[String]) -> Result<Self> {
        let text = text.trim();
        let found = WORDS.iter().find_map(|(word, what, _)| Some((text.strip_suffix(word)?.strip_suffix(' ')?, *what)));
        let Some((subject, what)) = found else {
            let last = text.rsplit(' ').next().unwrap_or(text);
            return Err(Error::user(format!("\"{last}\" is nothing that is measured"))
                .hint(did_you_mean(last, WORDS.iter().map(|(word, ..)| *word))));
        };
        let timed = matches!(what, What::P50 | What::P99 | What::P999 | What::Max);
        if timed && stage_of(subject).is_some() {
            return Ok(Self { subject: subject.to_owned(), what });
        }
        let of_the_engine = matches!(
            what,
            What::Cpu | What::Rss | What::RssGrowth | What::Descriptors | What::DescriptorsGrowth | What::Start
        );
        if of_the_engine != (subject == ENGINE) {
            let whose = if of_the_engine { "of the engine only" } else { "of a watch, not of the engine" };
            return Err(Error::user(format!("\"{}\" is {whose}", what.word())));
        }
        if !of_the_engine && !known.iter().any(|name| name == subject) {
            return Err(Error::user(format!("nothing of the name \"{subject}\" is watched"))
                .hint(did_you_mean(subject, known.iter().map(String::as_str))));
        }
        Ok(Self { subject: subject.to_owned(), what })
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.subject, self.what.word())
    }

    /// What its number is a number of.
    pub(super) fn unit(&self) -> Unit {
        self.what.unit()
    }

    /// What a run has found, if it measured it.
    pub(super) fn found(&self, outcome: &Outcome) -> Option<f64> {
        if let Some(stage) = stage_of(&self.subject) {
            return timed_by_the_engine(outcome, stage, self.what);
        }
        let latency = |of: fn(&Latency) -> f64| {
            let latency = outcome.latencies.get(&self.subject).filter(|latency| latency.count > 0);
            latency.map(of)
        };
        let account = |of: fn(&Account) -> u64| outcome.ledgers.get(&self.subject).map(|books| of(books) as f64);
        let seconds = &outcome.timeline;
        match self.what {
            What::P50 => latency(|latency| latency.p50),
            What::P90 => latency(|latency| latency.p90),
            What::P99 => latency(|latency| latency.p99),
            What::P999 => latency(|latency| latency.p999),
            What::P9999 => latency(|latency| latency.p9999),
            What::Max => latency(|latency| latency.max),
            What::Lost => account(|books| books.lost),
            What::Dropped => account(|books| books.dropped.values().sum()),
            What::Duplicates => account(|books| books.duplicates),
            What::Reordered => account(|books| books.reordered),
            What::Missed => outcome.deadlines.get(&self.subject).filter(|met| met.due > 0).map(|met| met.per_million),
            What::Start => outcome.first_output,
            What::Recovery => outcome.recoveries.get(&self.subject).copied(),
            What::Cpu if seconds.is_empty() => None,
            What::Cpu => Some(seconds.iter().map(|second| second.cpu_percent).sum::<f64>() / seconds.len() as f64),
            What::Rss => seconds.iter().map(|second| second.rss_bytes as f64).reduce(f64::max),
            What::Descriptors => seconds.iter().map(|second| second.descriptors as f64).reduce(f64::max),
            What::RssGrowth => growth_in_an_hour(seconds, |second| second.rss_bytes as f64),
            What::DescriptorsGrowth => growth_in_an_hour(seconds, |second| second.descriptors as f64),
        }
    }
}

/// What the engine times itself, of a subject such as `engine response_to_write`.
fn stage_of(subject: &str) -> Option<&str> {
    subject.strip_prefix(ENGINE)?.strip_prefix(' ').map(str::trim).filter(|stage| !stage.is_empty())
}

/// Where several sources or sinks tell of it, the greatest.
fn timed_by_the_engine(outcome: &Outcome, stage: &str, what: What) -> Option<f64> {
    let word = match what {
        What::P50 => "p50",
        What::P99 => "p99",
        What::P999 => "p999",
        What::Max => "max",
        _ => return None,
    };
    let objects = outcome.engine["objects"].as_array().into_iter().flatten();
    let times = objects.map(|object| &object["times"][stage]);
    let times = times.filter(|times| times["count"].as_u64().is_some_and(|count| count > 0));
    times.filter_map(|times| times[word].as_f64()).reduce(f64::max)
}

/// How much something grows in an hour, by the straight line that fits all seconds best.
fn growth_in_an_hour(seconds: &[Second], of: impl Fn(&Second) -> f64) -> Option<f64> {
    if seconds.len() < 2 {
        return None;
    }
    let count = seconds.len() as f64;
    let (mid, mean) = ((count - 1.0) / 2.0, seconds.iter().map(&of).sum::<f64>() / count);
    let (mut with_time, mut of_time) = (0.0, 0.0);
    for (at, second) in seconds.iter().enumerate() {
        let from_mid = at as f64 - mid;
        with_time += from_mid * (of(second) - mean);
        of_time += from_mid * from_mid;
    }
    Some(with_time / of_time * 3_600.0)
}
