//! Where a sink publishes a row: `alarms/{sensor}`, with the row's columns in the places of the names.
//!
//! A value may make several levels (`line1/oven`), but no empty one and no wildcard: such a row, and one without a value, has
//! no topic and is rejected.

use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Result};

use super::template::TOPIC_BYTES_MAX;
use crate::codec::{CellColumn, CellValue};

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
