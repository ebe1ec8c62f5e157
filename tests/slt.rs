//! Each file of `tests/slt` is a script of tables, queries and the rows that come out, in the format of sqllogictest.
//!
//! A script runs both ways. First over the whole: each table in the order of time, one batch, one worker. Then as a stream,
//! under many seeds: rows out of order by up to an hour, cut into batches with watermarks anywhere between them that the rows to come
//! allow, one to three workers, restarts. Both give the rows that stand in the file. `UPDATE_EXPECT=1` writes those of the first way.
//!
//! | statement | says |
//! | --- | --- |
//! | `CREATE TABLE t (ts TIMESTAMP, …)` | a source; without `ts` a table to look rows up in. A column `quality TEXT` has the type quality |
//! | `INSERT INTO t VALUES …` | its rows; those of one time arrive in the order in which they stand |
//! | `CREATE VIEW v AS SELECT …` | a query that others read |
//! | `SET quality = 'all'` | an option of the queries behind it |
//!
//! Rows without event time go no further than their source, as in the engine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, is_not_null, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use lineside::config::{Config, Report};
use lineside::plan::{Plan, Registries, build};
use lineside_model::Quality;
use sqllogictest::{
    DB, DBOutput, DefaultColumnType, MakeConnection, Runner, default_normalizer, default_validator,
    strict_column_validator,
};
use tokio::runtime::{Builder, Runtime};

use crate::simulation::{Dice, drive};

const SEEDS: u64 = 24;
/// How far rows are out of order, one of these for each seed.
const DISORDER: [usize; 4] = [1, 2_000_000, 30_000_000, 3_600_000_000];

/// How the rows of the tables reach the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Whole,
    Stream,
}

/// What a script has said so far.
struct Script {
    way: Way,
    runtime: Runtime,
    /// Reads the rows of `INSERT`; no query runs there.
    rows: SessionContext,
    tables: BTreeMap<String, SchemaRef>,
    views: Vec<(String, String)>,
    options: BTreeMap<String, String>,
}

/// What is wrong with a statement.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

fn wrong(error: impl std::fmt::Display) -> Wrong {
    Wrong(error.to_string())
}

/// What is wrong with a query and the cure, without its place in the pipeline that was made of the script.
fn told(report: &Report) -> Wrong {
    let lines = report.to_string();
    let message = |line: &str| line.split_once("query \"query\": ").map(|(_, message)| message.to_owned());
    let hint = |line: &str| line.trim().strip_prefix("hint: ").map(|hint| format!("  {hint}"));
    Wrong(lines.lines().filter_map(|line| message(line).or_else(|| hint(line))).collect::<Vec<_>>().join("\n"))
}

