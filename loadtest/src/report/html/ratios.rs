//! A comparison as a page: for each thing that was measured, the ratio of each pair of runs, their median, and the ends between which it
//! lies.

use super::axis::Axis;
use super::page::Page;
use crate::compare::{Comparison, Finding, Measure};
use crate::report::table::escaped;
use crate::report::terminal;
use crate::report::units::fixed;

/// The size in which it is drawn; the page scales it.
const WIDTH: f64 = 1040.0;
const ROW: f64 = 26.0;
const TOP: f64 = 26.0;
/// Room for names at the left, and for what follows at the right.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 210.0;
/// Names are cut behind so many characters; the table has them in full.
const NAME_LENGTH: usize = 24;

const METHOD: &str = "The two are run in turn as A B B A, and each run is compared only with its neighbour. Dots: the ratio of each pair. Upright: \
    their median. Bar: between these ends lie 99 of 100 such medians when pairs are drawn anew, with repetition. Where 1 lies in the bar, the \
    difference is within noise. A comparison looks at some ten things at once: one that differs alone may be chance.";

/// The comparison as a page.
pub fn comparison_html(comparison: &Comparison) -> String {
    let [a, b] = comparison.sides();
    let drawn = if comparison.measures.is_empty() { String::new() } else { figure(&comparison.measures) };
    Page {
        title: &comparison.case,
        held: None,
        verdict: &comparison.title(),
        goal: &comparison.goal,
        facts: &[a, b, terminal::machine(&comparison.machine)],
        body: &format!("{drawn}<div class=\"tables\">\n{}</div>\n", comparison.table().html()),
        foot: METHOD,
    }
    .html()
}

fn figure(measures: &[Measure]) -> String {
    let values =
        || measures.iter().flat_map(|m| m.pairs.iter().copied().chain([m.ends.0, m.ends.1])).filter(|v| *v > 0.0);
    let axis = Axis::ratios(values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let x = |ratio: f64| LEFT + axis.place(ratio) * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + ROW * measures.len() as f64;
    let mut svg = format!(
        "<figure class=\"wide\"><figcaption>B / A <small>dots: pairs; bar: 99 % of medians; left of 1: B has less</small></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {:.1}\" role=\"img\" aria-label=\"B / A\">\n",
        bottom + 4.0
    );
    for tick in &axis.ticks {
        let at = LEFT + tick.at * (WIDTH - LEFT - RIGHT);
        svg += &format!("<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom:.1}\"/>");
        svg += &format!("<text class=\"x\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>\n", TOP - 9.0, tick.label);
    }
    svg += &format!("<path class=\"one\" d=\"M{:.1} {TOP}V{bottom:.1}\"/>\n", x(1.0));
    for (at, measure) in measures.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let class = match measure.finding {
            Finding::Lower | Finding::Higher => "finding",
            Finding::WithinNoise | Finding::TooFewPairs => "noise",
        };
        let name = measure.name.chars().take(NAME_LENGTH).collect::<String>();
        let (from, to, median) = (x(measure.ends.0), x(measure.ends.1), x(measure.ratio));
        svg += &format!("<text class=\"row\" x=\"0\" y=\"{:.1}\">{}</text>", y + 4.0, escaped(&name));
        svg += &format!("<path class=\"spread {class}\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>");
        let pairs: String = measure.pairs.iter().map(|ratio| format!("M{:.1} {y:.1}h0", x(*ratio))).collect();
        svg += &format!("<path class=\"pair\" d=\"{pairs}\"/>");
        svg += &format!("<path class=\"median\" d=\"M{median:.1} {:.1}v14\"/>", y - 7.0);
        svg += &format!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{} {}</text>\n",
            WIDTH - RIGHT + 12.0,
            y + 4.0,
            fixed(measure.ratio, 3),
            measure.finding.words()
        );
    }
    svg + "</svg>\n</figure>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::compared;

    #[test]
    fn each_measure_is_a_row_with_its_pairs() {
        let comparison = compared(8, 0.9, 0.01);
        let page = comparison_html(&comparison);
        super::super::tests::check(&page);
        assert_eq!(page.matches("class=\"spread ").count(), comparison.measures.len());
        assert!(page.contains("0.894 lower</text>"));
        let pairs = page.split("class=\"pair\" d=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(pairs.map(|path| path.matches('M').count()), Some(8));
    }

    #[test]
    fn nothing_compared_is_still_a_page() {
        super::super::tests::check(&comparison_html(&compared(0, 1.0, 0.0)));
    }
}
