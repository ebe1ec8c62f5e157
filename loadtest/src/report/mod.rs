//! Tells what a run measured: as a table in the terminal, as a JSON file for programs, and as one page to print and hang up.
//!
//! What `max-rate` and `compare` found is told on pages of the same look.
//!
//! All three are made of an [`Outcome`](crate::outcome::Outcome) alone, so a page can be made again from a JSON file of last year.
//! Terminal and page show the same tables, in the same order: what was to be held comes first.

mod counters;
mod html;
mod json;
pub(crate) mod table;
mod tables;
mod terminal;
pub mod units;

pub use html::{comparison_html, curves_html, curves_svg, html, search_html};
pub use json::{json, read_json};
pub use terminal::terminal;

#[cfg(test)]
pub(crate) mod sample;
