//! The loop table: one row of a CSV file is one control loop.
//!
//! ```csv
//! loop,  pv,                out,         sp,  period, form,     kp,  ti, td, n, u_min, u_max, anti_windup
//! zone1, oven1.temperature, oven1.power, 180, 1s,     standard, 6.0, 50, 5,  8, 0,     100,   clamp
//! ```
//!
//! | column | meaning | default |
//! | --- | --- | --- |
//! | `loop` | its name | required |
//! | `pv` | the sensor that is controlled | required |
//! | `out` | the tag that is written | required |
//! | `sp` | the setpoint: a number, or `tag:oven1.setpoint` for a sensor that delivers it | required |
//! | `period` | time between samples, such as `500ms` | required |
//! | `kp` | gain, at least 0; a negative one is `action = direct` | required |
//! | `u_min`, `u_max` | limits of the output | required |
//! | `form` | `parallel` (`ki` per second, `kd` seconds) or `standard` (`ti`, `td` seconds; `ti` 0: no integral) | `parallel` |
//! | `ki`, `kd`, `ti`, `td` | see `form` | 0 |
//! | `tf` or `n` | filter of the derivative: its time constant in seconds, or Kd/(Kp·n) | no filter |
//! | `b` | weight of the setpoint in the proportional part | 1 |
//! | `bias`, `i0` | added to the output; integral at the start | 0 |
//! | `u0` | output before the first sample | 0, or the limit next to it |
//! | `rate_up`, `rate_down` | fastest change of the output per second | any |
//! | `anti_windup` | `clamp`, `backcalc` (needs `tt`, seconds, at least `period`) or `none` | `clamp` |
//! | `action` | `reverse` (heating) or `direct` (cooling) | `reverse` |

use std::path::Path;
use std::str::FromStr;

use lineside_model::options::did_you_mean;
use lineside_model::{Problems, Span};

use super::pid::{Action, AntiWindup, PidParams};
use super::table::{Row, Table};

/// The columns of a loop table.
pub const COLUMNS: &[&str] = &[
    "loop",
    "pv",
    "out",
    "sp",
    "period",
    "form",
    "kp",
    "ki",
    "kd",
    "ti",
    "td",
    "n",
    "tf",
    "b",
    "bias",
    "i0",
    "u0",
    "u_min",
    "u_max",
    "rate_up",
    "rate_down",
    "anti_windup",
    "tt",
    "action",
];
const REQUIRED: &[&str] = &["loop", "pv", "out", "sp", "period", "kp", "u_min", "u_max"];

/// One control loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Its name.
    pub name: String,
    /// The sensor that is controlled.
    pub pv: String,
    /// The tag that is written.
    pub out: String,
    /// What the measured value should be.
    pub sp: Setpoint,
    /// Time between samples.
    pub period: Span,
    /// Settings of the controller.
    pub params: PidParams,
}

/// What a measured value should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Setpoint {
    /// A number that does not change.
    Fixed(f64),
    /// The latest value of this sensor.
    Sensor(String),
}

/// Reads a loop table.
///
/// # Errors
/// Everything that is wrong, each with file, line and column.
pub fn read(file: &Path, text: &str) -> Result<Vec<Loop>, Problems> {
    let mut problems = Problems::default();
    let table = Table::read(file, text, COLUMNS, REQUIRED, &mut problems);
    let mut loops = Vec::<Loop>::new();
    if REQUIRED.iter().all(|column| table.has(column)) {
        for row in table.rows() {
            let before = problems.0.len();
            let found = Cells { table: &table, row, problems: &mut problems }.control_loop();
            if problems.0.len() > before {
                continue;
            }
            if loops.iter().any(|other| other.name == found.name) {
                let message = format!("there is another loop \"{}\"", found.name);
                problems.push(table.problem(row, "loop", message).hint("give each loop its own name"));
            }
            if let Some(other) = loops.iter().find(|other| other.out == found.out) {
                let message = format!("loop \"{}\" writes \"{}\" already", other.name, found.out);
                problems.push(table.problem(row, "out", message).hint("one tag has one writer"));
            }
            loops.push(found);
        }
        if table.rows().next().is_none() && problems.0.is_empty() {
            problems.push(table.problem_with_all("the table has no loop"));
        }
    }
    problems.or(loops)
}

