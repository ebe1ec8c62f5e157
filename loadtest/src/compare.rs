//! Compares two engines on one case: how much more or less the second needs, and whether that is more than chance.
//!
//! A machine changes while it measures: it warms up, others use it, its clock moves. So the two are run in turn as A B B A, which
//! lays a slow change on both alike, and each run is compared only with its neighbour. The ratio that is told is the median of
//! these pairs. How far it could lie elsewhere is found by drawing pairs anew, with repetition, ten thousand times (bootstrap): 99
//! of 100 medians lie between the two ends that are told. Where 1 lies between them, the difference is within noise.
//!
//! With fewer than six pairs nothing is claimed: four pairs that all point the same way do so by chance once in eight times.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::dice::mix;
use crate::outcome::{Machine, Outcome, Second};
use crate::report::table::{Row, Table, number, words};
use crate::report::units::{TimeUnit, digits, fixed};

/// Pairs with which a difference can be told from chance. By simulation, of six pairs that do not differ 4 of 100 seem to.
pub const PAIRS_LEAST: usize = 6;
/// How often pairs are drawn anew.
const DRAWS: usize = 10_000;
/// The share of medians that lie outside the ends, at each side.
const OUTSIDE: f64 = 0.005;

/// One of the two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Side {
    /// The first, against which is compared.
    A,
    /// The second.
    B,
}

/// The order in which so many pairs are run: A B B A A B B A …
pub fn order(pairs: usize) -> Vec<Side> {
    let pair = |at: usize| if at.is_multiple_of(2) { [Side::A, Side::B] } else { [Side::B, Side::A] };
    (0..pairs).flat_map(pair).collect()
}

/// What a comparison says of something measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// B has less of it.
    Lower,
    /// B has more of it.
    Higher,
    /// No difference was found that chance would not make as well.
    WithinNoise,
    /// There were fewer than [`PAIRS_LEAST`] pairs.
    TooFewPairs,
}

/// Something that was measured of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// What it is, such as `alarm p99`.
    pub name: String,
    /// Its median over the runs of A; lengths of time in microseconds, memory in bytes.
    pub a: f64,
    /// Its median over the runs of B.
    pub b: f64,
    /// The median of B / A over the pairs.
    pub ratio: f64,
    /// Between which ends 99 of 100 such medians lie.
    pub ends: (f64, f64),
    /// What follows.
    pub finding: Finding,
    /// The ratio of each pair, in the order in which they were run.
    pub pairs: Vec<f64>,
    #[serde(skip)]
    kind: Kind,
}

/// Two engines, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The case.
    pub case: String,
    /// What the case is to show, one line.
    pub goal: String,
    /// What they ran on; which engine it was is told of each.
    pub machine: Machine,
    /// What A and B are, for a person.
    pub engines: [String; 2],
    /// Runs of A and B.
    pub runs: [usize; 2],
    /// Those of them in which all limits were held.
    pub held: [usize; 2],
    /// What was measured of both, latencies first.
    pub measures: Vec<Measure>,
}

/// In which unit something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Time,
    Percent,
    Bytes,
    Rate,
}

impl Comparison {
    /// Compares runs that were made in [`order`]. A run whose neighbour is missing is left out.
    pub fn of(engines: [String; 2], runs: &[(Side, Outcome)]) -> Self {
        let pairs: Vec<_> = runs.chunks_exact(2).filter_map(pair).collect();
        let mut values: BTreeMap<(Kind, String), Vec<(f64, f64)>> = BTreeMap::new();
        for (a, b) in &pairs {
            let mut of_b = measured(b);
            for (what, a) in measured(a) {
                // What is nothing has no ratio.
                if let Some(b) = of_b.remove(&what).filter(|b| *b > 0.0 && a > 0.0) {
                    values.entry(what).or_default().push((a, b));
                }
            }
        }
        let (none, of_none) = (Outcome::default(), Outcome::default());
        let (first, _) = pairs.first().copied().unwrap_or((&none, &of_none));
        let of = |side| pairs.iter().map(move |(a, b)| if side == Side::A { *a } else { *b });
        Self {
            case: first.case.clone(),
            goal: first.goal.clone(),
            machine: Machine { engine: String::new(), ..first.machine.clone() },
            engines,
            runs: [pairs.len(); 2],
            held: [Side::A, Side::B].map(|side| of(side).filter(|outcome| outcome.held()).count()),
            measures: values.into_iter().map(|((kind, name), values)| Measure::of(kind, name, &values)).collect(),
        }
    }
}

/// A run of A and one of B, beside each other.
fn pair(runs: &[(Side, Outcome)]) -> Option<(&Outcome, &Outcome)> {
    match runs {
        [(Side::A, a), (Side::B, b)] | [(Side::B, b), (Side::A, a)] => Some((a, b)),
        _ => None,
    }
}

