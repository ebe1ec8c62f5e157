//! How cost grows, as plots: on a page with its table, and as one picture to put into another page.
//!
//! The picture has its colours in it, light or dark as its reader's machine is, and paints its own ground: a page on a code host
//! may be light where the machine is dark.

use super::axis::{Axis, scaled};
use super::chart::{Chart, HEIGHT, Line, WIDTH};
use super::colour;
use super::mark::{At, Mark, Shape};
use super::page::{Page, STYLE};
use crate::report::table::escaped;
use crate::report::terminal;
use crate::report::units::plain;
use crate::sweep::{Each, Measured, Point, Quantiles, Sweep};

/// The picture: two charts beside each other, with room around them, and a heading of two lines.
const MARGIN: f64 = 16.0;
const GAP: f64 = 24.0;
const HEAD: f64 = 58.0;
const TITLE: f64 = 22.0;
/// Rules of the page that are of charts begin so.
const OF_CHARTS: [&str; 5] = ["svg text", "text.", ".grid", ".axis", ".line"];
/// What the page sets for all that is in it.
const PICTURE: &str = "svg { font: 12.5px system-ui, \"Segoe UI\", Roboto, \"Helvetica Neue\", \"Liberation Sans\", Arial, sans-serif; \
    font-variant-numeric: tabular-nums; }\n.paper { fill: var(--paper); }\nsvg text.head { font-size: 17px; font-weight: 650; \
    fill: var(--ink); }\nsvg text.title { font-size: 13.5px; font-weight: 600; fill: var(--ink); }\n";

/// A quantile of a latency.
type Quantile = fn(&Quantiles) -> f64;
const QUANTILES: [(&str, Quantile); 2] = [("p99", |of| of.p99), ("p50", |of| of.p50)];

/// How to read the page; stands at its foot.
const METHOD: &str = "Each point is a run of its own with a fresh engine. Messages are sent when they are due, whether or not the \
    engine keeps up, and latency counts from when a message was due. On two logarithmic axes what grows in proportion rises \
    by one power of ten for each, and what does not grow is level.";

/// The runs as a page.
pub fn curves_html(sweep: &Sweep) -> String {
    let charts: String = charts(sweep).iter().map(Chart::html).collect();
    Page {
        title: &sweep.case,
        held: None,
        verdict: &format!("over {}", sweep.parameter),
        goal: "",
        facts: &[sweep.conditions(), terminal::machine(&sweep.machine)],
        body: &format!(
            "<div class=\"tables\">\n{}</div>\n<div class=\"charts\">\n{charts}</div>\n",
            sweep.table().html()
        ),
        foot: METHOD,
    }
    .html()
}

