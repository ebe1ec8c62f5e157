//! Finds the highest rate that holds: doubles the rate until it no longer does, then halves the gap until it is 5 %.
//!
//! One run proves little: a machine that pauses for a moment fails a rate that it would carry, and a lucky run carries one that it
//! would not. So each rate is run until one verdict has come twice, that is two or three times. A rate that the feed itself could
//! not send proves nothing of the engine; it ends the search upwards, and the answer says so.
//!
//! The search decides and does not run anything: [`Search::next`] names a rate, [`Search::tell`] takes what came of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::outcome::{Limit, Machine, Outcome};
use crate::report::table::{Row, Table, number, words};
use crate::report::units::{TimeUnit, digits, fixed};

/// The gap between a rate that holds and one that does not, at which the search ends.
const PRECISION: f64 = 1.05;
/// How often a verdict has to come before it counts.
const CONFIRMED: usize = 2;
/// Of what was to be sent, what has to have been sent for a run to say anything of the engine. Sensors that pause on purpose
/// (`gaps`) are to send less: with a case that has them, look at what was sent.
const SENT_LEAST: f64 = 0.99;

/// Where to look for a rate, in messages a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// The rate to begin with.
    pub first: f64,
    /// The least that is of interest.
    pub least: f64,
    /// The greatest that is of interest.
    pub most: f64,
}

/// What one run said of its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All limits were held.
    Held,
    /// One was not.
    Missed,
    /// The feed did not send what was due, so nothing is known of the engine.
    NotSent,
}

/// One run at a rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Messages a second that were to be sent.
    pub rate: f64,
    /// What it said.
    pub verdict: Verdict,
    /// The greatest 99th percentile of what was watched, in microseconds.
    pub p99: f64,
    /// That of each that was watched, by its name.
    pub p99s: BTreeMap<String, P99>,
    /// Processor time of the engine, in percent of one core.
    pub cpu_percent: f64,
    /// The first limit that was missed, with what was found.
    pub missed: Option<String>,
}

/// A 99th percentile, and what it was to be at most, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct P99 {
    /// What was found.
    pub found: f64,
    /// What was wanted, if anything was.
    pub most: Option<f64>,
}

impl Trial {
    /// What a run says of its rate: whether all limits of its case were held. If every p99 is to be at most `p99_max` microseconds,
    /// that takes the place of what the case says of lengths of time; what it says of losses and of the engine stays.
    /// `floor` is a latency that is measured beside the engine, and is not asked for.
    pub fn of(outcome: &Outcome, p99_max: Option<f64>, floor: &str) -> Self {
        let seconds = outcome.timeline.len().max(1) as f64;
        let latencies = || outcome.latencies.iter().filter(|(name, latency)| *name != floor && latency.count > 0);
        let sent = outcome.timeline.iter().map(|second| second.sent).sum::<u64>() as f64;
        let asked = |limit: &&Limit| p99_max.is_none() || !is_of_time(&limit.name);
        let limit = outcome.limits.iter().filter(asked).find(|limit| !limit.held);
        let too_late = p99_max.and_then(|most| {
            let (name, latency) = latencies().find(|(_, latency)| latency.p99 > most)?;
            Some(format!("{name} p99 {}", crate::report::units::micros(latency.p99)))
        });
        // Where nothing came out, no latency can be held.
        let nothing = (p99_max.is_some() && latencies().next().is_none()).then(|| "nothing arrived".to_owned());
        let missed = limit.map(|limit| format!("{} {}", limit.name, limit.found)).or(too_late).or(nothing);
        Self {
            rate: outcome.rate,
            verdict: match &missed {
                _ if sent < outcome.rate * seconds * SENT_LEAST => Verdict::NotSent,
                Some(_) => Verdict::Missed,
                None => Verdict::Held,
            },
            p99: latencies().map(|(_, latency)| latency.p99).fold(0.0, f64::max),
            p99s: latencies()
                .map(|(name, latency)| {
                    let of_this = |limit: &&Limit| limit.name == format!("{name} p99");
                    let limit = || outcome.limits.iter().find(of_this).and_then(|limit| limit.bound);
                    (name.clone(), P99 { found: latency.p99, most: p99_max.or_else(limit) })
                })
                .collect(),
            cpu_percent: outcome.timeline.iter().map(|second| second.cpu_percent).sum::<f64>() / seconds,
            missed,
        }
    }
}

