//! Runs an operator by a script of readings and shows what came out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use lineside_model::{Problems, Quality, Reason, Result, Span, Timestamp, schema};
use lineside_operators::operator::{Files, InputRows};
use lineside_operators::{Emitter, Operator, PlannedOperator, TimeColumn, registry};
use serde_json::Value;

/// One reading as tests write it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) ts: Timestamp,
    pub(crate) sensor: String,
    pub(crate) value: Option<f64>,
    pub(crate) quality: Quality,
    pub(crate) received_at: Timestamp,
}

/// A batch of readings.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let time = |of: fn(&Row) -> Timestamp| -> ArrayRef {
        let times = rows.iter().map(|row| of(row).micros()).collect::<Vec<_>>();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        time(|row| row.ts),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.sensor))),
        Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
        Quality::column(rows.iter().map(|row| row.quality)),
        time(|row| row.received_at),
    ];
    RecordBatch::try_new(schema::readings(), columns).expect("the columns are those of the schema")
}

/// The one file there is, whatever name is asked for.
#[derive(Debug)]
pub(crate) struct OneFile(pub(crate) &'static str);

impl Files for OneFile {
    fn read(&self, _name: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// Plans an operator from options as they stand in a pipeline file.
pub(crate) fn plan(kind: &str, options: &str, file: &'static str) -> Result<PlannedOperator, Problems> {
    let options = toml::from_str::<Value>(options).expect("the options are TOML");
    let kind = registry::find(kind).expect("the kind is registered");
    kind.plan(&options, &readings(), &OneFile(file))
}

/// The columns that readings have, `ts` being their event time.
pub(crate) fn readings() -> InputRows {
    InputRows { schema: schema::readings(), times: vec![TimeColumn { name: schema::TS.to_owned(), delay: Span::ZERO }] }
}

/// What is wrong with options, one line each.
pub(crate) fn mistakes(kind: &str, options: &str, file: &'static str) -> String {
    let problems = plan(kind, options, file).expect_err("the options are wrong");
    let mut text = String::new();
    for problem in problems.0 {
        let hint = problem.hint.clone().map(|hint| format!(" ({hint})")).unwrap_or_default();
        writeln!(text, "{}{hint}", Problems::from(problem)).expect("a string takes all");
    }
    text
}

/// Collects what an operator puts out: rows as text, drops by reason.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) dropped: BTreeMap<Reason, usize>,
}

impl Emitter for Seen {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        for row in 0..rows.num_rows() {
            let cells = rows.columns().iter().zip(rows.schema_ref().fields()).map(|(column, field)| {
                match (field.data_type() == &schema::time_type(), column.is_null(row)) {
                    (_, true) => "-".to_owned(),
                    (true, _) => {
                        let column = column.as_any().downcast_ref::<TimestampMicrosecondArray>();
                        Span(column.expect("a time column has microseconds").value(row)).to_string()
                    }
                    (false, _) => array_value_to_string(column, row).expect("every type of ours can be shown"),
                }
            });
            self.rows.push(cells.collect());
        }
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        *self.dropped.entry(reason).or_default() += rows;
    }
}

/// Runs a script and shows what came out as a table, times counted from 0. A line is one of
/// `TS SENSOR VALUE|- [QUALITY] [at RECEIVED]`, `watermark TS`, `clock TS`, `end`, `restart`.
pub(crate) fn script(planned: &PlannedOperator, script: &str) -> String {
    let mut seen = Seen::default();
    let mut operator = (planned.build)();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words = line.split_whitespace().collect::<Vec<_>>();
        match words[..] {
            ["watermark", ts] => operator.advance(time(ts), &mut seen),
            ["clock", ts] => operator.tick(time(ts), &mut seen),
            ["end"] => operator.advance(Timestamp::MAX, &mut seen),
            ["restart"] => {
                operator = restarted(planned, operator.as_ref());
                Ok(())
            }
            _ => operator.process(0, batch(&[reading(&words)]), &mut seen),
        }
        .expect("operators do not fail on rows");
    }
    let names = planned.output.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    table(&names, &seen)
}

/// A fresh operator with the state of another.
pub(crate) fn restarted(planned: &PlannedOperator, operator: &dyn Operator) -> Box<dyn Operator> {
    let saved = operator.snapshot().expect("state can be saved");
    let mut fresh = (planned.build)();
    fresh.restore(&saved).expect("saved state can be restored");
    fresh
}

fn reading(words: &[&str]) -> Row {
    let received_at = words.iter().position(|word| *word == "at").map(|n| time(words[n + 1]));
    Row {
        ts: time(words[0]),
        sensor: words[1].to_owned(),
        value: words[2].parse().ok(),
        quality: words.get(3).and_then(|word| Quality::from_word(word)).unwrap_or_default(),
        received_at: received_at.unwrap_or_else(|| time(words[0])),
    }
}

fn time(text: &str) -> Timestamp {
    Timestamp(text.parse::<Span>().expect("a duration since 0").micros())
}

fn table(names: &[String], seen: &Seen) -> String {
    let width = |n: usize| seen.rows.iter().map(|row| row[n].len()).chain([names[n].len()]).max().unwrap_or(0);
    let widths = (0..names.len()).map(width).collect::<Vec<_>>();
    let mut text = String::new();
    for row in [names].into_iter().chain(seen.rows.iter().map(Vec::as_slice)) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        writeln!(text, "{}", cells.join(" | ").trim_end()).expect("a string takes all");
    }
    for (reason, rows) in &seen.dropped {
        writeln!(text, "dropped {rows} {}", reason.word()).expect("a string takes all");
    }
    text
}
