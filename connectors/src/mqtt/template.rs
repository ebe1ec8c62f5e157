//! Topics with names in them: `plant/{line}/{machine}/{metric}`.
//!
//! A source subscribes to the template with a wildcard for every name, and each name becomes a column: `{line}` is text,
//! `{line:int}` and `{line:float}` are numbers, `{rest...}` at the end takes all that remains. `+` and `#` match without
//! making a column. A topic whose segment is no number where one is asked for does not fit and is counted as unknown.
//!
//! A sink puts the columns of a row into the places of the names.

use std::borrow::Cow;
use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Result};

use crate::codec::{Cell, CellColumn, CellValue, Field, FieldType};

/// The longest topic that the protocol can carry, in bytes.
const TOPIC_BYTES_MAX: usize = 65_535;

/// The topics that a source reads, and the columns their names give.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicTemplates {
    templates: Vec<Template>,
    /// The captured columns of all templates together; missing where a template has not that name.
    pub(super) columns: Vec<Field>,
    /// What to subscribe to, one entry a template.
    pub(super) filters: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Template {
    segments: Vec<Segment>,
    /// What comes after the segments: `None` for nothing, `Some(None)` for anything, `Some(Some(n))` for the column n.
    rest: Option<Option<usize>>,
}

#[derive(Clone, Debug)]
enum Segment {
    Exactly(Box<str>),
    Anything,
    Column(usize),
}

