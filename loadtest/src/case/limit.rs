//! What a case has to hold, as one says it: `alarm p99 at most 10ms`.
//!
//! | subject | quantity | bound |
//! | --- | --- | --- |
//! | a watch, or `relay` | `p50`, `p90`, `p99`, `p99.9`, `p99.99`, `max` | a duration, or `1.3 times relay p50` |
//! | a watch, or `WATCH readings` | `lost`, `dropped`, `duplicates`, `reordered` | a number |
//! | a watch with a deadline | `missed` | of all that were due: `100 per million` |
//! | `engine STAGE` | `p50`, `p99`, `p99.9`, `max` | a duration; what the engine times itself, at the source or sink where it is greatest |
//! | `engine` | `start` | a duration: from the start of its process to the first setpoint at the PLC |
//! | a watch | `recovery`: from the end of a rush until answers are in time again | a duration |
//! | `engine` | `cpu` | percent of one core, over the whole run: `50%` |
//! | `engine` | `rss`, `rss growth` | `64MB`; growth: within an hour, by a straight line through all seconds |
//! | `engine` | `descriptors`, `descriptors growth` | a number: the most in any second, and by the same line |
//!
//! A limit that does not hold on a busy machine is told as not held.

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Result, Span};

use crate::outcome::{Account, Latency, Limit, Outcome, Second};
use crate::report::units::{digits, fixed, micros, plain, set};

/// Between what is looked at and its bound.
const AT_MOST: &str = " at most ";
const TIMES: &str = " times ";
/// The name of what is not a watch.
const ENGINE: &str = "engine";

/// One limit of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    looked_at: Quantity,
    bound: Bound,
}

/// Something that a run finds out.
#[derive(Clone, Debug, PartialEq)]
struct Quantity {
    subject: String,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
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

#[derive(Clone, Debug, PartialEq)]
enum Bound {
    /// In the unit of the quantity.
    Value(f64),
    Times(f64, Quantity),
}

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Micros,
    Count,
    Percent,
    Bytes,
    PerMillion,
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

impl Rule {
    /// Reads a limit; `known` are the subjects that there are.
    ///
    /// # Errors
    /// It is no limit, or about something that the case does not have.
    pub fn parse(text: &str, known: &[String]) -> Result<Self> {
        let (looked_at, bound) = text.split_once(AT_MOST).ok_or_else(|| {
            Error::user(format!("limit \"{text}\" says nothing to hold"))
                .hint("write \"alarm p99 at most 10ms\" or \"alarm lost at most 0\"")
        })?;
        let of_the_limit = |error: Error| error.of(format_args!("limit \"{text}\""));
        let looked_at = Quantity::parse(looked_at, known).map_err(of_the_limit)?;
        let unit = looked_at.what.unit();
        let bound = match bound.split_once(TIMES) {
            None => Bound::Value(unit.parse(bound.trim()).map_err(of_the_limit)?),
            Some((factor, other)) => {
                let factor = Unit::Count.parse(factor.trim()).map_err(of_the_limit)?;
                let other = Quantity::parse(other, known).map_err(of_the_limit)?;
                if other.what.unit() != unit {
                    let message = format!("limit \"{text}\" compares things of different units");
                    return Err(Error::user(message));
                }
                Bound::Times(factor, other)
            }
        };
        Ok(Self { looked_at, bound })
    }

    /// The watch whose deadline it is about, if it is.
    pub(super) fn needs_deadline(&self) -> Option<&str> {
        let other = if let Bound::Times(_, other) = &self.bound { Some(other) } else { None };
        let asks = [Some(&self.looked_at), other].into_iter().flatten().find(|asks| asks.what == What::Missed);
        asks.map(|asks| asks.subject.as_str())
    }

