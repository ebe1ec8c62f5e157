//! The frame of a page: what it is about and what came of it at the top, how to read it at its foot.

use crate::report::table::escaped;

/// Colours and rules of pages and charts.
pub(super) const STYLE: &str = include_str!("style.css");

/// A page. All but the body is text.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// What it is about, such as the case.
    pub(super) title: &'a str,
    /// Whether what was wanted was held, where that is the question.
    pub(super) held: Option<bool>,
    /// What came of it, one line.
    pub(super) verdict: &'a str,
    /// What the case is to show; may be empty.
    pub(super) goal: &'a str,
    /// How and on what it was measured, each on a line of its own.
    pub(super) facts: &'a [String],
    /// Tables and charts, as HTML.
    pub(super) body: &'a str,
    /// How to read it.
    pub(super) foot: &'a str,
}

impl Page<'_> {
    pub(super) fn html(&self) -> String {
        let (held, mark) = match self.held {
            None => ("", ""),
            Some(true) => ("yes", "✓ "),
            Some(false) => ("no", "✗ "),
        };
        let facts: Vec<_> = self.facts.iter().filter(|fact| !fact.is_empty()).map(|fact| escaped(fact)).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>{title}</h1><p class=\"verdict {held}\">{mark}{verdict}</p>\n<p>{goal}</p>\n\
             <p class=\"facts\">{facts}</p></header>\n\
             <main>\n{body}</main>\n<footer>{foot}</footer>\n</body>\n</html>\n",
            title = escaped(self.title),
            verdict = escaped(self.verdict),
            goal = escaped(self.goal),
            facts = facts.join("<br>"),
            body = self.body,
            foot = escaped(self.foot),
        )
    }
}