/// The plots of the runs as one picture.
pub fn curves_svg(sweep: &Sweep) -> String {
    let charts = charts(sweep);
    let width = 2.0 * WIDTH + GAP + 2.0 * MARGIN;
    let height = HEAD + charts.len().div_ceil(2) as f64 * (TITLE + HEIGHT + GAP / 2.0) + MARGIN / 2.0;
    let heading = escaped(&heading(sweep));
    let facts = [sweep.conditions(), terminal::machine(&sweep.machine)];
    let facts = facts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{heading}\">\n<style>\n{style}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"26\">{heading}</text>\n\
         <text x=\"{MARGIN}\" y=\"45\">{facts}</text>\n",
        style = style(),
        facts = escaped(&facts),
    );
    for (at, chart) in charts.iter().enumerate() {
        let x = MARGIN + (at % 2) as f64 * (WIDTH + GAP);
        let y = HEAD + (at / 2) as f64 * (TITLE + HEIGHT + GAP / 2.0);
        svg += &format!("<text class=\"title\" x=\"{x}\" y=\"{:.1}\">{}</text>\n", y + 15.0, escaped(&chart.title));
        svg += &chart.svg(&format!("x=\"{x}\" y=\"{:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" ", y + TITLE));
    }
    svg + "</svg>\n"
}

fn heading(sweep: &Sweep) -> String {
    format!("{} over {}", sweep.case, sweep.parameter)
}

/// The rules of the charts with the colours of the page filled in, since not every reader of pictures knows variables: light, and
/// dark where the machine is.
fn style() -> String {
    let rules = STYLE.lines().filter(|line| OF_CHARTS.iter().any(|begin| line.starts_with(begin)));
    let rules = format!("{PICTURE}{}\n", rules.collect::<Vec<_>>().join("\n"));
    let with = |palette: Option<&str>| {
        let colours = palette.unwrap_or_default().split('}').next().unwrap_or_default().split(';');
        let colours = colours.filter_map(|one| one.trim().strip_prefix("--")?.split_once(": "));
        colours.fold(rules.clone(), |rules, (name, colour)| rules.replace(&format!("var(--{name})"), colour))
    };
    let mut palettes = STYLE.split(":root {").skip(1);
    let light = with(palettes.next());
    format!("{light}@media (prefers-color-scheme: dark) {{\n{}}}\n", with(palettes.next()))
}

/// All charts of the runs that have something to show.
fn charts(sweep: &Sweep) -> Vec<Chart> {
    if sweep.points.iter().all(|point| point.median.is_none()) {
        return Vec::new();
    }
    let one = |of: fn(&Measured) -> f64| vec![line(sweep, "", "arrived", &|of_point| Some(of(of_point)))];
    let each = match sweep.each {
        Each::Message => "CPU of the engine for each message".to_owned(),
        Each::Value => format!("CPU of the engine a second, for each of {}", sweep.parameter),
    };
    let percents = |least, greatest| Axis::powers(least, greatest, |percent| format!("{} %", plain(percent)));
    let bytes = |least, greatest| Axis::powers(least, greatest, |bytes| format!("{}B", scaled(bytes)));
    let mut charts = vec![
        chart(sweep, "CPU of the engine, of one core", one(|of| of.cpu_percent), percents),
        chart(sweep, &each, one(|of| of.cpu_micros_each), Axis::delays),
    ];
    let mut delays = Vec::new();
    for name in sweep.watches() {
        for (word, of) in QUANTILES {
            let value = |measured: &Measured| measured.latencies.get(name).map(of);
            delays.push(line(sweep, &format!("{name} {word}"), &colour(delays.len()), &value));
        }
    }
    if !delays.is_empty() {
        charts.push(chart(sweep, "Latency, from when it was due", delays, Axis::delays));
    }
    charts.push(chart(sweep, "Memory of the engine (RSS), most", one(|of| of.rss_bytes), bytes));
    charts
}

/// Lines over the values, each point a dot.
fn chart(sweep: &Sweep, title: &str, lines: Vec<Line>, y: impl Fn(f64, f64) -> Axis) -> Chart {
    let points = || lines.iter().flat_map(|line| line.points.iter().flatten().map(move |point| (line, *point)));
    let heights = points().map(|(_, (_, y))| y);
    let (least, greatest) = heights.fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), y| (a.min(y), b.max(y)));
    let dot = |(line, (x, y)): (&Line, (f64, f64))| Mark {
        name: String::new(),
        class: line.class.clone(),
        at: At::Point(Shape::Dot, x, y),
    };
    let places = sweep.points.iter().map(|point| (point.amount, short(&point.value)));
    Chart {
        title: format!("{title}, over {}", sweep.parameter),
        note: String::new(),
        x: Axis::values(&places.collect::<Vec<_>>()),
        y: y(least, greatest),
        marks: points().map(dot).collect(),
        lines,
    }
}

/// A line through all points.
fn line(sweep: &Sweep, name: &str, class: &str, of: &dyn Fn(&Measured) -> Option<f64>) -> Line {
    let mut points: Vec<&Point> = sweep.points.iter().collect();
    points.sort_by(|a, b| a.amount.total_cmp(&b.amount));
    let place = |point: &&Point| Some((point.amount, point.median.as_ref().and_then(of)?));
    Line { name: name.to_owned(), class: class.to_owned(), points: points.iter().map(place).collect() }
}

/// A value as it is written below its place: `1 k` for 1000; a duration stays.
fn short(value: &str) -> String {
    value.parse().map_or_else(|_| value.to_owned(), scaled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::tests::check;
    use crate::sweep::tests::sample;

    #[test]
    fn a_picture_has_its_colours_in_it_and_needs_nothing_else() {
        let svg = curves_svg(&sample());
        assert!(!svg.contains("var(") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 5);
        assert_eq!(svg.matches("</svg>").count(), 5);
        assert_eq!(svg.matches("prefers-color-scheme: dark").count(), 1);
        for outside in ["<script", "href", "https:", "url(", "@import"] {
            assert!(!svg.contains(outside), "{outside}");
        }
        assert!(svg.contains(">100 k</text>") && svg.contains(">10 %</text>") && svg.contains(">window p99</text>"));
    }

    #[test]
    fn a_page_has_the_table_and_the_same_charts() {
        let page = curves_html(&sample());
        check(&page);
        assert_eq!((page.matches("<figure>").count(), page.matches("<table>").count()), (4, 1));
        assert!(page.contains("<title>tumbling: over sensors</title>"));
    }

    #[test]
    fn a_value_is_written_short_and_a_duration_as_it_is() {
        assert_eq!(["100", "2500", "1000000", "250ms"].map(short), ["100", "2.5 k", "1 M", "250ms"]);
    }
}
