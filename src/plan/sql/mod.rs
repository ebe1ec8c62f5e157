//! Continuous SQL: a `SELECT` in the pipeline file becomes steps that run for ever over streams. `docs/sql.md` tells what runs.
//!
//! ```text
//! text ── tokens, Flink's long form shortened ──► statement ── refusals ──► DataFusion's plan ──► relations ──► steps
//! ```
//!
//! DataFusion, unchanged, parses and plans: names, types, coercions, functions. Windows come to it as table functions
//! (`window_call`). Its plan is lowered to our operators (`lower`): projections and filters to `expression`, windowed aggregates
//! to the window operator, `OVER` to its own (`over`, `series`). What cannot run as a stream is refused at the words that ask for it, with the nearest form that can.

mod aggregate;
mod aggregate_call;
mod asof;
mod catalog;
mod compare;
mod expression;
mod external;
mod flink;
mod interval;
mod join;
mod join_condition;
mod keyed;
mod keyed_call;
mod keyed_lower;
mod lookup;
mod lower;
mod over;
mod plant_aggregate;
mod prepared;
mod quality;
mod rank;
mod refuse;
mod relation;
mod series;
#[cfg(test)]
mod tests;
mod text;
mod window;
mod window_call;
mod window_kind;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::optimizer::Analyzer;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;
use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Problems, Span};
use lineside_operators::window::{Emission, MAX_GROUPS};
use lineside_operators::{PlannedOperator, TimeColumn};

use crate::config::options::QualityOption;
use catalog::Catalog;
use lower::Lowering;
pub use prepared::{Prepared, united};
use text::SqlText;

/// Something a query can read: a source or another query.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name in the pipeline file.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Which of them are event times.
    pub times: Vec<TimeColumn>,
    /// Whether it is a `[table.NAME]`, whose rows are all there, and no stream.
    pub fixed: bool,
}

/// What a step reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepInput {
    /// The table of this name.
    Table(String),
    /// An earlier step of the query.
    Step(usize),
}

/// One operator of a query.
#[derive(Debug)]
pub struct Step {
    /// What it does, unique in the query: `prepare`, `window`, `select`.
    pub label: String,
    /// What it reads, one entry a port.
    pub inputs: Vec<StepInput>,
    /// The operator.
    pub operator: PlannedOperator,
    /// For each port, which columns of the output are columns of that input, unchanged: name in the output, name in the input.
    /// So the columns that a later step is keyed by can be followed back to the source.
    pub lineage: Vec<Vec<(String, String)>>,
}

/// A query as steps.
#[derive(Debug)]
pub struct QueryPlan {
    /// The steps, each after all that it reads from.
    pub steps: Vec<Step>,
    /// Where the rows of the query come out.
    pub output: StepInput,
    /// Lines for `explain` beside those of the steps: which columns of the output are event times.
    pub explain: Vec<String>,
    /// What its windows read of tables, where they could share slices with windows of other queries.
    pub prepared: Vec<Prepared>,
}

/// What is wished of the steps of a query beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Which readings aggregates take.
    pub quality: QualityOption,
    /// When rows of windows come out.
    pub emission: Emission,
    /// Whether steps with windows are to read whole rows and not only the columns they use: late ones are shown whole.
    pub whole_rows: bool,
    /// How many groups windows may have at a time.
    pub max_groups: usize,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            quality: QualityOption::default(),
            emission: Emission::default(),
            whole_rows: false,
            max_groups: MAX_GROUPS,
        }
    }
}

impl From<QualityOption> for Wish {
    fn from(quality: QualityOption) -> Self {
        Self { quality, ..Self::default() }
    }
}

/// Plans a query over these tables, with a wish.
///
/// # Errors
/// Everything that is wrong, each at its place in the text.
pub fn plan_query(name: &str, sql: &str, wish: Wish, tables: &[Table]) -> Result<QueryPlan, Problems> {
    plan_query_with(name, sql, wish, tables, &[])
}

/// The same beside other queries: windows that go with theirs read what was [`united`].
///
/// # Errors
/// Everything that is wrong, each at its place in the text.
pub fn plan_query_with(
    name: &str,
    sql: &str,
    wish: Wish,
    tables: &[Table],
    united: &[Prepared],
) -> Result<QueryPlan, Problems> {
    let text = SqlText::new(sql)?;
    let statement = refuse::one_select(&text)?;
    check_tables(name, &text, &statement, tables)?;
    let catalog = Catalog::new(tables);
    let options = catalog.options();
    let planner = SqlToRel::new_with_options(&catalog, ParserOptions::from(&options.sql_parser));
    let plan = planner
        .sql_statement_to_plan(statement)
        .and_then(|plan| Analyzer::new().execute_and_check(plan, options, |_, _| {}))
        .map_err(|error| Problems(error.iter().map(|error| text.planning(error)).collect()))?;
    Ok(Lowering::new(&text, tables, wish, united).query(&plan)?)
}

/// The tables that a query reads, each once, in the order of the text.
///
/// # Errors
/// If the text cannot be parsed, or cannot run as a stream whatever the tables are.
pub fn tables_of(sql: &str) -> Result<Vec<String>, Problems> {
    let text = SqlText::new(sql)?;
    let statement = refuse::one_select(&text)?;
    let mut names = Vec::new();
    for (name, _) in refuse::tables(&statement) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn check_tables(query: &str, text: &SqlText, statement: &Statement, tables: &[Table]) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (name, place) in refuse::tables(statement) {
        if tables.iter().any(|table| table.name == name) {
            continue;
        }
        let known = tables.iter().map(|table| table.name.as_str());
        let hint = match known.clone().find(|known| known.eq_ignore_ascii_case(&name)) {
            _ if name == query => "a query cannot read itself".to_owned(),
            Some(known) => format!("its name has capitals: write it in quotes, \"{known}\""),
            None => did_you_mean(&name, known),
        };
        problems.push(Problem::hint(text.at(place, format!("there is no source or query \"{name}\"")), hint));
    }
    problems.or(())
}

fn event_times(times: &[TimeColumn]) -> String {
    let time = |time: &TimeColumn| match time.delay {
        Span::ZERO => time.name.clone(),
        delay => format!("{} (up to {delay} behind the watermark)", time.name),
    };
    match times {
        [] => "event times: none, so no window can be cut over its rows".to_owned(),
        times => format!("event times: {}", times.iter().map(time).collect::<Vec<_>>().join(", ")),
    }
}
