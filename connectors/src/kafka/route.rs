//! Where a row goes: its topic, key, headers and time, from its columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use lineside_model::options::did_you_mean;
use lineside_model::schema::{TS, time_type};
use lineside_model::{Problem, Problems, Reason, Result};

use super::outbox::Message;

/// How rows are addressed.
#[derive(Debug)]
pub(super) struct Route {
    topic: Vec<Piece>,
    key: Option<usize>,
    headers: Vec<(Arc<str>, usize)>,
    time: Option<usize>,
}

/// A piece of a topic template.
#[derive(Debug)]
enum Piece {
    Text(String),
    Column(usize),
}

fn column(option: &str, name: &str, schema: &Schema, problems: &mut Problems) -> Option<usize> {
    let found = schema.index_of(name).ok();
    if found.is_none() {
        let hint = did_you_mean(name, schema.fields().iter().map(|field| field.name().as_str()));
        problems.push(Problem::option(option, format!("the rows have no column \"{name}\"")).hint(hint));
    }
    found
}

impl Route {
    /// Reads a topic such as `alarms` or `plant.{line}`, and the names of columns.
    pub(super) fn new(
        topic: &str,
        key: Option<&str>,
        headers: &[String],
        schema: &Schema,
        problems: &mut Problems,
    ) -> Self {
        let mut pieces = Vec::new();
        let mut rest = topic;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                problems.push(Problem::option("topic", "a { has no }").hint("write a column as {name}"));
                rest = "";
                break;
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.extend(column("topic", name, schema, problems).map(Piece::Column));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let wrong = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
        if pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains(wrong))) || topic.is_empty() {
            problems.push(Problem::option("topic", "a topic has only letters, digits, dots, underscores and hyphens"));
        }
        Self {
            topic: pieces,
            key: key.and_then(|name| column("key", name, schema, problems)),
            headers: headers
                .iter()
                .filter_map(|name| Some((Arc::from(name.as_str()), column("headers", name, schema, problems)?)))
                .collect(),
            time: schema.index_of(TS).ok().filter(|&at| *schema.field(at).data_type() == time_type()),
        }
    }

    /// The topic, if all rows go to the same.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.topic.as_slice() {
            [Piece::Text(topic)] => Some(topic),
            _ => None,
        }
    }

    /// Addresses rows. Those that have no address are told by reason.
    ///
    /// # Errors
    /// Only for our bugs.
    pub(super) fn address(
        &self,
        rows: &RecordBatch,
        payloads: Vec<Option<Bytes>>,
        rejected: &mut BTreeMap<Reason, (usize, String)>,
    ) -> Result<Vec<Message>> {
        let options = FormatOptions::default();
        let formatter = |at: usize| ArrayFormatter::try_new(rows.column(at), &options);
        let key = self.key.map(formatter).transpose()?;
        let headers = self.headers.iter().map(|(_, at)| formatter(*at)).collect::<Result<Vec<_>, _>>()?;
        let topics = self
            .topic
            .iter()
            .map(|piece| match piece {
                Piece::Text(_) => Ok(None),
                Piece::Column(at) => formatter(*at).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let time = self.time.map(|at| rows.column(at).as_primitive::<TimestampMicrosecondType>());
        let mut known: Option<Arc<str>> = self.fixed().map(Arc::from);
        let mut messages = Vec::with_capacity(payloads.len());
        let mut reject = |reason, why: String| {
            let entry = rejected.entry(reason).or_default();
            entry.0 += 1;
            entry.1 = why;
        };
        for (row, payload) in payloads.into_iter().enumerate() {
            let Some(payload) = payload else {
                reject(Reason::NotEncodable, "the row does not go into the format of this sink".to_owned());
                continue;
            };
            let topic = match &known {
                Some(topic) if self.fixed().is_some() => Arc::clone(topic),
                _ => {
                    let mut name = String::new();
                    for (piece, column) in self.topic.iter().zip(&topics) {
                        match (piece, column) {
                            (Piece::Text(text), _) => name.push_str(text),
                            (Piece::Column(_), Some(column)) => name.push_str(&column.value(row).to_string()),
                            (Piece::Column(_), None) => {}
                        }
                    }
                    let null =
                        self.topic.iter().any(|p| matches!(p, Piece::Column(at) if rows.column(*at).is_null(row)));
                    if null
                        || name.is_empty()
                        || name.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
                    {
                        reject(Reason::UnknownTopic, format!("the row makes no topic: \"{name}\""));
                        continue;
                    }
                    match &known {
                        Some(last) if **last == *name => Arc::clone(last),
                        _ => Arc::clone(known.insert(Arc::from(name))),
                    }
                }
            };
            let text = |at: usize, column: &ArrayFormatter<'_>| {
                (!rows.column(at).is_null(row)).then(|| column.value(row).to_string())
            };
            messages.push(Message {
                topic,
                key: self.key.zip(key.as_ref()).and_then(|(at, column)| text(at, column)).map(Bytes::from),
                payload,
                headers: self
                    .headers
                    .iter()
                    .zip(&headers)
                    .map(|((name, at), column)| (Arc::clone(name), text(*at, column)))
                    .collect(),
                time: time.filter(|time| time.is_valid(row)).map(|time| time.value(row).div_euclid(1_000)),
            });
        }
        Ok(messages)
    }
}
