//! A chart as SVG: axes with round ticks, lines named at their right end, no script. Colours are those of the page, by class.

use std::fmt::Write;

use super::axis::Axis;
use super::mark::{At, Mark};
use crate::report::table::escaped;

/// The size in which a chart is drawn; the page scales it.
pub(super) const WIDTH: f64 = 500.0;
pub(super) const HEIGHT: f64 = 250.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;
/// Room for the labels of the left axis and for names at the right: the same in all charts, so that times stand below each other.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 68.0;
/// What a character of a label takes, about the most of all fonts it may be shown in, and one of a name, which is bold.
const CHARACTER: f64 = 7.2;
const BOLD: f64 = 8.6;
/// How far apart the names of two lines are.
const NAME_HEIGHT: f64 = 14.0;
/// Names of lines are cut behind so many characters; the tables have them in full.
const NAME_LENGTH: usize = 18;

/// A chart of some lines over the same axes.
#[derive(Debug)]
pub(super) struct Chart {
    /// What it shows, with the unit where the axis does not tell.
    pub(super) title: String,
    /// What is to be known to read it.
    pub(super) note: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    /// What it is; stands at its right end.
    pub(super) name: String,
    /// The class that gives its colour and stroke.
    pub(super) class: String,
    /// Its points from left to right; where there is none, it is interrupted.
    pub(super) points: Vec<Option<(f64, f64)>>,
}

impl Chart {
    /// The chart as a figure of the page.
    pub(super) fn html(&self) -> String {
        let note =
            if self.note.is_empty() { String::new() } else { format!(" <small>{}</small>", escaped(&self.note)) };
        format!("<figure><figcaption>{}{note}</figcaption>\n{}</figure>\n", escaped(&self.title), self.svg(""))
    }

    /// The chart alone; where it stands and how large it is, where it is part of a picture.
    pub(super) fn svg(&self, place: &str) -> String {
        let names = self.lines.iter().map(|line| long(&short(&line.name))).fold(0.0, f64::max);
        let area = Area { left: LEFT, right: WIDTH - (names * BOLD + 8.0).max(RIGHT) };
        let mut svg = format!(
            "<svg {place}viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(&self.title)
        );
        self.draw_axes(&mut svg, &area);
        let names = self.draw_marks(&mut svg, &area);
        for line in &self.lines {
            let (stretches, dots) = self.paths(line, &area);
            svg += &format!("<path class=\"line {}\" d=\"{stretches}\"/>\n", line.class);
            if !dots.is_empty() {
                svg += &format!("<path class=\"line dot {}\" d=\"{dots}\"/>\n", line.class);
            }
        }
        // Above the lines, which would otherwise run through what is written.
        svg += &names;
        self.draw_names(&mut svg, &area);
        svg + "</svg>\n"
    }

    fn draw_axes(&self, svg: &mut String, area: &Area) {
        let bottom = HEIGHT - BOTTOM;
        for tick in &self.y.ticks {
            let y = Area::y(tick.at);
            *svg += &format!("<path class=\"grid\" d=\"M{:.1} {y:.1}H{:.1}\"/>", area.left, area.right);
            *svg +=
                &format!("<text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n", area.left - 6.0, y + 4.0, tick.label);
        }
        *svg += &format!("<path class=\"axis\" d=\"M{:.1} {bottom:.1}H{:.1}\"/>\n", area.left, area.right);
        let mut written = f64::NEG_INFINITY;
        for tick in &self.x.ticks {
            let (x, half) = (area.x(tick.at), long(&tick.label) * CHARACTER / 2.0);
            *svg += &format!("<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>");
            // A label that would touch the one before it is left out; its tick stays.
            if x - half > written {
                *svg += &format!("<text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n", bottom + 18.0, tick.label);
                written = x + half + CHARACTER / 2.0;
            }
        }
    }

