//! A search for the highest rate as a page: each rate that was tried against what came of it, with the limits and the answer as lines.

use super::axis::Axis;
use super::chart::{Chart, Line};
use super::mark::{At, Mark, Shape};
use super::page::Page;
use crate::report::terminal;
use crate::report::units::{digits, micros, set};
use crate::search::{Sought, Trial, Verdict};

const METHOD: &str = "Each rate is run until one verdict has come twice. Rates are doubled until one does not hold, then the gap is halved \
    until it is 5 %. Latency counts from when a message was due. A rate of which the feed sent less than 99 % says nothing of the engine.";

/// The search as a page.
pub fn search_html(sought: &Sought) -> String {
    let mut charts = String::new();
    for name in names(sought) {
        charts += &p99(sought, name).html();
    }
    charts += &cpu(sought).html();
    let asked = sought.p99_max.map(|most| format!("every p99 at most {}", set(most)));
    Page {
        title: &sought.case,
        held: Some(sought.search.highest().is_some()),
        verdict: &sought.search.answer(),
        goal: &sought.goal,
        facts: &[asked.unwrap_or_default(), terminal::machine(&sought.machine)],
        body: &format!(
            "<div class=\"charts\">\n{charts}</div>\n<div class=\"tables\">\n{}</div>\n",
            sought.search.table().html()
        ),
        foot: METHOD,
    }
    .html()
}

/// All latencies that any run had, by name.
fn names(sought: &Sought) -> Vec<&str> {
    let names = sought.search.trials().iter().flat_map(|trial| trial.p99s.keys());
    let mut names = names.map(String::as_str).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

fn p99(sought: &Sought, name: &str) -> Chart {
    let found = |trial: &Trial| trial.p99s.get(name).map(|p99| p99.found);
    let most = |trial: &Trial| trial.p99s.get(name).and_then(|p99| p99.most);
    let trials = sought.search.trials();
    let values: Vec<f64> = trials.iter().flat_map(|trial| [found(trial), most(trial)]).flatten().collect();
    let mut lines = Vec::new();
    let mut marks = highest(sought);
    marks.extend(points(trials, found));
    let mut bounds: Vec<_> = trials.iter().filter_map(|trial| Some((trial.rate, most(trial)?))).collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    match bounds.first() {
        Some((_, first)) if bounds.iter().all(|(_, bound)| bound == first) => marks.push(Mark {
            name: format!("at most {}", micros(*first)),
            class: "limit".to_owned(),
            at: At::Height(*first),
        }),
        // One that follows from what was measured beside it is another in each run.
        _ => lines.push(Line {
            name: "limit".to_owned(),
            class: "mark limit".to_owned(),
            points: bounds.into_iter().map(Some).collect(),
        }),
    }
    Chart {
        title: format!("Latency p99: {name}"),
        note: KEY.to_owned(),
        x: rates(trials),
        y: Axis::delays(
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(0.0, f64::max),
        ),
        lines,
        marks,
    }
}

fn cpu(sought: &Sought) -> Chart {
    let trials = sought.search.trials();
    // What broke down has no processor time.
    let of = |trial: &Trial| (trial.cpu_percent > 0.0).then_some(trial.cpu_percent);
    Chart {
        title: "CPU of the engine, of one core".to_owned(),
        note: KEY.to_owned(),
        x: rates(trials),
        y: Axis::amounts(trials.iter().filter_map(of).fold(0.0, f64::max), " %"),
        lines: Vec::new(),
        marks: highest(sought).into_iter().chain(points(trials, of)).collect(),
    }
}

const KEY: &str = "by rate: ● held, × missed, ○ not sent";

fn rates(trials: &[Trial]) -> Axis {
    let rates = || trials.iter().map(|trial| trial.rate);
    Axis::rates(rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max))
}

/// A point for each run, told apart by its verdict.
fn points(trials: &[Trial], of: impl Fn(&Trial) -> Option<f64>) -> Vec<Mark> {
    let point = |trial: &Trial| {
        let (class, shape) = match trial.verdict {
            Verdict::Held => ("held", Shape::Dot),
            Verdict::Missed => ("missed", Shape::Cross),
            Verdict::NotSent => ("unsent", Shape::Ring),
        };
        let at = At::Point(shape, trial.rate, of(trial)?);
        Some(Mark { name: String::new(), class: class.to_owned(), at })
    };
    trials.iter().filter_map(point).collect()
}

fn highest(sought: &Sought) -> Vec<Mark> {
    let mark =
        |rate: f64| Mark { name: format!("{}/s hold", digits(rate)), class: "highest".to_owned(), at: At::Place(rate) };
    sought.search.highest().map(mark).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::outcome::Machine;
    use crate::search::{P99, Range, Search};

    pub(crate) fn sought(p99_max: Option<f64>) -> Sought {
        let mut search = Search::new(Range { first: 10_000.0, least: 100.0, most: 10_000_000.0 });
        while let Some(rate) = search.next() {
            let found = 900.0 + (rate / 9_000.0).exp() * (1.0 + search.trials().len() as f64 / 40.0);
            let held = found <= 10_000.0;
            let p99s = BTreeMap::from([("alarm <1>".to_owned(), P99 { found, most: Some(10_000.0) })]);
            search.tell(Trial {
                rate,
                verdict: if held { Verdict::Held } else { Verdict::Missed },
                p99: found,
                p99s,
                cpu_percent: rate / 1_000.0,
                missed: None,
            });
        }
        Sought {
            case: "tumbling".to_owned(),
            goal: "windows of a second".to_owned(),
            p99_max,
            machine: Machine { engine: "lineside 0.1.0".to_owned(), ..Machine::default() },
            search,
        }
    }

    #[test]
    fn each_run_is_a_point_and_limit_and_answer_are_lines() {
        let sought = sought(Some(10_000.0));
        let page = search_html(&sought);
        super::super::tests::check(&page);
        assert!(page.contains("Latency p99: alarm &lt;1&gt;"));
        assert_eq!((page.matches("mark limit").count(), page.matches("mark highest").count()), (1, 2));
        let count = |verdict| sought.search.trials().iter().filter(|trial| trial.verdict == verdict).count();
        // Once over the latency, once over the processor.
        assert_eq!(page.matches("class=\"line dot held\"").count(), 2 * count(Verdict::Held));
        assert_eq!(page.matches("class=\"line missed\"").count(), 2 * count(Verdict::Missed));
    }

    #[test]
    fn nothing_tried_is_still_a_page() {
        let search = Search::new(Range { first: 1.0, least: 1.0, most: 2.0 });
        super::super::tests::check(&search_html(&Sought { search, ..sought(None) }));
    }
}