/// What is compared of a run.
fn measured(outcome: &Outcome) -> BTreeMap<(Kind, String), f64> {
    let mut values = BTreeMap::new();
    for (name, latency) in &outcome.latencies {
        let quantiles = [("p50", latency.p50, 1), ("p99", latency.p99, 100), ("p99.9", latency.p999, 1_000)];
        for (word, value, least) in quantiles {
            if latency.count >= least {
                values.insert((Kind::Time, format!("{name} {word}")), value);
            }
        }
    }
    let seconds = &outcome.timeline;
    if !seconds.is_empty() {
        let mean = |of: fn(&Second) -> f64| seconds.iter().map(of).sum::<f64>() / seconds.len() as f64;
        values.insert((Kind::Percent, "CPU".to_owned()), mean(|second| second.cpu_percent));
        let rss = seconds.iter().map(|second| second.rss_bytes).max().unwrap_or_default();
        values.insert((Kind::Bytes, "memory (RSS), most".to_owned()), rss as f64);
        values.insert((Kind::Rate, "results".to_owned()), mean(|second| second.arrived as f64));
    }
    values
}

impl Measure {
    fn of(kind: Kind, name: String, values: &[(f64, f64)]) -> Self {
        let pairs: Vec<f64> = values.iter().map(|(a, b)| b / a).collect();
        let (ratio, ends) = (median(&pairs), ends(&pairs));
        let finding = match ends {
            _ if pairs.len() < PAIRS_LEAST => Finding::TooFewPairs,
            (_, to) if to < 1.0 => Finding::Lower,
            (from, _) if from > 1.0 => Finding::Higher,
            _ => Finding::WithinNoise,
        };
        let side = |of: fn(&(f64, f64)) -> f64| median(&values.iter().map(of).collect::<Vec<_>>());
        Self { name, a: side(|(a, _)| *a), b: side(|(_, b)| *b), ratio, ends, finding, pairs, kind }
    }
}

/// Between what 99 of 100 medians lie when pairs are drawn anew. The dice are always the same: the same runs give the same ends.
fn ends(ratios: &[f64]) -> (f64, f64) {
    let count = ratios.len() as u64;
    let draw = |draw: usize| {
        let place = |at: u64| mix(draw as u64 * count + at) % count.max(1);
        median(&(0..count).map(|at| ratios[place(at) as usize]).collect::<Vec<_>>())
    };
    let mut medians: Vec<f64> = (0..DRAWS).map(draw).collect();
    medians.sort_by(f64::total_cmp);
    let at = (DRAWS as f64 * OUTSIDE) as usize;
    (medians[at], medians[DRAWS - 1 - at])
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

impl Finding {
    /// What B has.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::WithinNoise => "within noise",
            Self::TooFewPairs => "too few pairs to tell",
        }
    }
}

impl Comparison {
    /// What was compared, in one line.
    pub(crate) fn title(&self) -> String {
        format!("B against A, {} pairs of runs", self.runs[0])
    }

    /// What A and B are and how often each held all limits, a line for each.
    pub(crate) fn sides(&self) -> [String; 2] {
        [("A", 0), ("B", 1)].map(|(name, side)| {
            let (engine, held, runs) = (&self.engines[side], self.held[side], self.runs[side]);
            format!("{name}: {engine}; limits held in {held} of {runs} runs")
        })
    }