impl Script {
    fn new(way: Way) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime without I/O");
        let rows = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        Self { way, runtime, rows, tables: BTreeMap::new(), views: Vec::new(), options: BTreeMap::new() }
    }

    fn read(&self, sql: &str) -> Result<Vec<RecordBatch>, Wrong> {
        let read = async { self.rows.sql(sql).await?.collect().await };
        self.runtime.block_on(read).map_err(wrong)
    }

    /// All rows of a table in the order in which they stand, with the columns of the engine's source.
    fn table(&self, name: &str, into: &SchemaRef) -> RecordBatch {
        let batches = self.read(&format!("SELECT * FROM {name}")).expect("the table was made");
        let whole = concat_batches(&self.tables[name], &batches).expect("batches of one table");
        let column = |field: &FieldRef| match whole.column_by_name(field.name()) {
            Some(column) if field.data_type() == &Quality::data_type() => {
                let words = cast(column, &DataType::Utf8).expect("a quality is written as a text");
                let quality = |w: Option<&str>| w.map_or(Quality::Good, |w| Quality::from_word(w).expect("a quality"));
                Quality::column(words.as_string::<i32>().iter().map(quality))
            }
            // By way of the number, since arrow converts no time that is far from ours to a time zone.
            Some(column) if matches!(field.data_type(), DataType::Timestamp(..)) => {
                let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).expect("a time");
                cast(&cast(&micros, &DataType::Int64).expect("a number"), field.data_type()).expect("a time")
            }
            Some(column) => cast(column, field.data_type()).expect("the columns have their types"),
            // When a table was read.
            None => cast(&Int64Array::from(vec![0; whole.num_rows()]), field.data_type()).expect("a time"),
        };
        let columns = into.fields().iter().map(column).collect::<Vec<_>>();
        RecordBatch::try_new(SchemaRef::clone(into), columns).expect("the columns of the source")
    }

    /// The pipeline of a query and of the queries it reads.
    fn pipeline(&self, sql: &str) -> String {
        let mut text = String::new();
        for (name, schema) in &self.tables {
            let kind = if schema.column_with_name("ts").is_some() { "source" } else { "table" };
            let column = |field: &FieldRef| format!("{} = \"{}\"", field.name(), type_of(field));
            let columns = schema.fields().iter().map(column).collect::<Vec<_>>().join(", ");
            writeln!(text, "[{kind}.{name}]\nconnector = \"memory\"\nrows = []\ncolumns = {{ {columns} }}")
                .expect("it fits");
        }
        let options = self.options.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect::<String>();
        let query = ("query", sql);
        for (name, sql) in self.views.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).chain([query]) {
            writeln!(text, "[query.{name}]\n{options}sql = '''\n{sql}\n'''").expect("it fits");
        }
        text + "[sink.out]\nconnector = \"void\"\ninput = \"query\"\n"
    }

    /// The rows that come out of a query.
    fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<Vec<String>>), Wrong> {
        let parsed = Config::parse(Path::new("script.toml"), self.pipeline(sql), &|_| None);
        let mut plan = parsed.and_then(|config| build(&config, &Registries::BUILD)).map_err(|report| told(&report))?;
        let tables = plan.sources.iter().map(|source| self.table(&source.name, &source.schema)).collect::<Vec<_>>();
        let schema = plan.schema(plan.sinks[0].input);
        let run = |plan: &Plan, dice: &mut Dice, disorder: usize| {
            let calm = self.way == Way::Whole;
            let rows_of = |n: usize| match plan.sources[n].table {
                Some(_) => tables[n].clone(),
                None => arrive(&tables[n], &plan.sources[n].time.column, dice.roll(1 << 30) as u64, disorder),
            };
            let arrived = (0..tables.len()).map(rows_of).collect::<Vec<_>>();
            cells(&drive(plan, dice, calm, &|n| arrived[n].clone()).remove("out").unwrap_or_default())
        };
        if self.way == Way::Whole {
            return Ok((schema, run(&plan, &mut Dice(0), 1)));
        }
        let mut first: Option<Vec<Vec<String>>> = None;
        for seed in 1..=SEEDS {
            plan.workers = 1 + seed as usize % 3;
            let mut rows = run(&plan, &mut Dice(seed), DISORDER[seed as usize % 4]);
            rows.sort();
            match &first {
                Some(first) if *first != rows => {
                    return Err(Wrong(format!("seed 1 gives\n{first:#?}\nand seed {seed}\n{rows:#?}")));
                }
                Some(_) => {}
                None => first = Some(rows),
            }
        }
        Ok((schema, first.unwrap_or_default()))
    }
}

/// The rows that have an event time in the order in which they arrive: that of time, out of order by less than `disorder`. Rows of
/// one time keep their order, since who comes first counts.
fn arrive(rows: &RecordBatch, time: &str, seed: u64, disorder: usize) -> RecordBatch {
    let time = rows.schema().index_of(time).expect("a source has a time");
    let rows = filter_record_batch(rows, &is_not_null(rows.column(time)).expect("one column")).expect("one length");
    let times = rows.column(time).as_primitive::<TimestampMicrosecondType>().values();
    let mut dice = Dice(seed);
    let mut due = times.iter().map(|&time| (time, time.saturating_add(dice.roll(disorder) as i64))).collect::<Vec<_>>();
    let mut order = (0..rows.num_rows() as u32).collect::<Vec<_>>();
    // Of one time all are due with the first of them; a stable sort keeps their order.
    for row in 0..due.len() {
        let earliest = due[..row].iter().find(|before| before.0 == due[row].0).map_or(due[row].1, |before| before.1);
        due[row].1 = earliest;
    }
    order.sort_by_key(|&row| due[row as usize].1);
    take_record_batch(&rows, &UInt32Array::from(order)).expect("its own rows")
}

