//! Continuous SQL: a `SELECT` of the pipeline file turned into operators.

use arrow::datatypes::SchemaRef;
use lineside_model::{At, Problem, Problems};
use lineside_operators::{PlannedOperator, TimeColumn};

/// A table that a query may read.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Those of them that are event times.
    pub times: Vec<TimeColumn>,
}

/// What a step reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepInput {
    /// A table of the query.
    Table(String),
    /// The output of an earlier step.
    Step(usize),
}

/// One operator of a query.
#[derive(Debug)]
pub struct Step {
    /// What it does, in one word.
    pub label: String,
    /// What it reads, one entry a port.
    pub inputs: Vec<StepInput>,
    /// The operator.
    pub operator: PlannedOperator,
    /// For each port, which columns of the output are columns of that input, unchanged: name in the output, name in the input.
    pub lineage: Vec<Vec<(String, String)>>,
}

/// A query as operators.
#[derive(Debug)]
pub struct QueryPlan {
    /// Its operators, each after all that it reads from.
    pub steps: Vec<Step>,
    /// Where its rows come out.
    pub output: StepInput,
    /// Lines for `explain`.
    pub explain: Vec<String>,
}

/// Plans a query.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan_query(_name: &str, _sql: &str, _tables: &[Table]) -> Result<QueryPlan, Problems> {
    Err(Problem { at: At::option("sql"), message: "this build has no SQL".to_owned(), hint: None }.into())
}

/// The names that a query reads.
///
/// # Errors
/// If it is no SQL.
pub fn tables_of(_sql: &str) -> Result<Vec<String>, Problems> {
    Err(Problem { at: At::option("sql"), message: "this build has no SQL".to_owned(), hint: None }.into())
}
