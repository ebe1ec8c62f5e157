//! An outcome as one page of HTML, to look at, print and hang up: tables and charts, light or dark as the reader's machine is,
//! without a script and without any other file.

mod axis;
mod chart;
mod charts;

use super::table::{Table, escaped};
use super::{tables, terminal};
use crate::outcome::Outcome;

const STYLE: &str = include_str!("style.css");

/// How to read it; stands at its foot.
const METHOD: &str = "Messages are sent when they are due, whether or not the engine keeps up, and latency counts from when a \
    message was due: a stall counts for all that came due in it. Every message is numbered; lost are those that neither arrived \
    nor are told of by the engine.";

/// The outcome as a page.
pub fn html(outcome: &Outcome) -> String {
    let (held, mark) = match (outcome.limits.is_empty(), outcome.held()) {
        (true, _) => ("", ""),
        (false, true) => ("yes", "✓ "),
        (false, false) => ("no", "✗ "),
    };
    let measured: String = tables::measured(outcome).iter().map(Table::html).collect();
    let told: String = tables::told(outcome).iter().map(Table::html).collect();
    let charts: String = charts::of(outcome).iter().map(chart::Chart::html).collect();
    let name = escaped(&outcome.case);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{name}</h1><p class=\"verdict {held}\">{mark}{verdict}</p>\n<p>{goal}</p>\n\
         <p class=\"facts\">{conditions}<br>{machine}</p></header>\n\
         <main>\n<div class=\"tables\">\n{measured}</div>\n<div class=\"charts\">\n{charts}</div>\n\
         <div class=\"tables\">\n{told}</div>\n</main>\n<footer>{METHOD}</footer>\n</body>\n</html>\n",
        verdict = escaped(&tables::verdict(outcome)),
        goal = escaped(&outcome.goal),
        conditions = escaped(&terminal::conditions(outcome)),
        machine = escaped(&terminal::machine(&outcome.machine)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// The elements of a page that are open at its end, by a reader that knows only what stands alone.
    fn unclosed(page: &str) -> Vec<&str> {
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            let name = tag.split(' ').next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "closed in order"),
                None if tag.ends_with('/') || ["!doctype", "meta", "br"].contains(&name) => {}
                None => open.push(name),
            }
        }
        open
    }

    #[test]
    fn a_page_is_whole_and_needs_nothing_else() {
        let page = html(&sample::outcome());
        assert_eq!(unclosed(&page), [""; 0]);
        for outside in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<figure>").count(), 8);
        assert!(!page.contains("NaN") && !page.contains("inf"), "every place in a chart is a number");
    }

    #[test]
    fn what_a_case_says_is_never_markup() {
        let mut outcome = sample::outcome();
        outcome.goal = "p99 < 10 ms & <b>nothing</b> lost".to_owned();
        let latency = outcome.latencies.remove("alarm").unwrap();
        outcome.latencies.insert("alarm <i>\"1\"".to_owned(), latency);
        let page = html(&outcome);
        assert!(page.contains("p99 &lt; 10 ms &amp; &lt;b&gt;nothing&lt;/b&gt; lost"));
        assert!(page.contains("<td>alarm &lt;i&gt;&quot;1&quot;</td>"));
        assert_eq!(unclosed(&page), [""; 0]);
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let page = html(&Outcome { case: "idle".to_owned(), ..Outcome::default() });
        assert_eq!(unclosed(&page), [""; 0]);
        assert!(page.contains("measured; nothing was to be held"));
        assert!(!page.contains("<figure>") && !page.contains("<table>"));
    }
}