/// The word for a column's type in a pipeline file.
fn type_of(field: &Field) -> &'static str {
    match field.data_type() {
        DataType::Timestamp(..) => "timestamp",
        DataType::Float64 => "float",
        DataType::Int64 => "int",
        DataType::Boolean => "bool",
        _ if field.name() == "quality" => "quality",
        DataType::Utf8 | DataType::Utf8View => "text",
        other => panic!("column {} of a script has the type {other}", field.name()),
    }
}

fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let row = |batch: &RecordBatch, row| batch.columns().iter().map(|column| cell(column, row)).collect();
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|n| row(batch, n)).collect::<Vec<_>>()).collect()
}

/// One word for each value: twelve digits of a number, since the last ones depend on the order of additions.
fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".to_owned();
    }
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        let rounded = format!("{:.11e}", numbers.value(row)).parse::<f64>().expect("it was printed");
        return if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() };
    }
    let text =
        ArrayFormatter::try_new(column, &FormatOptions::default()).expect("a type that prints").value(row).to_string();
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

impl DB for Script {
    type Error = Wrong;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Wrong> {
        let words = sql.split_whitespace().collect::<Vec<_>>();
        match words[..] {
            ["CREATE", "TABLE", name, ..] => {
                self.read(sql)?;
                let table = self.runtime.block_on(self.rows.table(name)).map_err(wrong)?;
                self.tables.insert(name.to_owned(), Arc::clone(table.schema().inner()));
            }
            ["INSERT", ..] => drop(self.read(sql)?),
            ["CREATE", "VIEW", name, "AS", ..] => {
                let select = sql.split_once(" AS").map_or("", |(_, select)| select);
                self.views.push((name.to_owned(), select.trim().to_owned()));
            }
            ["SET", name, "=", value] => {
                self.options.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            }
            _ => {
                let (schema, rows) = self.query(sql)?;
                let types = schema.fields().iter().map(|field| match field.data_type() {
                    t if t.is_integer() => DefaultColumnType::Integer,
                    t if t.is_floating() => DefaultColumnType::FloatingPoint,
                    _ => DefaultColumnType::Text,
                });
                return Ok(DBOutput::Rows { types: types.collect(), rows });
            }
        }
        Ok(DBOutput::StatementComplete(0))
    }

    fn engine_name(&self) -> &str {
        "lineside"
    }
}

fn updates() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let entries = folder.read_dir().expect("the folder of scripts").map(|entry| entry.expect("an entry").path());
    let mut scripts = entries.filter(|path| path.extension().is_some_and(|end| end == "slt")).collect::<Vec<_>>();
    scripts.sort();
    scripts
}

fn runner(way: Way) -> Runner<Script, impl MakeConnection<Conn = Script>> {
    let mut runner = Runner::new(move || async move { Ok(Script::new(way)) });
    runner.with_column_validator(strict_column_validator);
    runner
}

#[test]
fn the_rows_over_the_whole_stand_in_the_file() {
    for script in scripts() {
        let mut runner = runner(Way::Whole);
        if updates() {
            let update =
                runner.update_test_file(&script, " ", default_validator, default_normalizer, strict_column_validator);
            futures::executor::block_on(update).unwrap_or_else(|e| panic!("{}: {e}", script.display()));
        } else if let Err(error) = runner.run_file(&script) {
            panic!("{error}");
        }
    }
}

#[test]
fn a_stream_gives_the_same_rows() {
    if updates() {
        return;
    }
    let failed = scripts().iter().filter_map(|script| runner(Way::Stream).run_file(script).err()).collect::<Vec<_>>();
    assert!(failed.is_empty(), "{}", failed.iter().map(|error| format!("{error}\n")).collect::<String>());
}