    /// Draws marks, which lie below lines, and gives their names: they stand at the left, one that would touch another further right.
    fn draw_marks(&self, svg: &mut String, area: &Area) -> String {
        let (mut names, mut written) = (String::new(), Vec::<(f64, f64)>::new());
        for mark in &self.marks {
            let (path, name) = match mark.at {
                At::Height(value) => {
                    let y = Area::y(self.y.place(value));
                    // Above the line, or below it where there is no room.
                    let below = y - 4.0 <= TOP + NAME_HEIGHT / 2.0;
                    let baseline = if below { y + 13.0 } else { y - 4.0 };
                    let near = |written: &(f64, f64)| (written.1 - baseline).abs() < NAME_HEIGHT;
                    let x = written.iter().filter(|one| near(one)).map(|one| one.0).fold(area.left + 5.0, f64::max);
                    written.push((x + (long(&mark.name) + 1.0) * CHARACTER, baseline));
                    (format!("M{:.1} {y:.1}H{:.1}", area.left, area.right), (x, baseline))
                }
                At::Place(value) => {
                    let x = area.x(self.x.place(value));
                    (format!("M{x:.1} {TOP:.1}V{:.1}", HEIGHT - BOTTOM), (x + 5.0, HEIGHT - BOTTOM - 7.0))
                }
                At::Point(shape, x, y) => {
                    let (x, y, kind, path) =
                        (area.x(self.x.place(x)), Area::y(self.y.place(y)), shape.class(), shape.path());
                    *svg += &format!("<path class=\"{kind} {}\" d=\"M{x:.1} {y:.1}{path}\"/>\n", mark.class);
                    continue;
                }
            };
            let (x, y) = name;
            *svg += &format!("<path class=\"mark {}\" d=\"{path}\"/>\n", mark.class);
            let name = escaped(&mark.name);
            names += &format!("<text class=\"name {}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>\n", mark.class);
        }
        names
    }

    /// A line as its stretches, and the points that stand alone: lines of no length, which round ends show as dots.
    fn paths(&self, line: &Line, area: &Area) -> (String, String) {
        let place = |(x, y): (f64, f64)| (area.x(self.x.place(x)), Area::y(self.y.place(y)));
        let (mut stretches, mut dots) = (String::new(), String::new());
        for stretch in line.points.split(Option::is_none) {
            let points = stretch.iter().flatten().map(|point| place(*point));
            for (at, (x, y)) in points.enumerate() {
                // Writing to a string does not fail.
                match (at, stretch.len()) {
                    (_, 1) => write!(dots, "M{x:.1} {y:.1}h0"),
                    (0, _) => write!(stretches, "M{x:.1} {y:.1}"),
                    _ => write!(stretches, "L{x:.1} {y:.1}"),
                }
                .unwrap_or_default();
            }
        }
        (stretches, dots)
    }

    /// Whether a line comes into the room of a name that is written from here to there, at this height.
    fn passes(&self, line: &Line, area: &Area, (from, to): (f64, f64), height: f64) -> bool {
        let place = |(x, y): (f64, f64)| (area.x(self.x.place(x)), Area::y(self.y.place(y)));
        line.points.windows(2).any(|pair| {
            let &[Some(a), Some(b)] = pair else { return false };
            let (a, b) = (place(a), place(b));
            let at = |x: f64| a.1 + (b.1 - a.1) * ((x - a.0) / (b.0 - a.0).max(1e-9)).clamp(0.0, 1.0);
            let (one, other) = (at(from), at(to));
            let half = NAME_HEIGHT / 2.0;
            a.0 <= to && b.0 >= from && one.min(other) < height + half && one.max(other) > height - half
        })
    }

    /// Writes the names: at the right, each at the height of its line's end or as near as the others let it; that of a line which
    /// ends long before, at its end.
    fn draw_names(&self, svg: &mut String, area: &Area) {
        let mut at_right = Vec::new();
        let mut write = |line: &Line, x: f64, y: f64| {
            let (x, y, name) = (x + 6.0, y + 4.0, escaped(&short(&line.name)));
            *svg += &format!("<text class=\"name {}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>\n", line.class);
        };
        for line in &self.lines {
            let Some((x, y)) = line.points.iter().rev().flatten().next() else { continue };
            let (x, y) = (area.x(self.x.place(*x)), Area::y(self.y.place(*y)));
            if x + RIGHT < area.right {
                // Beside its end, or below or above it where another line goes on there.
                let to = x + 6.0 + long(&short(&line.name)) * BOLD;
                let others = || self.lines.iter().filter(|other| !std::ptr::eq(*other, line));
                let free = |moved: &f64| !others().any(|other| self.passes(other, area, (x + 6.0, to), y + moved));
                write(line, x, y + [0.0, NAME_HEIGHT, -NAME_HEIGHT].into_iter().find(free).unwrap_or(0.0));
            } else {
                at_right.push((y, line));
            }
        }
        // Equal heights keep the order in which the lines were given, the upper first.
        at_right.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let heights = apart(&at_right.iter().map(|(y, _)| *y).collect::<Vec<_>>());
        at_right.iter().zip(heights).for_each(|((_, line), y)| write(line, area.right, y));
    }
}

/// Where lines are drawn.
struct Area {
    left: f64,
    right: f64,
}