    /// Whether a run held it.
    pub fn judge(&self, outcome: &Outcome) -> Limit {
        let unit = self.looked_at.what.unit();
        let found = self.looked_at.found(outcome);
        let (bound, wanted) = match &self.bound {
            Bound::Value(value) => (Some(*value), format!("at most {}", unit.show_bound(*value))),
            Bound::Times(factor, other) => {
                let bound = other.found(outcome).map(|value| value * factor);
                let shown = bound.map_or("nothing".to_owned(), |bound| unit.show(bound));
                (bound, format!("at most {factor} times {} = {shown}", other.name()))
            }
        };
        Limit {
            name: self.looked_at.name(),
            wanted,
            bound,
            found: found.map_or("nothing measured".to_owned(), |found| unit.show(found)),
            held: found.zip(bound).is_some_and(|(found, bound)| found <= bound),
        }
    }
}

impl Quantity {
    fn parse(text: &str, known: &[String]) -> Result<Self> {
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

    fn name(&self) -> String {
        format!("{} {}", self.subject, self.what.word())
    }

    fn found(&self, outcome: &Outcome) -> Option<f64> {
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

impl Unit {
    fn parse(self, text: &str) -> Result<f64> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let wrong = |what: &str| Error::user(format!("expected {what}, found \"{text}\""));
        match self {
            Self::Micros => {
                let span = text.parse::<Span>().map_err(|expected| Error::user(format!("expected {expected}")))?;
                Ok(span.micros() as f64)
            }
            Self::Count => number(text).ok_or_else(|| wrong("a number such as 0")),
            Self::PerMillion => {
                let number = text.strip_suffix("per million").and_then(number);
                number.ok_or_else(|| wrong("a share such as \"100 per million\""))
            }
            Self::Percent => text.strip_suffix('%').and_then(number).ok_or_else(|| wrong("a share such as 50%")),
            Self::Bytes => {
                let (digits, factor) = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]
                    .iter()
                    .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
                    .ok_or_else(|| wrong("a size such as 64MB"))?;
                number(digits).map(|number| number * factor).ok_or_else(|| wrong("a size such as 64MB"))
            }
        }
    }

    /// What a case asks for, with the digits that it has.
    fn show_bound(self, value: f64) -> String {
        match self {
            Self::Micros => set(value),
            Self::Percent => format!("{} %", plain(value)),
            Self::Bytes => format!("{} MB", plain(value / 1e6)),
            Self::Count | Self::PerMillion => self.show(value),
        }
    }

    /// What was found.
    fn show(self, value: f64) -> String {
        match self {
            Self::Micros => micros(value),
            Self::Count if value.fract() == 0.0 => fixed(value, 0),
            Self::Count => format!("{value:.2}"),
            Self::PerMillion => format!("{} per million", digits(value)),
            Self::Percent => format!("{value:.1} %"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::outcome::Deadline;

    fn outcome() -> Outcome {
        let latency = |p50, p99| Latency { count: 100, p50, p99, ..Latency::default() };
        let second = |at: u64| Second { cpu_percent: 10.0, rss_bytes: 40_000_000 + at * 1_000, ..Second::default() };
        Outcome {
            latencies: BTreeMap::from([
                ("alarm".to_owned(), latency(160.0, 500.0)),
                ("relay".to_owned(), latency(140.0, 240.0)),
            ]),
            ledgers: BTreeMap::from([("alarm".to_owned(), Account { lost: 3, ..Account::default() })]),
            timeline: (0..10).map(second).collect(),
            deadlines: BTreeMap::from([(
                "alarm".to_owned(),
                Deadline { due: 50_000, per_million: 40.0, ..Deadline::default() },
            )]),
            first_output: Some(143_000.0),
            engine: serde_json::json!({"objects": [
                {"name": "plc"},
                {"name": "heaters", "times": {"response_to_write": {"count": 900, "p50": 11.4, "p99": 48.0}}},
                {"name": "valves", "times": {"response_to_write": {"count": 900, "p50": 12.5, "p99": 31.0}}},
                {"name": "others", "times": {"response_to_write": {"count": 0, "p50": 99.0, "p99": 99.0}}},
            ]}),
            ..Outcome::default()
        }
    }

    fn judge(text: &str) -> (String, String, bool) {
        let known = ["alarm".to_owned(), "relay".to_owned(), "quiet".to_owned()];
        let Limit { wanted, found, held, .. } = Rule::parse(text, &known).expect("a limit").judge(&outcome());
        (wanted, found, held)
    }

    fn told(wanted: &str, found: &str, held: bool) -> (String, String, bool) {
        (wanted.to_owned(), found.to_owned(), held)
    }

    #[test]
    fn a_limit_is_held_up_to_its_bound() {
        assert_eq!(judge("alarm p99 at most 500us"), told("at most 500 µs", "500 µs", true));
        assert_eq!(judge("alarm p99 at most 0.4ms"), told("at most 400 µs", "500 µs", false));
        assert_eq!(judge("alarm lost at most 0"), told("at most 0", "3", false));
        assert_eq!(judge("engine cpu at most 10%"), told("at most 10 %", "10.0 %", true));
        assert_eq!(judge("engine rss at most 40MB"), told("at most 40 MB", "40.0 MB", false));
        assert_eq!(judge("engine rss growth at most 4MB"), told("at most 4 MB", "3.6 MB", true));
        assert_eq!(judge("engine descriptors growth at most 0"), told("at most 0", "0", true));
    }

    #[test]
    fn a_limit_may_be_a_multiple_of_what_was_measured_beside_it() {
        assert_eq!(
            judge("alarm p50 at most 1.3 times relay p50"),
            told("at most 1.3 times relay p50 = 182 µs", "160 µs", true)
        );
        assert_eq!(
            judge("alarm p99 at most 2 times relay p99"),
            told("at most 2 times relay p99 = 480 µs", "500 µs", false)
        );
    }

    #[test]
    fn what_the_engine_times_itself_is_held_where_it_is_greatest() {
        let held = told("at most 15 µs", "12.5 µs", true);
        assert_eq!(judge("engine response_to_write p50 at most 15us"), held);
        assert_eq!(judge("engine response_to_write p99 at most 40us"), told("at most 40 µs", "48.0 µs", false));
        let nothing = told("at most 5 µs", "nothing measured", false);
        assert_eq!(judge("engine decode p50 at most 5us"), nothing);
    }

    #[test]
    fn deadlines_and_the_start_have_limits() {
        let held = told("at most 100 per million", "40.0 per million", true);
        assert_eq!(judge("alarm missed at most 100 per million"), held);
        assert_eq!(judge("engine start at most 300ms"), told("at most 300 ms", "143 ms", true));
    }

    #[test]
    fn what_was_not_measured_is_not_held() {
        assert_eq!(judge("quiet p50 at most 1s"), told("at most 1 s", "nothing measured", false));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_cure() {
        let known = ["alarm".to_owned()];
        let told = |text| {
            let error = Rule::parse(text, &known).expect_err("it is wrong");
            (error.to_string(), error.cure().unwrap_or_default().to_owned())
        };
        assert_eq!(
            told("alrm p99 at most 1ms"),
            (
                "limit \"alrm p99 at most 1ms\": nothing of the name \"alrm\" is watched".to_owned(),
                "did you mean \"alarm\"?".to_owned()
            )
        );
        assert_eq!(
            told("alarm p98 at most 1ms").0,
            "limit \"alarm p98 at most 1ms\": \"p98\" is nothing that is measured"
        );
        assert_eq!(told("alarm cpu at most 5%").0, "limit \"alarm cpu at most 5%\": \"cpu\" is of the engine only");
        assert!(told("alarm p99 at most 10").0.contains("a duration such as"), "{}", told("alarm p99 at most 10").0);
        assert!(told("alarm p99 < 10ms").0.ends_with("says nothing to hold"));
    }
}