impl TopicTemplates {
    /// Checks templates as the user wrote them.
    pub(super) fn parse(written: &[String]) -> Result<Self, Vec<Problem>> {
        let mut all = Self::default();
        let mut problems = Vec::new();
        for topic in written {
            if let Err(message) = all.add(topic) {
                let hint = "a template looks like \"plant/{line}/{machine}/{metric}\", \"plant/+/{value:float}\" or \"plant/#\"";
                problems.push(Problem::option("topic", format!("\"{topic}\": {message}")).hint(hint));
            }
        }
        if written.is_empty() {
            problems.push(Problem::option("topic", "no topic is named"));
        }
        // A name that some templates lack has no value in their messages.
        for n in 0..all.columns.len() {
            let everywhere = all.templates.iter().all(|template| template.captures(n));
            if let Some(column) = all.columns.get_mut(n) {
                column.optional = !everywhere;
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    fn add(&mut self, written: &str) -> Result<(), String> {
        let (share, topic) = match written.strip_prefix("$share/") {
            Some(shared) => {
                let (group, topic) = shared.split_once('/').ok_or("a shared subscription is \"$share/GROUP/TOPIC\"")?;
                if group.is_empty() || group.contains(['+', '#', '{']) {
                    return Err("the group of a shared subscription is a plain name".to_owned());
                }
                (Some(group), topic)
            }
            None => (None, written),
        };
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains('\0') {
            return Err("a topic has 1 to 65535 bytes and no null character".to_owned());
        }
        let mut template = Template::default();
        let mut filter = Vec::new();
        for segment in topic.split('/') {
            if template.rest.is_some() {
                return Err("nothing can follow # or {name...}".to_owned());
            }
            if segment == "#" {
                template.rest = Some(None);
                filter.push("#");
            } else if segment == "+" {
                template.segments.push(Segment::Anything);
                filter.push("+");
            } else if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                if let Some(name) = name.strip_suffix("...") {
                    template.rest = Some(Some(self.column(name, FieldType::Text, &template)?));
                    filter.push("#");
                } else {
                    let (name, kind) = match name.split_once(':') {
                        None => (name, FieldType::Text),
                        Some((name, "text")) => (name, FieldType::Text),
                        Some((name, "int")) => (name, FieldType::Int),
                        Some((name, "float")) => (name, FieldType::Float),
                        Some((_, kind)) => return Err(format!("type \"{kind}\" is none of text, int and float")),
                    };
                    let column = self.column(name, kind, &template)?;
                    template.segments.push(Segment::Column(column));
                    filter.push("+");
                }
            } else if segment.contains(['+', '#', '{', '}']) {
                return Err(format!("\"{segment}\" mixes text with a wildcard or name, which take a whole level"));
            } else {
                template.segments.push(Segment::Exactly(segment.into()));
                filter.push(segment);
            }
        }
        let filter = filter.join("/");
        self.filters.push(match share {
            Some(group) => format!("$share/{group}/{filter}"),
            None => filter,
        });
        self.templates.push(template);
        Ok(())
    }

    fn column(&mut self, name: &str, kind: FieldType, template: &Template) -> Result<usize, String> {
        if name.is_empty() || name.contains(|c: char| !c.is_alphanumeric() && c != '_') {
            return Err(format!("\"{name}\" is no column name: letters, digits and _"));
        }
        if ["topic", "qos", "retained", "received_at"].contains(&name) {
            return Err(format!("every message has a column \"{name}\" already"));
        }
        match self.columns.iter().position(|column| column.name == name) {
            Some(n) if template.captures(n) => Err(format!("the name \"{name}\" stands twice")),
            Some(n) if self.columns.get(n).is_some_and(|c| c.kind == kind) => Ok(n),
            Some(_) => Err(format!("\"{name}\" has another type in another topic")),
            None => {
                self.columns.push(Field::new(name, kind, None, false)?);
                Ok(self.columns.len() - 1)
            }
        }
    }

    /// Takes a topic apart into one cell a column; whether it fits one of the templates.
    pub(super) fn read<'t>(&self, topic: &'t str, cells: &mut [Cell<'t>]) -> bool {
        self.templates.iter().any(|template| {
            cells.fill_with(Cell::default);
            template.read(topic, &self.columns, cells)
        })
    }
}

impl Template {
    fn captures(&self, column: usize) -> bool {
        self.rest == Some(Some(column)) || self.segments.iter().any(|s| matches!(s, Segment::Column(n) if *n == column))
    }

    fn read<'t>(&self, topic: &'t str, columns: &[Field], cells: &mut [Cell<'t>]) -> bool {
        let mut rest = Some(topic);
        for segment in &self.segments {
            let Some(left) = rest else { return false };
            let (level, after) = match left.split_once('/') {
                Some((level, after)) => (level, Some(after)),
                None => (left, None),
            };
            rest = after;
            match segment {
                Segment::Exactly(text) if **text != *level => return false,
                Segment::Exactly(_) | Segment::Anything => {}
                Segment::Column(n) => {
                    let (Some(column), Some(place)) = (columns.get(*n), cells.get_mut(*n)) else { return false };
                    *place = match column.kind {
                        FieldType::Int => match level.parse() {
                            Ok(v) => Cell::Int(v),
                            Err(_) => return false,
                        },
                        FieldType::Float => match level.parse::<f64>() {
                            Ok(v) if v.is_finite() => Cell::Float(v),
                            _ => return false,
                        },
                        _ => Cell::Text(Cow::Borrowed(level)),
                    };
                }
            }
        }
        match (&self.rest, rest) {
            (None, left) => left.is_none(),
            (Some(None), _) => true,
            (Some(Some(n)), left) => {
                if let Some(place) = cells.get_mut(*n) {
                    // "plant/#" takes "plant" too, and nothing remains of that.
                    *place = Cell::Text(Cow::Borrowed(left.unwrap_or_default()));
                }
                true
            }
        }
    }
}

/// Where a sink publishes a row.
#[derive(Clone, Debug)]
pub(super) struct RowTopic {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Column(usize),
}

impl RowTopic {
    /// Checks a template against the columns of the rows.
    pub(super) fn parse(written: &str, input: &SchemaRef) -> Result<Self, Problem> {
        let wrong = |message: String| {
            Problem::option("topic", format!("\"{written}\": {message}"))
                .hint("a topic to write to looks like \"alarms/{sensor}\"")
        };
        if written.is_empty() || written.contains(['+', '#', '\0']) {
            return Err(wrong("a topic to write to is not empty and has no wildcard".to_owned()));
        }
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong("a { has no }".to_owned()))?;
            let column = input.index_of(name).map_err(|_| {
                Problem::option("topic", format!("\"{written}\": there is no column \"{name}\""))
                    .hint(did_you_mean(name, input.fields().iter().map(|field| field.name().as_str())))
            })?;
            parts.push(Part::Text(text.into()));
            parts.push(Part::Column(column));
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Self { parts })
    }

