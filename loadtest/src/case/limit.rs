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

use lineside_model::{Error, Result};

use super::quantity::{Quantity, What};
use super::unit::Unit;
use crate::outcome::{Limit, Outcome};

/// Between what is looked at and its bound.
const AT_MOST: &str = " at most ";
const TIMES: &str = " times ";
/// One limit of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    looked_at: Quantity,
    bound: Bound,
}

#[derive(Clone, Debug, PartialEq)]
enum Bound {
    /// In the unit of the quantity.
    Value(f64),
    Times(f64, Quantity),
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
        let unit = looked_at.unit();
        let bound = match bound.split_once(TIMES) {
            None => Bound::Value(unit.parse(bound.trim()).map_err(of_the_limit)?),
            Some((factor, other)) => {
                let factor = Unit::Count.parse(factor.trim()).map_err(of_the_limit)?;
                let other = Quantity::parse(other, known).map_err(of_the_limit)?;
                if other.unit() != unit {
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
        let unit = self.looked_at.unit();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::outcome::{Account, Deadline, Latency, Second};

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
