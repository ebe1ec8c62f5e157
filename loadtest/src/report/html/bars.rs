//! Bars from left to right: what each object took, stage by stage, as one bar for each quantile, with its numbers behind it.
//!
//! Each bar has a scale of its own, from nothing to what it comes to or is a part of.

use crate::report::table::escaped;
use crate::report::units::{digits, tenths};

/// The size in which it is drawn; the page scales it.
const WIDTH: f64 = 1040.0;
/// Room for names at the left, for the quantile behind them, and for numbers at the right.
const NAMES: f64 = 170.0;
const LEFT: f64 = 206.0;
const RIGHT: f64 = 270.0;
/// The legend, and the labels of the axis below it.
const LEGEND: f64 = 14.0;
const TOP: f64 = 50.0;
const ROW: f64 = 19.0;
pub(super) const BAR: f64 = 13.0;
/// Between two objects.
const GAP: f64 = 9.0;
/// What a character takes, about the most of all fonts it may be shown in.
const CHARACTER: f64 = 7.2;
/// Names are cut behind so many characters; the table has them in full.
const NAME_LENGTH: usize = 21;

/// The bars of one object: what they are made of, at each quantile.
#[derive(Debug)]
pub(super) struct Group {
    /// What it is called.
    pub(super) name: String,
    /// What it is, such as `source`.
    pub(super) what: &'static str,
    /// Whether any of it was measured so seldom that nobody knows its p99.
    pub(super) few: bool,
    /// One for each quantile.
    pub(super) bars: [Bar; 2],
}

/// What it took, at one quantile.
#[derive(Debug)]
pub(super) struct Bar {
    /// The quantile, such as `p99`.
    pub(super) quantile: &'static str,
    /// Name, class and microseconds of each part, in the order of the way.
    pub(super) parts: Vec<(&'static str, &'static str, f64)>,
    /// What the parts are a part of, in microseconds.
    pub(super) whole: Option<f64>,
}

/// The bars of all objects as SVG, with an axis and a legend: what each class of parts is, in the order of the way, and what they
/// are a part of.
pub(super) fn svg(title: &str, groups: &[Group], classes: &[(&str, &str)], whole: &str) -> String {
    let height = TOP + groups.len() as f64 * (2.0 * ROW + GAP);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.1}\" role=\"img\" aria-label=\"{title}\">\n");
    svg += &legend(groups, classes, whole);
    for percent in [0, 25, 50, 75, 100] {
        let x = x(f64::from(percent) / 100.0);
        svg += &format!("<path class=\"grid\" d=\"M{x:.1} {:.1}V{:.1}\"/>", TOP - 4.0, height - GAP);
        svg += &format!("<text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{percent} %</text>\n", TOP - 9.0);
    }
    for (at, group) in groups.iter().enumerate() {
        group.draw(&mut svg, TOP + at as f64 * (2.0 * ROW + GAP));
    }
    svg + "</svg>\n"
}

/// What the colours are, of all that is drawn.
fn legend(groups: &[Group], classes: &[(&str, &str)], whole: &str) -> String {
    let (mut svg, mut x) = (String::new(), LEFT);
    for (name, class) in classes.iter().filter(|(name, _)| groups.iter().any(|group| group.has(name))) {
        svg += &format!("<path class=\"part {class}\" d=\"M{x:.1} {:.1}h11v11h-11z\"/>", LEGEND - 10.0);
        svg += &format!("<text x=\"{:.1}\" y=\"{LEGEND}\">{name}</text>\n", x + 16.0);
        x += 16.0 + (name.len() as f64 + 2.0) * CHARACTER;
    }
    if groups.iter().any(|group| group.bars[0].whole.is_some()) {
        svg += &format!("<path class=\"median\" d=\"M{x:.1} {:.1}v13\"/>", LEGEND - 11.0);
        svg += &format!("<text x=\"{:.1}\" y=\"{LEGEND}\">{whole}</text>\n", x + 7.0);
    }
    svg
}

impl Group {
    /// Whether there is such a part in it.
    pub(super) fn has(&self, part: &str) -> bool {
        self.bars[0].parts.iter().any(|(name, ..)| *name == part)
    }

    fn draw(&self, svg: &mut String, top: f64) {
        let name = self.name.chars().take(NAME_LENGTH).collect::<String>();
        let baseline = |row: f64| top + ROW * row + BAR - 2.0;
        *svg += &format!("<text class=\"row\" x=\"0\" y=\"{:.1}\">{}</text>", baseline(0.0), escaped(&name));
        *svg += &format!("<text x=\"0\" y=\"{:.1}\">{}</text>\n", baseline(1.0), self.what);
        for (row, bar) in self.bars.iter().enumerate() {
            let row = row as f64;
            *svg +=
                &format!("<text x=\"{NAMES}\" y=\"{:.1}\">{quantile}</text>", baseline(row), quantile = bar.quantile);
            bar.draw(svg, top + ROW * row);
            *svg += &format!(
                "<text class=\"row\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                WIDTH - RIGHT + 14.0,
                baseline(row),
                bar.text()
            );
        }
    }
}

impl Bar {
    fn sum(&self) -> f64 {
        self.parts.iter().map(|(_, _, micros)| micros).sum()
    }

    /// What its scale goes up to.
    pub(super) fn end(&self) -> f64 {
        self.whole.map_or(self.sum(), |whole| whole.max(self.sum()))
    }

    fn draw(&self, svg: &mut String, top: f64) {
        // Where all took less than the clock tells, there is nothing to see.
        let end = self.end().max(f64::MIN_POSITIVE);
        let mut from = 0.0;
        for (_, class, micros) in &self.parts {
            let (left, right) = (x(from / end), x((from + micros) / end));
            *svg += &format!("<path class=\"part {class}\" d=\"M{left:.1} {top:.1}H{right:.1}v{BAR}H{left:.1}z\"/>");
            from += micros;
        }
        if let Some(whole) = self.whole {
            *svg += &format!("<path class=\"median\" d=\"M{:.1} {:.1}v{:.1}\"/>", x(whole / end), top - 2.0, BAR + 4.0);
        }
        svg.push('\n');
    }

    /// Its numbers in one unit: each part, what they come to, and of what they are a part.
    fn text(&self) -> String {
        let (unit, micros) = if self.end() < 10_000.0 { ("µs", 1.0) } else { ("ms", 1e3) };
        let number = |value: f64| if micros == 1.0 { tenths(value) } else { digits(value / micros) };
        let part =
            |(_, class, micros): &(_, &str, f64)| format!("<tspan class=\"part {class}\">{}</tspan>", number(*micros));
        let parts = self.parts.iter().map(part).collect::<Vec<_>>().join(" + ");
        let sum = if self.parts.len() > 1 { format!(" = {}", number(self.sum())) } else { String::new() };
        let whole = self.whole.map(|whole| format!(" of {}", number(whole))).unwrap_or_default();
        format!("{parts}{sum}{whole} {unit}")
    }
}

/// Where a part of the scale stands.
pub(super) fn x(at: f64) -> f64 {
    LEFT + at * (WIDTH - LEFT - RIGHT)
}