    /// All measures.
    pub(crate) fn table(&self) -> Table {
        let row = |measure: &Measure| {
            let ((a, b), unit) = measure.shown();
            let finding = measure.finding.words();
            let [ratio, from, to] = [measure.ratio, measure.ends.0, measure.ends.1].map(|ratio| fixed(ratio, 3));
            Row::new(&measure.name, [a, b, unit.to_owned(), ratio, from, to, finding.to_owned()])
        };
        Table {
            title: "Measured",
            columns: vec![
                number("A"),
                number("B"),
                words(""),
                number("B / A"),
                number("99 % from"),
                number("to"),
                words("B is"),
            ],
            rows: self.measures.iter().map(row).collect(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.case, self.title())?;
        for side in self.sides() {
            writeln!(f, "{side}")?;
        }
        write!(f, "\n{}", self.table().text())
    }
}

impl Measure {
    /// Both values, in a unit that suits A.
    fn shown(&self) -> ((String, String), &'static str) {
        let both = |text: &dyn Fn(f64) -> String, unit| ((text(self.a), text(self.b)), unit);
        match self.kind {
            Kind::Time => {
                let unit = TimeUnit::of(self.a);
                both(&|micros| unit.text(micros), unit.name)
            }
            Kind::Percent => both(&|percent| fixed(percent, 1), "% of one core"),
            Kind::Bytes => both(&|bytes| fixed(bytes / 1e6, 1), "MB"),
            Kind::Rate => both(&digits, "/s"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;

    use super::*;
    use crate::dice::gaussian;
    use crate::outcome::{Latency, Limit};

    /// A run on a machine that becomes slower from run to run, and is noisy by `noise`.
    fn run(at: usize, factor: f64, noise: f64) -> Outcome {
        let slower = (1.0 + 0.02 * at as f64) * (noise * gaussian(3, 0, at as u64)).exp();
        let alarm = Latency {
            count: 5_000,
            p50: 140.0 * slower * factor,
            p99: 240.0 * slower,
            p999: 900.0,
            ..Latency::default()
        };
        let relay = Latency { count: 500, p50: 120.0 * slower, p99: 200.0 * slower, ..Latency::default() };
        let second =
            Second { arrived: 1_000, cpu_percent: 20.0 * slower * factor, rss_bytes: 41_000_000, ..Second::default() };
        Outcome {
            case: "alarm-latency".to_owned(),
            latencies: BTreeMap::from([("alarm".to_owned(), alarm), ("relay".to_owned(), relay)]),
            timeline: vec![second],
            limits: vec![Limit { held: at != 3, ..Limit::default() }],
            ..Outcome::default()
        }
    }

    pub(crate) fn compared(pairs: usize, factor: f64, noise: f64) -> Comparison {
        let runs = order(pairs).into_iter().enumerate();
        let runs: Vec<_> =
            runs.map(|(at, side)| (side, run(at, if side == Side::A { 1.0 } else { factor }, noise))).collect();
        Comparison::of(["lineside 0.1.0 (old)".to_owned(), "lineside 0.1.0 (new)".to_owned()], &runs)
    }

    #[test]
    fn each_is_run_before_and_behind_the_other_alike() {
        assert_eq!(order(3), [Side::A, Side::B, Side::B, Side::A, Side::A, Side::B]);
        assert_eq!(order(0), []);
    }

    #[test]
    fn a_difference_is_told_with_its_spread_on_a_machine_that_becomes_slower() {
        expect![[r#"
            alarm-latency: B against A, 8 pairs of runs
            A: lineside 0.1.0 (old); limits held in 7 of 8 runs
            B: lineside 0.1.0 (new); limits held in 8 of 8 runs

            Measured                  A      B                 B / A  99 % from     to  B is
              alarm p50             161    145  µs             0.894      0.870  0.932  lower
              alarm p99             276    276  µs             0.993      0.967  1.036  within noise
              alarm p99.9           900    900  µs             1.000      1.000  1.000  within noise
              relay p50             138    138  µs             0.993      0.967  1.036  within noise
              relay p99             230    230  µs             0.993      0.967  1.036  within noise
              CPU                  23.0   20.7  % of one core  0.894      0.870  0.932  lower
              memory (RSS), most   41.0   41.0  MB             1.000      1.000  1.000  within noise
              results             1,000  1,000  /s             1.000      1.000  1.000  within noise
        "#]]
        .assert_eq(&compared(8, 0.9, 0.01).to_string());
    }

    #[test]
    fn engines_that_do_not_differ_are_within_noise() {
        let same = compared(10, 1.0, 0.1);
        assert!(same.measures.iter().all(|measure| measure.finding == Finding::WithinNoise), "{same}");
    }

    #[test]
    fn few_pairs_tell_nothing_and_none_are_no_trouble() {
        let few = compared(5, 0.5, 0.0);
        assert!(few.measures.iter().all(|measure| measure.finding == Finding::TooFewPairs), "{few}");
        assert_eq!(compared(0, 1.0, 0.0).measures, []);
    }

    #[test]
    fn a_run_without_its_neighbour_is_left_out() {
        let runs: Vec<_> =
            order(6).into_iter().enumerate().map(|(at, side)| (side, run(at, 1.0, 0.0))).take(11).collect();
        let comparison = Comparison::of([String::new(), String::new()], &runs);
        assert_eq!(comparison.runs, [5, 5]);
        assert_eq!(comparison.held, [4, 5]);
    }

    #[test]
    fn chance_is_taken_for_a_difference_in_few_of_100_comparisons() {
        // The law behind PAIRS_LEAST: pairs that differ by chance alone.
        let mistaken = (0..100).filter(|at| {
            let ratios: Vec<f64> = (0..PAIRS_LEAST as u64).map(|pair| (0.1 * gaussian(*at, 1, pair)).exp()).collect();
            let (from, to) = ends(&ratios);
            from > 1.0 || to < 1.0
        });
        let mistaken = mistaken.count();
        assert!(mistaken <= 6, "{mistaken} of 100");
    }

    #[test]
    fn the_median_of_none_is_no_number() {
        assert!(median(&[]).is_nan());
        assert_eq!((median(&[3.0]), median(&[4.0, 1.0]), median(&[5.0, 1.0, 2.0])), (3.0, 2.5, 2.0));
    }
}
