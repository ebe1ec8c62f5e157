//! Control chart: tells when the readings of a sensor form a pattern that chance hardly ever makes.
//!
//! The rules are Nelson's eight or Western Electric's four, see [`control_rules`](super::control_rules). A pattern is told
//! once, by the reading that completes it, and again only after a reading that does not. With `mean = 10.0`, `sigma = 1.0`:
//!
//! | ts | value | event |
//! | --- | --- | --- |
//! | 0 s | 12.1 | |
//! | 1 s | 12.5 | rule 5, up: 2 of 3 beyond 2 σ |
//! | 2 s | 13.2 | rule 1, up: beyond 3 σ; rule 5 goes on |
//!
//! Mean and σ are given, or estimated for each sensor from its first `baseline` readings, which are not judged. A signal that
//! has not moved by then has no σ: the baseline goes on until it has.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`. One of bad quality or without a value is no
//! point of the chart and is counted as `bad_quality`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use lineside_model::{Problem, Problems, Reason, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{above_zero, finite, known};
use super::control_rules::{Pattern, RuleSet, Runs, Side};
use crate::over::{Number, SeriesFunction};
use crate::reading::{Reading, ReadingColumns};
use crate::series::output::{numbers, texts};
use crate::series::{Follows, Order, Rows, SeriesKind, SeriesRow, SeriesStep};

/// What the mean of the differences between neighbours is divided by to estimate σ.
const MOVING_RANGE_PER_SIGMA: f64 = 1.128;

/// Options of `type = "control_chart"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlChartOptions {
    /// The rules: nelson or western_electric. Default "nelson".
    #[serde(default)]
    rules: RuleSet,
    /// The numbers of the rules that are looked at. Default: all.
    only: Option<Vec<usize>>,
    /// The mean of the process. Either this and `sigma`, or `baseline`.
    mean: Option<f64>,
    /// Its standard deviation.
    sigma: Option<f64>,
    /// Estimate both from so many readings, for each sensor from its first ones. At least 2.
    baseline: Option<u32>,
    /// How a baseline gives sigma: stddev, of the sample, or moving_range, mean difference of neighbours over 1.128, which a
    /// slow drift does not widen. Default "stddev".
    #[serde(default)]
    estimate: Estimate,
}

/// How σ is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// The standard deviation of the sample.
    #[default]
    Stddev,
    /// The mean difference of neighbours over 1.128.
    MovingRange,
}

/// A control chart with checked options.
#[derive(Debug)]
pub struct ControlChart {
    rules: RuleSet,
    /// Whether each rule is looked at.
    looked_at: Vec<bool>,
    process: Process,
}

/// Where the centre line and the limits come from.
#[derive(Clone, Copy, Debug)]
enum Process {
    Given(Centre),
    Estimated { readings: u32, estimate: Estimate },
}

/// The centre line and the unit of the limits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Centre {
    mean: f64,
    sigma: f64,
}

/// The chart of one sensor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Chart {
    baseline: Baseline,
    centre: Option<Centre>,
    runs: Runs,
    /// The patterns that the last reading completed, one bit for each rule, up and down.
    told: [u8; 2],
}

/// The first readings of a sensor, summed up as they come (Welford 1962).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Baseline {
    readings: u32,
    mean: f64,
    squares: f64,
    last: f64,
    ranges: f64,
}

impl Baseline {
    fn take(&mut self, value: f64) {
        if self.readings > 0 {
            self.ranges += (value - self.last).abs();
        }
        self.last = value;
        self.readings = self.readings.saturating_add(1);
        let off = value - self.mean;
        self.mean += off / f64::from(self.readings);
        self.squares += off * (value - self.mean);
    }

    fn centre(&self, estimate: Estimate) -> Centre {
        let steps = f64::from(self.readings.saturating_sub(1).max(1));
        let sigma = match estimate {
            Estimate::Stddev => (self.squares / steps).sqrt(),
            Estimate::MovingRange => self.ranges / steps / MOVING_RANGE_PER_SIGMA,
        };
        Centre { mean: self.mean, sigma }
    }
}

impl ControlChart {
    /// The centre line for a value, or `None` if the value still belongs to the baseline.
    fn centre(&self, chart: &mut Chart, value: f64) -> Option<Centre> {
        let (readings, estimate) = match (self.process, chart.centre) {
            (Process::Given(centre), _) | (Process::Estimated { .. }, Some(centre)) => return Some(centre),
            (Process::Estimated { readings, estimate }, None) => (readings, estimate),
        };
        chart.baseline.take(value);
        let centre = chart.baseline.centre(estimate);
        if chart.baseline.readings >= readings && centre.sigma > 0.0 && centre.sigma.is_finite() {
            chart.centre = Some(centre);
        }
        None
    }
}

impl SeriesStep for ControlChart {
    const KIND: &'static str = "control_chart";
    const VERSION: u32 = 1;
    const FOLLOWS: Follows = Follows::Readings;
    const ORDER: Order = Order::Time;
    type State = Chart;
    type Output = Rows<FindingRow>;

    fn start(&self) -> Chart {
        Chart::default()
    }

