//! Runs the steps of a query over text tables, without the engine around them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lineside_model::schema::time_field;
use lineside_model::{At, Problems, Reason, Result, Span, Timestamp};
use lineside_operators::{Emitter, Operator, TimeColumn};

use crate::config::options::QualityOption;
use crate::plan::sql::{QueryPlan, StepInput, Table, Wish, plan_query};

/// `readings(ts, sensor, value, n)`, `others` and the table `recipes` with the same columns.
pub(super) fn tables() -> Vec<Table> {
    let times = vec![TimeColumn { name: "ts".to_owned(), delay: Span::ZERO }];
    let table = |name: &str, fixed| Table { name: name.to_owned(), schema: schema(), times: times.clone(), fixed };
    vec![table("readings", false), table("others", false), table("Mixed", false), table("recipes", true)]
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field("ts", false),
        Field::new("sensor", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("n", DataType::Int64, false),
    ]))
}

/// Rows from lines such as `1.5s a 20.5 7`: event time after 1970, sensor, value or `-`, n (0 if left out).
pub(super) fn rows(text: &str) -> RecordBatch {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|l| !l.is_empty());
    let lines = lines.collect::<Vec<_>>();
    let times = lines.iter().map(|l| l[0].parse::<Span>().unwrap().micros()).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(lines.iter().map(|l| Some(l[1])).collect::<StringArray>()),
        Arc::new(lines.iter().map(|l| l[2].parse().ok()).collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(lines.iter().map(|l| l.get(3).map_or(0, |n| n.parse().unwrap())))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A planned query with its operators.
pub(super) struct Running {
    plan: QueryPlan,
    operators: Vec<Box<dyn Operator>>,
    dropped: BTreeMap<Reason, usize>,
    output: Vec<RecordBatch>,
}

#[derive(Default)]
struct Collected {
    rows: Vec<RecordBatch>,
    dropped: Vec<(Reason, usize)>,
}

impl Emitter for Collected {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows.push(rows);
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        self.dropped.push((reason, rows));
    }
}

impl Running {
    pub(super) fn new(sql: &str, tables: &[Table]) -> Self {
        Self::with(sql, QualityOption::default(), tables)
    }

    /// With aggregates that take readings of this quality.
    pub(super) fn with(sql: &str, quality: QualityOption, tables: &[Table]) -> Self {
        let plan =
            plan_query("q", sql, quality.into(), tables).unwrap_or_else(|problems| panic!("{}", told(&problems)));
        let operators = plan.steps.iter().map(|step| (step.operator.build)()).collect();
        Self { plan, operators, dropped: BTreeMap::new(), output: Vec::new() }
    }

    /// The query as a table that others can read.
    pub(super) fn as_table(&self, name: &str) -> Table {
        let StepInput::Step(last) = self.plan.output else { panic!("a query ends in a step") };
        let operator = &self.plan.steps[last].operator;
        Table {
            name: name.to_owned(),
            schema: Arc::clone(&operator.output),
            times: operator.times.clone(),
            fixed: false,
        }
    }

    pub(super) fn feed(&mut self, table: &str, rows: &RecordBatch) {
        self.hand(&StepInput::Table(table.to_owned()), rows);
    }

    pub(super) fn watermark(&mut self, at: Timestamp) {
        for n in 0..self.operators.len() {
            let mut out = Collected::default();
            self.operators[n].advance(at, &mut out).unwrap();
            self.collect(n, out);
        }
    }