/// Whether a limit of this name is about a length of time, such as `alarm p99`.
fn is_of_time(limit: &str) -> bool {
    limit.rsplit(' ').next().is_some_and(|word| ["p50", "p90", "p99", "p99.9", "p99.99", "max"].contains(&word))
}

/// A search with what it was made on: all that is told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Sought {
    /// The case.
    pub case: String,
    /// What the case is to show, one line.
    pub goal: String,
    /// What every p99 was to be at most, in microseconds, in place of what the case says.
    pub p99_max: Option<f64>,
    /// What it was run on.
    pub machine: Machine,
    /// All runs, and the answer.
    #[serde(flatten)]
    pub search: Search,
}

/// A search under way, or at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Search {
    range: Range,
    trials: Vec<Trial>,
    /// The highest rate that is known to hold.
    held: Option<f64>,
    /// The lowest rate above it that does not, and why.
    ended: Option<(f64, Verdict)>,
}

impl Search {
    /// A search that begins at `range.first`, moved into the range.
    pub fn new(range: Range) -> Self {
        let first = range.first.min(range.most).max(range.least);
        Self { range: Range { first, ..range }, trials: Vec::new(), held: None, ended: None }
    }

    /// The rate to run next; none when the answer is known.
    pub fn next(&self) -> Option<f64> {
        // A rate that has been run without a verdict is run again.
        if let Some(last) = self.trials.last()
            && self.confirmed(last.rate).is_none()
        {
            return Some(last.rate);
        }
        match (self.held, self.ended) {
            (None, None) => Some(self.range.first),
            (Some(held), None) => (held < self.range.most).then(|| (2.0 * held).min(self.range.most)),
            (None, Some((ended, _))) => (ended > self.range.least).then(|| (ended / 2.0).max(self.range.least)),
            (Some(held), Some((ended, _))) => {
                let middle = rounded((held * ended).sqrt());
                // Where rates are so small that rounding leaves no room between them, the gap is as small as it gets.
                (ended > held * PRECISION && middle > held && middle < ended).then_some(middle)
            }
        }
    }

    /// Takes what came of the rate that [`Self::next`] named. It counts for that rate, whatever a case with feeds of several
    /// rates made of it; when the search has ended, it changes nothing.
    pub fn tell(&mut self, trial: Trial) {
        let Some(rate) = self.next() else { return };
        self.trials.push(Trial { rate, ..trial });
        match self.confirmed(rate) {
            None => {}
            Some(Verdict::Held) => self.held = Some(rate),
            Some(verdict) => self.ended = Some((rate, verdict)),
        }
    }

    /// The highest rate that was seen to hold, twice.
    pub fn highest(&self) -> Option<f64> {
        self.held
    }

    /// The lowest rate that was seen, twice, not to hold.
    pub fn lowest_missed(&self) -> Option<f64> {
        self.ended.map(|(rate, _)| rate)
    }

    /// All runs, in their order.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The verdict that has come twice for a rate. That a rate was not sent is as good as missed: both end the search upwards.
    fn confirmed(&self, rate: f64) -> Option<Verdict> {
        let of_rate = || self.trials.iter().filter(|trial| trial.rate == rate).map(|trial| trial.verdict);
        let held = of_rate().filter(|verdict| *verdict == Verdict::Held).count();
        if held >= CONFIRMED {
            return Some(Verdict::Held);
        }
        let missed = of_rate().filter(|verdict| *verdict == Verdict::Missed).count();
        let not_sent = of_rate().count() - held - missed;
        (missed + not_sent >= CONFIRMED).then_some(if missed > 0 { Verdict::Missed } else { Verdict::NotSent })
    }