    fn step(&self, chart: &mut Chart, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason> {
        let value = reading.value.ok_or(Reason::BadQuality)?;
        let Some(Centre { mean, sigma }) = self.centre(chart, value) else { return Ok(()) };
        let sigmas = (value - mean) / sigma;
        chart.runs.take(sigmas);
        for (n, (pattern, _)) in self.rules.rules().iter().zip(&self.looked_at).enumerate().filter(|(_, (_, on))| **on)
        {
            for side in [Side::Up, Side::Down] {
                let (told, bit) = (&mut chart.told[side as usize], 1 << n);
                let completed = chart.runs.completes(*pattern, side);
                if completed && *told & bit == 0 {
                    let row = FindingRow { rule: n + 1, pattern: *pattern, side, value, sigmas };
                    out.push(reading.ts, reading.sensor, row);
                }
                *told = if completed { *told | bit } else { *told & !bit };
            }
        }
        Ok(())
    }
}

/// A reading completed a pattern.
#[derive(Debug)]
pub struct FindingRow {
    rule: usize,
    pattern: Pattern,
    side: Side,
    value: f64,
    sigmas: f64,
}

impl SeriesRow for FindingRow {
    fn fields() -> Vec<Field> {
        vec![
            Field::new("rule", DataType::Int64, false),
            Field::new("side", DataType::Utf8, true),
            Field::new("finding", DataType::Utf8, false),
            Field::new(schema::VALUE, DataType::Float64, false),
            Field::new("sigmas", DataType::Float64, false),
        ]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let side = |row: &Self| if row.side == Side::Up { "up" } else { "down" };
        vec![
            Arc::new(rows.iter().map(|row| row.rule as i64).collect::<Int64Array>()),
            texts(rows, |row| row.pattern.has_side().then(|| side(row))),
            texts(rows, |row| Some(row.pattern.words())),
            numbers(rows, |row| Some(row.value)),
            numbers(rows, |row| Some(row.sigmas)),
        ]
    }
}

/// `nelson(x, mean, sigma)` and `western_electric(x, mean, sigma)`: the number of the first rule that the row breaks; null if it
/// breaks none, or where the value is null.
#[derive(Clone, Copy, Debug)]
pub struct RuleBroken {
    rules: RuleSet,
    centre: Centre,
}

impl RuleBroken {
    /// By these rules, of a process with this mean and standard deviation.
    ///
    /// # Errors
    /// If the mean is not finite, or sigma not above 0.
    pub fn new(rules: RuleSet, mean: f64, sigma: f64) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        finite("mean", Some(mean), &mut problems);
        above_zero("sigma", sigma, &mut problems);
        problems.or(Self { rules, centre: Centre { mean, sigma } })
    }
}

impl SeriesFunction for RuleBroken {
    const KIND: &'static str = "control_rules";
    const VERSION: u32 = 1;
    type Arguments = Number;
    type State = Runs;
    type Value = i64;

    fn start(&self) -> Runs {
        Runs::default()
    }

    fn step(&self, runs: &mut Runs, _: Timestamp, value: Option<f64>) -> Option<i64> {
        runs.take((known(value)? - self.centre.mean) / self.centre.sigma);
        runs.first_broken(self.rules).map(|rule| rule as i64)
    }

    fn keeps(&self) -> String {
        "the last value and counts of values".to_owned()
    }
}

impl SeriesKind for ControlChart {
    type Options = ControlChartOptions;
    const ABOUT: &'static str = "finds patterns that chance hardly makes, by Nelson's or Western Electric's rules";
    const EXAMPLE: &'static str = r#"[operator.process_watch]
type = "control_chart"
input = "plc"
rules = "nelson"
baseline = 200
"#;

    fn check(
        options: ControlChartOptions,
        _columns: Option<&ReadingColumns>,
        _expected: &mut Vec<String>,
    ) -> Result<Self, Problems> {
        let ControlChartOptions { rules, only, mean, sigma, baseline, estimate } = options;
        let mut problems = Problems::default();
        let count = rules.rules().len();
        for found in only.iter().flatten().filter(|rule| !(1..=count).contains(*rule)) {
            problems.push(Problem::option("only", format!("expected numbers from 1 to {count}, found {found}")));
        }
        if only.as_ref().is_some_and(Vec::is_empty) {
            problems.push(Problem::option("only", "there is no rule to look at").hint("leave it out for all rules"));
        }
        finite("mean", mean, &mut problems);
        if let Some(sigma) = sigma {
            above_zero("sigma", sigma, &mut problems);
        }
        if let Some(found) = baseline.filter(|readings| *readings < 2) {
            problems.push(Problem::option("baseline", format!("expected at least 2 readings, found {found}")));
        }
        let process = match (mean, sigma, baseline) {
            (Some(mean), Some(sigma), None) => Process::Given(Centre { mean, sigma }),
            (None, None, Some(readings)) => Process::Estimated { readings, estimate },
            _ => {
                let problem = Problem::whole("a chart needs mean and sigma, or a baseline to estimate both from");
                problems.push(problem.hint("give mean and sigma, or baseline alone"));
                return Err(problems);
            }
        };
        let looked_at = (1..=count).map(|rule| only.as_ref().is_none_or(|only| only.contains(&rule))).collect();
        problems.or(Self { rules, looked_at, process })
    }

    fn output(_input: &SchemaRef) -> SchemaRef {
        Rows::<FindingRow>::schema()
    }
}