    /// Saves every operator and goes on with fresh ones.
    pub(super) fn restart(&mut self) {
        for (step, operator) in self.plan.steps.iter().zip(&mut self.operators) {
            let mut fresh = (step.operator.build)();
            fresh.restore(&operator.snapshot().unwrap()).unwrap();
            *operator = fresh;
        }
    }

    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.output)
    }

    fn hand(&mut self, from: &StepInput, rows: &RecordBatch) {
        if *from == self.plan.output {
            self.output.push(rows.clone());
        }
        for n in 0..self.operators.len() {
            for port in 0..self.plan.steps[n].inputs.len() {
                if self.plan.steps[n].inputs[port] == *from {
                    let mut out = Collected::default();
                    self.operators[n].process(port, rows.clone(), &mut out).unwrap();
                    self.collect(n, out);
                }
            }
        }
    }

    fn collect(&mut self, step: usize, out: Collected) {
        for (reason, rows) in out.dropped {
            *self.dropped.entry(reason).or_default() += rows;
        }
        for rows in out.rows.into_iter().filter(|rows| rows.num_rows() > 0) {
            assert_eq!(rows.schema(), self.plan.steps[step].operator.output, "step {step} keeps its schema");
            self.hand(&StepInput::Step(step), &rows);
        }
    }

    pub(super) fn dropped(&self) -> String {
        self.dropped.iter().map(|(reason, rows)| format!("{} {rows}\n", reason.word())).collect()
    }
}

/// Runs a query over `readings` to the end.
pub(super) fn run(sql: &str, readings: &str) -> String {
    run_tables(sql, &[("readings", readings)])
}

/// Runs a query over tables to the end: the rows that come out, then the rows that were dropped.
pub(super) fn run_tables(sql: &str, input: &[(&str, &str)]) -> String {
    let mut running = Running::new(sql, &tables());
    for (table, text) in input {
        running.feed(table, &rows(text));
    }
    running.watermark(Timestamp::MAX);
    let schema = running.as_table("q").schema;
    show(&schema, &running.take()) + &running.dropped()
}

/// A text table; times are written as time after 1970.
pub(super) fn show(schema: &SchemaRef, batches: &[RecordBatch]) -> String {
    let mut lines = vec![schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()];
    for batch in batches {
        for row in 0..batch.num_rows() {
            lines.push(batch.columns().iter().map(|column| cell(column, row)).collect());
        }
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths = (0..schema.fields().len()).map(width).collect::<Vec<_>>();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        writeln!(text, "{}", cells.join("  ").trim_end()).unwrap();
    }
    text
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if let Some(times) = column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        return if times.is_null(row) { "-".to_owned() } else { Span(times.value(row)).to_string() };
    }
    let options = FormatOptions::default().with_null("-");
    ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
}

/// What is wrong with a query, each problem with its place and its hint.
pub(super) fn refused(sql: &str) -> String {
    match plan_query("q", sql, Wish::default(), &tables()) {
        Ok(plan) => format!("it runs: {plan:#?}"),
        Err(problems) => told(&problems),
    }
}

pub(super) fn told(problems: &Problems) -> String {
    let mut text = String::new();
    for problem in &problems.0 {
        let At::Text { option, line, column } = &problem.at else { panic!("no place: {problem:?}") };
        assert_eq!(option, &["sql"]);
        writeln!(text, "{line}:{column}: {}", problem.message).unwrap();
        if let Some(hint) = &problem.hint {
            writeln!(text, "  {hint}").unwrap();
        }
    }
    text
}

/// What each step of a query does.
pub(super) fn explain(sql: &str) -> String {
    let plan =
        plan_query("q", sql, Wish::default(), &tables()).unwrap_or_else(|problems| panic!("{}", told(&problems)));
    let mut text = String::new();
    for step in &plan.steps {
        let inputs = step.inputs.iter().map(|input| match input {
            StepInput::Table(name) => name.as_str(),
            StepInput::Step(n) => &plan.steps[*n].label,
        });
        writeln!(text, "{} reads {}", step.label, inputs.collect::<Vec<_>>().join(", ")).unwrap();
        // What the window operator tells of itself is told by its own tests.
        for line in step.operator.explain.iter().take(if step.label == "window" { 1 } else { usize::MAX }) {
            writeln!(text, "  {line}").unwrap();
        }
    }
    text + &plan.explain.join("\n") + "\n"
}
