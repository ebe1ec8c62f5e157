//! Control charts over recorded sensors: the alarms are those of an independent reference, see `tests/data/spc/README.md`.

use lineside_model::{Quality, Span, Timestamp};

use crate::kit::{Row, Seen, batch, plan};

/// A recorded sensor, and the settings of its charts.
struct Trace {
    name: &'static str,
    readings: &'static str,
    alarms: &'static str,
    mean: f64,
    sigma: f64,
    /// How late readings of it are at most.
    disorder: Span,
}

const TRACES: [Trace; 2] = [
    Trace {
        name: "nab",
        readings: include_str!("../data/spc/nab.csv"),
        alarms: include_str!("../data/spc/nab.alarms.csv"),
        mean: 85.25,
        sigma: 7.75,
        disorder: Span::from_secs(3_600),
    },
    Trace {
        name: "steel",
        readings: include_str!("../data/spc/steel.csv"),
        alarms: include_str!("../data/spc/steel.alarms.csv"),
        mean: 36.0,
        sigma: 45.0,
        disorder: Span::from_secs(86_400),
    },
];

fn lines(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

impl Trace {
    fn readings(&self) -> Vec<Row> {
        let row = |cells: Vec<String>| {
            let ts = Timestamp(cells[0].parse().expect("a time"));
            let value = Some(cells[1].parse().expect("a value"));
            Row { ts, sensor: self.name.to_owned(), value, quality: Quality::Good, received_at: ts }
        };
        lines(self.readings).into_iter().map(row).collect()
    }

    fn expected(&self, chart: &str) -> Vec<String> {
        let alarms = lines(self.alarms);
        let of_chart = alarms.into_iter().filter(|cells| cells[0] == chart);
        of_chart.map(|cells| format!("{} {} {}", cells[1], cells[2], cells[3])).collect()
    }

    /// Runs operators one behind the other, the watermark told every hundred readings.
    fn run(&self, stages: &[(&str, String)]) -> Seen {
        let mut rows = self.readings();
        let (last, first) = stages.split_last().expect("there is an operator");
        for (kind, options) in first {
            rows = self.stage(&rows, kind, options).rows.iter().map(|cells| self.derived(cells)).collect();
        }
        self.stage(&rows, last.0, &last.1)
    }

    fn derived(&self, cells: &[String]) -> Row {
        let ts = Timestamp(cells[0].parse::<Span>().expect("a time").micros());
        Row { ts, sensor: self.name.to_owned(), value: cells[2].parse().ok(), quality: Quality::Good, received_at: ts }
    }

    fn stage(&self, rows: &[Row], kind: &str, options: &str) -> Seen {
        let planned = plan(kind, options, "").expect("the options are right");
        let mut operator = (planned.build)();
        let mut seen = Seen::default();
        let mut newest = Timestamp::MIN;
        for some in rows.chunks(100) {
            operator.process(0, batch(some), &mut seen).expect("rows are no error");
            newest = some.iter().map(|row| row.ts).fold(newest, Ord::max);
            operator.advance(newest - self.disorder, &mut seen).expect("time is no error");
        }
        operator.advance(Timestamp::MAX, &mut seen).expect("time is no error");
        assert!(seen.dropped.is_empty(), "{} rows were lost: {:?}", self.name, seen.dropped);
        seen
    }
}

/// `time rule side` of each row, of which these cells are the rule and the side.
fn alarms(seen: &Seen, rule: Option<usize>, side: usize) -> Vec<String> {
    let alarm = |cells: &Vec<String>| {
        let ts = cells[0].parse::<Span>().expect("a time").micros();
        let side = match cells[side].as_str() {
            "high" => "up",
            "low" => "down",
            "-" => "",
            other => other,
        };
        format!("{ts} {} {side}", rule.map_or("", |rule| &cells[rule]))
    };
    let mut alarms = seen.rows.iter().map(alarm).collect::<Vec<_>>();
    alarms.sort();
    alarms
}

fn sorted(mut alarms: Vec<String>) -> Vec<String> {
    alarms.sort();
    assert!(alarms.len() > 2, "the reference found alarms");
    alarms
}

#[test]
fn control_charts_find_what_the_reference_finds() {
    for trace in &TRACES {
        for rules in ["nelson", "western_electric"] {
            let options = format!("rules = \"{rules}\"\nmean = {:?}\nsigma = {:?}", trace.mean, trace.sigma);
            let seen = trace.run(&[("control_chart", options)]);
            assert_eq!(alarms(&seen, Some(2), 3), sorted(trace.expected(rules)), "{} {rules}", trace.name);
        }
    }
}

#[test]
fn cumulative_sums_find_what_the_reference_finds() {
    for trace in &TRACES {
        for (chart, reset) in [("cusum", false), ("cusum_reset", true)] {
            let (target, sigma) = (trace.mean, trace.sigma);
            let options = format!("target = {target:?}\nsigma = {sigma:?}\nk = 0.5\nh = 5.0\nreset = {reset}");
            let seen = trace.run(&[("cusum", options)]);
            assert_eq!(alarms(&seen, None, 2), sorted(trace.expected(chart)), "{} {chart}", trace.name);
        }
    }
}

#[test]
fn an_alarm_behind_an_ewma_is_the_chart_of_the_reference() {
    for trace in &TRACES {
        let half = 2.7 * trace.sigma * (0.2_f64 / 1.8).sqrt();
        let smooth = format!("alpha = 0.2\nstart = {:?}", trace.mean);
        let limits = format!("high = {:?}\nlow = {:?}", trace.mean + half, trace.mean - half);
        let seen = trace.run(&[("ewma", smooth), ("alarm", limits)]);
        let raised = Seen { rows: seen.rows.into_iter().filter(|cells| cells[2] == "raised").collect(), ..seen };
        assert_eq!(alarms(&raised, None, 3), sorted(trace.expected("ewma")), "{}", trace.name);
    }
}