    /// What is known, in words.
    pub(crate) fn answer(&self) -> String {
        let above = match self.ended {
            Some((rate, Verdict::NotSent)) => format!("; {}/s could not be sent", digits(rate)),
            Some((rate, _)) => format!("; {}/s does not hold", digits(rate)),
            None => "; no higher one was asked for".to_owned(),
        };
        match (self.held, self.next()) {
            (None, None) => format!("no rate from {}/s on holds", digits(self.range.least)),
            (None, Some(_)) => "no rate is known to hold yet".to_owned(),
            (Some(rate), None) => format!("{} messages/s hold{above}", digits(rate)),
            (Some(rate), Some(_)) => format!("at least {} messages/s hold; the search has not ended", digits(rate)),
        }
    }
}

impl Search {
    /// All runs by their rates.
    pub(crate) fn table(&self) -> Table {
        let row = |trial: &Trial| {
            let unit = TimeUnit::of(trial.p99);
            let why = match trial.verdict {
                Verdict::Held => String::new(),
                Verdict::NotSent => "the feed did not send it".to_owned(),
                Verdict::Missed => trial.missed.clone().unwrap_or_default(),
            };
            Row {
                held: Some(trial.verdict == Verdict::Held),
                ..Row::new(
                    format!("{}/s", digits(trial.rate)),
                    [unit.text(trial.p99), unit.name.to_owned(), fixed(trial.cpu_percent, 1), "%".to_owned(), why],
                )
            }
        };
        let mut trials: Vec<_> = self.trials.iter().collect();
        // The sort is stable: runs of one rate stay in their order.
        trials.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        Table {
            title: "Rate",
            columns: vec![number("p99"), words(""), number("CPU"), words(""), words("missed")],
            rows: trials.into_iter().map(row).collect(),
        }
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.answer(), self.table().text())
    }
}