/// The cells of one row; what is wrong with a cell is noted, and a harmless value takes its place.
struct Cells<'a> {
    table: &'a Table,
    row: Row<'a>,
    problems: &'a mut Problems,
}

impl Cells<'_> {
    fn control_loop(&mut self) -> Loop {
        let period = self.period();
        let (u_min, u_max, u0) = self.limits();
        let kp = self.required("kp").unwrap_or(0.0);
        if kp < 0.0 {
            let problem = self.table.problem(self.row, "kp", format!("expected a gain of at least 0, found {kp}"));
            self.problems.push(problem.hint("for cooling, set action to direct"));
        }
        let (ki, kd) = self.integral_and_derivative(kp);
        Loop {
            name: self.text("loop"),
            pv: self.text("pv"),
            out: self.text("out"),
            sp: self.setpoint(),
            period,
            params: PidParams {
                ts_s: period.as_secs_f64(),
                kp,
                ki,
                kd,
                tf_s: self.filter(kp, kd),
                b: self.at_least_zero("b").unwrap_or(1.0),
                bias: self.number("bias").unwrap_or(0.0),
                u_min,
                u_max,
                rate_up: self.more_than_zero("rate_up").unwrap_or(f64::INFINITY),
                rate_down: self.more_than_zero("rate_down").unwrap_or(f64::INFINITY),
                anti_windup: self.anti_windup(period),
                action: self.word("action", &[("reverse", Action::Reverse), ("direct", Action::Direct)]),
                i0: self.number("i0").unwrap_or(0.0),
                u0,
            },
        }
    }

    fn period(&mut self) -> Span {
        let period = match self.text("period").as_str() {
            "" => return Span::from_secs(1),
            text => Span::from_str(text),
        };
        match period {
            Ok(period) if period > Span::ZERO => return period,
            Ok(period) => self.wrong("period", format!("expected more than no time, found {period}")),
            Err(expected) => self.wrong("period", format!("expected {expected}")),
        }
        Span::from_secs(1)
    }

    /// `u_min`, `u_max` and `u0`.
    fn limits(&mut self) -> (f64, f64, f64) {
        let (least, greatest, first) = (self.required("u_min"), self.required("u_max"), self.number("u0"));
        let (Some(u_min), Some(u_max)) = (least, greatest) else { return (0.0, 0.0, 0.0) };
        if u_min >= u_max {
            self.wrong("u_max", format!("expected more than u_min = {u_min}, found {u_max}"));
        } else if let Some(u0) = first.filter(|u0| !(u_min..=u_max).contains(u0)) {
            self.wrong("u0", format!("expected a value from u_min = {u_min} to u_max = {u_max}, found {u0}"));
        }
        (u_min, u_max, first.unwrap_or(0f64.max(u_min).min(u_max)))
    }

    fn setpoint(&mut self) -> Setpoint {
        let text = self.text("sp");
        match (text.strip_prefix("tag:").map(str::trim), text.parse::<f64>()) {
            (Some(sensor), _) if !sensor.is_empty() => Setpoint::Sensor(sensor.to_owned()),
            (None, Ok(number)) if number.is_finite() => Setpoint::Fixed(number),
            _ if text.is_empty() => Setpoint::Fixed(0.0),
            _ => {
                let message =
                    format!("expected a number, or a sensor such as \"tag:oven1.setpoint\", found \"{text}\"");
                self.wrong("sp", message);
                Setpoint::Fixed(0.0)
            }
        }
    }

    fn integral_and_derivative(&mut self, kp: f64) -> (f64, f64) {
        let standard = self.word("form", &[("parallel", false), ("standard", true)]);
        let (own, others) = if standard { (["ti", "td"], ["ki", "kd"]) } else { (["ki", "kd"], ["ti", "td"]) };
        for column in others.into_iter().filter(|column| self.table.get(self.row, column).is_some()) {
            let (is, should) = if standard { ("standard", "parallel") } else { ("parallel", "standard") };
            let message = format!("the {is} form has no \"{column}\"");
            let problem = self.table.problem(self.row, column, message);
            self.problems.push(problem.hint(format!("set form to {should}, or use {} and {}", own[0], own[1])));
        }
        let [i, d] = own.map(|column| self.at_least_zero(column).unwrap_or(0.0));
        match standard {
            false => (i, d),
            true => (if i > 0.0 { kp / i } else { 0.0 }, kp * d),
        }
    }

    fn filter(&mut self, kp: f64, kd: f64) -> f64 {
        match (self.at_least_zero("tf"), self.more_than_zero("n")) {
            (Some(_), Some(_)) => self.wrong("n", "a filter has either tf or n".to_owned()),
            (Some(tf), None) => return tf,
            (None, Some(n)) if kp > 0.0 => return kd / (kp * n),
            (None, Some(_)) => self.wrong("n", "n needs a gain kp above 0; use tf".to_owned()),
            (None, None) => {}
        }
        0.0
    }

    fn anti_windup(&mut self, period: Span) -> AntiWindup {
        #[derive(Clone, Copy, PartialEq)]
        enum Word {
            Clamp,
            BackCalc,
            None,
        }
        let words = [("clamp", Word::Clamp), ("backcalc", Word::BackCalc), ("none", Word::None)];
        let word = self.word("anti_windup", &words);
        let tt = self.more_than_zero("tt");
        match (word, tt) {
            (Word::BackCalc, None) => self.wrong("tt", "anti_windup backcalc needs tt in seconds".to_owned()),
            (Word::BackCalc, Some(tt_s)) if tt_s < period.as_secs_f64() => {
                self.wrong("tt", format!("expected at least the period of {period}, found {tt_s} s"));
            }
            (Word::BackCalc, Some(tt_s)) => return AntiWindup::BackCalc { tt_s },
            (Word::Clamp | Word::None, Some(_)) => {
                self.wrong("tt", "tt is used by anti_windup backcalc only".to_owned());
            }
            (Word::None, None) => return AntiWindup::None,
            (Word::Clamp, None) => {}
        }
        AntiWindup::Clamp
    }

    /// The text of a required cell.
    fn text(&mut self, column: &str) -> String {
        let found = self.table.get(self.row, column).map(str::to_owned);
        found.unwrap_or_else(|| {
            self.wrong(column, format!("\"{column}\" is empty"));
            String::new()
        })
    }

    fn number(&mut self, column: &str) -> Option<f64> {
        let text = self.table.get(self.row, column)?.to_owned();
        let number = text.parse().ok().filter(|n: &f64| n.is_finite());
        if number.is_none() {
            self.wrong(column, format!("expected a number, found \"{text}\""));
        }
        number
    }

    fn required(&mut self, column: &str) -> Option<f64> {
        if self.text(column).is_empty() { None } else { self.number(column) }
    }

    fn at_least_zero(&mut self, column: &str) -> Option<f64> {
        let number = self.number(column)?;
        if number < 0.0 {
            self.wrong(column, format!("expected a number of at least 0, found {number}"));
        }
        Some(number)
    }

    fn more_than_zero(&mut self, column: &str) -> Option<f64> {
        let number = self.number(column)?;
        if number <= 0.0 {
            self.wrong(column, format!("expected a number above 0, found {number}"));
        }
        Some(number)
    }

    /// What the word in a cell stands for; the first of `words` if it is empty.
    fn word<T: Copy>(&mut self, column: &str, words: &[(&str, T)]) -> T {
        let text = self.table.get(self.row, column).unwrap_or(words[0].0);
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let problem = self.table.problem(self.row, column, format!("unknown {column} \"{text}\""));
            self.problems.push(problem.hint(did_you_mean(text, words.iter().map(|(word, _)| *word))));
        }
        found.unwrap_or(&words[0]).1
    }

    fn wrong(&mut self, column: &str, message: String) {
        self.problems.push(self.table.problem(self.row, column, message));
    }
}