impl Area {
    fn x(&self, at: f64) -> f64 {
        self.left + at * (self.right - self.left)
    }

    fn y(at: f64) -> f64 {
        HEIGHT - BOTTOM - at * (HEIGHT - BOTTOM - TOP)
    }
}

/// Heights, from the upper on, moved so that names do not touch and stay within the chart.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut heights = wanted.to_vec();
    let mut least = TOP;
    for height in &mut heights {
        *height = height.max(least);
        least = *height + NAME_HEIGHT;
    }
    let mut most = HEIGHT - BOTTOM;
    for height in heights.iter_mut().rev() {
        *height = height.min(most);
        most = *height - NAME_HEIGHT;
    }
    heights
}

fn long(text: &str) -> f64 {
    text.chars().count() as f64
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_LENGTH) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_touch() {
        assert_eq!(apart(&[50.0, 52.0, 120.0]), [50.0, 64.0, 120.0]);
        let bottom = HEIGHT - BOTTOM;
        assert_eq!(apart(&[bottom, bottom]), [bottom - NAME_HEIGHT, bottom]);
    }

    #[test]
    fn a_line_is_interrupted_where_nothing_was_measured() {
        let points = vec![Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 2.0)), None];
        let line = Line { name: "a <b>".to_owned(), class: "s0".to_owned(), points };
        let chart = Chart {
            title: "t".to_owned(),
            note: String::new(),
            x: Axis::seconds(4.0),
            y: Axis::amounts(2.0, ""),
            lines: vec![line],
            marks: vec![Mark { name: "most".to_owned(), class: "limit".to_owned(), at: At::Height(2.0) }],
        };
        let svg = chart.svg("");
        let path =
            |class: &str| svg.split(&format!("class=\"{class}\" d=\"")).nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path("line s0").matches('M').count(), path("line s0").matches('L').count()), (1, 1));
        assert!(path("line dot s0").ends_with("h0"), "{svg}");
        assert!(svg.contains(">a &lt;b&gt;</text>"), "{svg}");
        assert_eq!(path("mark limit"), format!("M{LEFT:.1} {TOP:.1}H{:.1}", WIDTH - RIGHT));
    }

    /// A chart of these lines, each with its name and points, and these limits.
    fn chart(lines: &[(&str, &[(f64, f64)])], limits: &[(&str, f64)]) -> Chart {
        let line = |(name, points): &(&str, &[(f64, f64)])| Line {
            name: (*name).to_owned(),
            class: "s0".to_owned(),
            points: points.iter().map(|point| Some(*point)).collect(),
        };
        let mark = |(name, bound): &(&str, f64)| Mark {
            name: (*name).to_owned(),
            class: "limit".to_owned(),
            at: At::Height(*bound),
        };
        Chart {
            title: "t".to_owned(),
            note: String::new(),
            x: Axis::seconds(10.0),
            y: Axis::amounts(100.0, ""),
            lines: lines.iter().map(line).collect(),
            marks: limits.iter().map(mark).collect(),
        }
    }

    /// Where a text stands.
    fn place(svg: &str, text: &str) -> (f64, f64) {
        let before = svg.split(&format!(">{text}</text>")).next().unwrap();
        let attribute = |name: &str| {
            before.rsplit(&format!(" {name}=\"")).next().unwrap().split('"').next().unwrap().parse().unwrap()
        };
        (attribute("x"), attribute("y"))
    }

    #[test]
    fn the_name_of_a_line_that_ends_early_is_not_written_over_another() {
        let level = [(0.0, 50.0), (10.0, 50.0)];
        let alone = place(&chart(&[("early", &level[..1])], &[]).svg(""), "early");
        let beside = place(&chart(&[("early", &[(0.0, 50.0), (4.0, 50.0)]), ("long", &level)], &[]).svg(""), "early");
        assert_eq!(beside.1, alone.1 + NAME_HEIGHT);
    }

    #[test]
    fn the_names_of_limits_do_not_touch_and_lie_above_the_lines() {
        let svg = chart(&[("line", &[(0.0, 90.0), (10.0, 90.0)])], &[("upper", 100.0), ("lower", 90.0)]).svg("");
        let (upper, lower) = (place(&svg, "upper"), place(&svg, "lower"));
        assert!((upper.1 - lower.1).abs() >= NAME_HEIGHT || lower.0 > upper.0 + 5.0 * CHARACTER, "{upper:?} {lower:?}");
        assert!(svg.find("class=\"line s0\"") < svg.find(">upper<"));
    }
}