/// To three digits, as one would set a rate by hand.
fn rounded(rate: f64) -> f64 {
    let step = 10_f64.powf(rate.log10().floor() - 2.0);
    (rate / step).round() * step
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::report::sample;

    const RANGE: Range = Range { first: 10_000.0, least: 100.0, most: 10_000_000.0 };

    /// Searches an engine of which this says what a run does, by rate and number of the run.
    fn search(range: Range, run: impl Fn(f64, usize) -> Verdict) -> Search {
        let mut search = Search::new(range);
        while let Some(rate) = search.next() {
            let at = search.trials().len();
            assert!(at < 200, "a search ends");
            let verdict = run(rate, at);
            let missed = (verdict == Verdict::Missed).then(|| "alarm p99 14.1 ms".to_owned());
            let p99s = BTreeMap::new();
            search.tell(Trial { rate, verdict, p99: rate / 10.0, p99s, cpu_percent: rate / 1e3, missed });
        }
        search
    }

    fn up_to(capacity: f64) -> impl Fn(f64, usize) -> Verdict {
        move |rate, _| if rate <= capacity { Verdict::Held } else { Verdict::Missed }
    }

    #[test]
    fn the_highest_rate_is_found_to_5_percent() {
        for capacity in [120.0, 999.0, 10_000.0, 10_001.0, 37_500.0, 412_345.0, 9_999_999.0] {
            let found = search(RANGE, up_to(capacity));
            let highest = found.highest().unwrap();
            assert!(highest <= capacity && highest * 1.051 >= capacity, "{capacity}: {highest}");
            assert!(found.trials().len() <= 30, "{capacity}: {} runs", found.trials().len());
        }
    }

    #[test]
    fn each_rate_that_decides_was_run_twice() {
        let found = search(RANGE, up_to(37_500.0));
        for rate in [found.highest().unwrap(), found.lowest_missed().unwrap()] {
            assert_eq!(found.trials().iter().filter(|trial| trial.rate == rate).count(), 2);
        }
    }

    #[test]
    fn a_lucky_run_is_not_trusted_and_an_unlucky_one_is_forgiven() {
        // The first run of each rate says the opposite of what is true.
        let wrong_at_first = |rate: f64, runs: &[Trial]| !runs.iter().any(|trial| trial.rate == rate);
        let mut search = Search::new(RANGE);
        while let Some(rate) = search.next() {
            let holds = (rate <= 37_500.0) != wrong_at_first(rate, search.trials());
            let verdict = if holds { Verdict::Held } else { Verdict::Missed };
            search.tell(Trial { rate, verdict, p99: 0.0, p99s: BTreeMap::new(), cpu_percent: 0.0, missed: None });
        }
        let highest = search.highest().unwrap();
        assert!(highest <= 37_500.0 && highest * 1.051 >= 37_500.0, "{highest}");
    }

    #[test]
    fn a_range_that_holds_or_fails_wholly_is_told_as_such() {
        let all = search(RANGE, up_to(1e9));
        assert_eq!((all.highest(), all.lowest_missed()), (Some(10_000_000.0), None));
        assert_eq!(all.answer(), "10,000,000 messages/s hold; no higher one was asked for");
        let none = search(RANGE, up_to(0.0));
        assert_eq!((none.highest(), none.lowest_missed()), (None, Some(100.0)));
        assert_eq!(none.answer(), "no rate from 100/s on holds");
    }

    #[test]
    fn what_the_feed_cannot_send_is_not_said_of_the_engine() {
        let found = search(Range { first: 400_000.0, ..RANGE }, |rate, _| match rate {
            r if r > 600_000.0 => Verdict::NotSent,
            _ => Verdict::Held,
        });
        assert!(found.answer().ends_with("/s could not be sent"), "{}", found.answer());
    }

    #[test]
    fn the_runs_are_told_by_rate() {
        let found = search(Range { first: 10_000.0, least: 100.0, most: 15_000.0 }, |rate, at| match (rate, at) {
            (_, 1) => Verdict::Missed,
            _ if rate <= 14_500.0 => Verdict::Held,
            _ => Verdict::Missed,
        });
        expect![[r#"
            14,200 messages/s hold; 14,600/s does not hold

            Rate            p99       CPU     missed
              ✓ 10,000/s  1,000  µs  10.0  %
              ✗ 10,000/s  1,000  µs  10.0  %  alarm p99 14.1 ms
              ✓ 10,000/s  1,000  µs  10.0  %
              ✓ 12,200/s  1,220  µs  12.2  %
              ✓ 12,200/s  1,220  µs  12.2  %
              ✓ 13,500/s  1,350  µs  13.5  %
              ✓ 13,500/s  1,350  µs  13.5  %
              ✓ 14,200/s  1,420  µs  14.2  %
              ✓ 14,200/s  1,420  µs  14.2  %
              ✗ 14,600/s  1,460  µs  14.6  %  alarm p99 14.1 ms
              ✗ 14,600/s  1,460  µs  14.6  %  alarm p99 14.1 ms
              ✗ 15,000/s  1,500  µs  15.0  %  alarm p99 14.1 ms
              ✗ 15,000/s  1,500  µs  15.0  %  alarm p99 14.1 ms
        "#]]
        .assert_eq(&found.to_string());
    }

    #[test]
    fn a_run_holds_if_its_limits_and_every_p99_do() {
        let mut outcome = sample::outcome();
        assert_eq!(Trial::of(&outcome, None, "relay").missed.as_deref(), Some("alarms lost 2"));
        outcome.limits.retain(|limit| limit.name != "alarms lost");
        outcome.limits[0].held = false;
        assert_eq!(Trial::of(&outcome, None, "relay").missed.as_deref(), Some("alarm p99 35.9 ms"));
        assert_eq!(Trial::of(&outcome, Some(50_000.0), "relay").verdict, Verdict::Held);
        outcome.limits.clear();
        assert_eq!(Trial::of(&outcome, None, "relay").verdict, Verdict::Held);
        assert_eq!(Trial::of(&outcome, Some(50_000.0), "relay").verdict, Verdict::Held);
        let late = Trial::of(&outcome, Some(10_000.0), "relay");
        assert_eq!((late.verdict, late.missed.as_deref()), (Verdict::Missed, Some("alarm p99 15.8 ms")));
        outcome.rate *= 1.1;
        assert_eq!(Trial::of(&outcome, Some(10_000.0), "relay").verdict, Verdict::NotSent);
        let idle = Outcome::default();
        assert_eq!(Trial::of(&idle, Some(10_000.0), "relay").missed.as_deref(), Some("nothing arrived"));
    }
}