    /// The topic of each row; `None` where a column has no value or one that no topic can have.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Vec<Option<String>>> {
        let columns = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok((Some(&**text), None)),
                Part::Column(n) => CellColumn::new(rows.column(*n)).map(|column| (None, Some(column))),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((0..rows.num_rows())
            .map(|row| {
                let mut topic = String::with_capacity(48);
                for part in &columns {
                    match part {
                        (Some(text), _) => topic.push_str(text),
                        (None, Some(column)) => push_value(&column.at(row), &mut topic)?,
                        (None, None) => {}
                    }
                }
                (topic.len() <= TOPIC_BYTES_MAX && !topic.starts_with('$')).then_some(topic)
            })
            .collect())
    }
}

/// Adds a value if it makes whole levels: a value may have several, but no empty one, and no wildcard.
fn push_value(value: &CellValue<'_>, topic: &mut String) -> Option<()> {
    match value {
        CellValue::Text(text) => {
            if text.contains(['+', '#', '\0']) || text.split('/').any(str::is_empty) {
                return None;
            }
            topic.push_str(text);
        }
        CellValue::Int(v) => write!(topic, "{v}").ok()?,
        CellValue::UInt(v) => write!(topic, "{v}").ok()?,
        CellValue::Bool(v) => write!(topic, "{v}").ok()?,
        CellValue::Float(v) if v.is_finite() => write!(topic, "{v}").ok()?,
        CellValue::Time(v) => write!(topic, "{}", v.micros()).ok()?,
        CellValue::Null | CellValue::Float(_) | CellValue::Bytes(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(templates: &[&str], topic: &str) -> Option<Vec<String>> {
        let written = templates.iter().map(ToString::to_string).collect::<Vec<_>>();
        let templates = TopicTemplates::parse(&written).unwrap();
        let mut cells = templates.columns.iter().map(|_| Cell::default()).collect::<Vec<_>>();
        templates.read(topic, &mut cells).then(|| cells.iter().map(|cell| format!("{cell:?}")).collect())
    }

    #[test]
    fn names_become_columns_and_wildcards_do_not() {
        let got = read(&["plant/{line:int}/+/{metric}"], "plant/3/press/oil").unwrap();
        assert_eq!(got, ["Int(3)", "Text(\"oil\")"]);
        assert_eq!(read(&["plant/{rest...}"], "plant/a/b").unwrap(), ["Text(\"a/b\")"]);
        assert_eq!(read(&["plant/#"], "plant").unwrap(), [""; 0]);
        assert_eq!(read(&["a/{x}", "b/{y}"], "b/1").unwrap(), ["Missing", "Text(\"1\")"]);
    }

    #[test]
    fn a_topic_that_does_not_fit_is_known_by_that() {
        for topic in ["plant/x/press/oil", "plant/3/press", "plant/3/press/oil/x", "factory/3/press/oil", ""] {
            assert_eq!(read(&["plant/{line:int}/+/{metric}"], topic), None, "{topic}");
        }
        assert_eq!(read(&["p/{v:float}"], "p/nan"), None);
    }

    #[test]
    fn a_filter_has_a_wildcard_for_every_name() {
        let written = ["$share/g/plant/{line}/+/{m:float}".to_owned(), "x/{rest...}".to_owned()];
        let templates = TopicTemplates::parse(&written).unwrap();
        assert_eq!(templates.filters, ["$share/g/plant/+/+/+", "x/#"]);
        assert!(templates.columns.iter().all(|column| column.optional));
    }

    #[test]
    fn a_wrong_template_is_refused_with_the_reason() {
        for (topic, part) in [
            ("plant/#/x", "nothing can follow"),
            ("plant/a{x}", "whole level"),
            ("plant/{x:bool}", "none of text"),
            ("plant/{x}/{x}", "stands twice"),
            ("plant/{topic}", "already"),
            ("$share/g", "$share/GROUP"),
            ("", "65535"),
        ] {
            let problems = TopicTemplates::parse(&[topic.to_owned()]).unwrap_err();
            assert!(problems[0].message.contains(part), "{problems:?}");
        }
    }
}
