//! An outcome as one page of HTML, to look at, print and hang up: tables and charts, light or dark as the reader's machine is,
//! without a script and without any other file.

mod axis;
mod bars;
mod chart;
mod charts;
mod curves;
mod mark;
mod page;
mod ratios;
mod search;
mod stages;

use super::counters::Counters;
use super::table::Table;
use super::{tables, terminal};
use crate::outcome::Outcome;
use charts::colour;
use page::Page;

pub use curves::{curves_html, curves_svg};
pub use ratios::comparison_html;
pub use search::search_html;

/// How to read it; stands at its foot.
const METHOD: &str = "Messages are sent when they are due, whether or not the engine keeps up, and latency counts from when a \
    message was due: a stall counts for all that came due in it. Every message is numbered; lost are those that neither arrived \
    nor are told of by the engine.";

/// The outcome as a page.
pub fn html(outcome: &Outcome) -> String {
    let measured: String = tables::measured(outcome).iter().map(Table::html).collect();
    let told: String = tables::told(outcome).iter().map(Table::html).collect();
    let charts: String = charts::of(outcome).iter().map(chart::Chart::html).collect();
    let stages = stages::figure(&Counters::of(&outcome.engine));
    Page {
        title: &outcome.case,
        held: (!outcome.limits.is_empty()).then(|| outcome.held()),
        verdict: &tables::verdict(outcome),
        goal: &outcome.goal,
        facts: &[terminal::conditions(outcome), terminal::machine(&outcome.machine)],
        body: &format!(
            "<div class=\"tables\">\n{measured}</div>\n<div class=\"charts\">\n{charts}</div>\n{stages}\
             <div class=\"tables\">\n{told}</div>\n"
        ),
        foot: METHOD,
    }
    .html()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::sample;

    /// Whether a page is whole and needs nothing else.
    pub(super) fn check(page: &str) {
        assert_eq!(unclosed(page), [""; 0]);
        for outside in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf"), "every place in a chart is a number");
    }

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
        check(&page);
        assert_eq!(page.matches("<figure>").count(), 8);
        assert_eq!(page.matches("<figure class=\"wide\">").count(), 1);
    }

    #[test]
    fn a_limit_is_drawn_where_it_is_of_something_drawn() {
        let page = html(&sample::outcome());
        assert_eq!(page.matches("class=\"mark limit\"").count(), 2);
        assert_eq!(page.matches("class=\"bar ").count(), 2);
        assert!(page.contains(">p99 at most 50 ms</text>"));
        let mut outcome = sample::outcome();
        outcome.limits[1].name = "engine rss".to_owned();
        outcome.limits[1].bound = Some(1e9);
        assert!(html(&outcome).contains("limit: at most 1,000 MB"), "one far above is said");
        outcome.limits[1].bound = Some(64e6);
        assert!(html(&outcome).contains(">at most 64 MB</text>"));
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
