//! Computes columns and drops rows: the `SELECT` list and the `WHERE` of a query.
//!
//! An expression that fails for a row, such as a division by zero or a cast of `"n/a"` to a number, drops that row and no
//! other, counted as `expression_failed`; the stream goes on. DataFusion fails for a batch as a whole, so a batch that fails is
//! halved until the failing rows stand alone. A column that is only passed on is not copied, nor are rows if all pass the filter.
//! As in DataFusion, sums and products of integers wrap around at the end of their range, and a float divided by zero is infinite.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::CustomDialectBuilder;
use lineside_model::{Reason, Result};
use lineside_operators::{Emitter, Operator, Port};

use super::compare::faster;

/// What is computed of the rows of one input, compiled.
#[derive(Clone, Debug)]
pub(super) struct Program {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of the input that the expressions use, in order.
    used: Vec<usize>,
    /// Over the used columns.
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    /// What comes out.
    pub(super) schema: SchemaRef,
    /// What runs, as SQL, for `explain`.
    pub(super) predicate_sql: Option<String>,
    pub(super) columns_sql: Vec<String>,
}

impl Program {
    /// Compiles expressions over unqualified columns of `input`; each comes out under its name.
    pub(super) fn compile(input: &SchemaRef, predicate: Option<&Expr>, columns: &[(Expr, String)]) -> PlanResult<Self> {
        let whole = DFSchema::try_from(Arc::clone(input))?;
        let predicate = predicate.map(|predicate| simplify(predicate, &whole)).transpose()?;
        let columns = columns
            .iter()
            .map(|(expr, name)| Ok((simplify(expr, &whole)?, name.as_str())))
            .collect::<PlanResult<Vec<_>>>()?;
        let used = (0..input.fields().len())
            .filter(|n| columns.iter().any(|(expr, _)| uses(expr, input.field(*n).name())))
            .collect::<Vec<_>>();
        let narrow = Arc::new(input.project(&used)?);
        let narrowed = DFSchema::try_from(Arc::clone(&narrow))?;
        let mut expressions = Vec::with_capacity(columns.len());
        let mut fields = Vec::with_capacity(columns.len());
        for (expr, name) in &columns {
            let physical = compile(expr, &narrowed)?;
            fields.push(Field::new(*name, physical.data_type(&narrow)?, physical.nullable(&narrow)?));
            expressions.push(physical);
        }
        Ok(Self {
            used,
            expressions,
            schema: Arc::new(Schema::new(fields)),
            predicate_sql: predicate.as_ref().map(sql_of),
            columns_sql: columns.iter().map(|(expr, name)| named_sql(expr, name)).collect(),
            predicate: predicate.map(|expr| compile(&expr, &whole)).transpose()?,
        })
    }

    /// The rows that come out; those that are missing were filtered.
    fn run(&self, rows: &RecordBatch) -> PlanResult<RecordBatch> {
        let used = match self.selected(rows)? {
            Selected::All => rows.project(&self.used)?,
            Selected::Some(mask) => filter_record_batch(&rows.project(&self.used)?, &mask)?,
            Selected::None => return Ok(RecordBatch::new_empty(Arc::clone(&self.schema))),
        };
        let count = used.num_rows();
        let columns = self
            .expressions
            .iter()
            .map(|expression| expression.evaluate(&used)?.into_array(count))
            .collect::<PlanResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn selected(&self, rows: &RecordBatch) -> PlanResult<Selected> {
        let Some(predicate) = &self.predicate else { return Ok(Selected::All) };
        let mask = predicate.evaluate(rows)?.into_array(rows.num_rows())?;
        // `WHERE NULL` is of no type: as a condition it holds for no row.
        let Some(mask) = mask.as_boolean_opt() else { return Ok(Selected::None) };
        Ok(match mask.true_count() {
            0 => Selected::None,
            all if all == rows.num_rows() => Selected::All,
            _ => Selected::Some(mask.clone()),
        })
    }
}

enum Selected {
    All,
    Some(BooleanArray),
    None,
}

/// An expression with what can be computed beforehand computed.
pub(super) fn simplify(expr: &Expr, schema: &DFSchema) -> PlanResult<Expr> {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    ExprSimplifier::new(context).simplify(expr.clone())
}

fn compile(expr: &Expr, schema: &DFSchema) -> PlanResult<Arc<dyn PhysicalExpr>> {
    faster(create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

fn uses(expr: &Expr, name: &str) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::Column(column) if column.name == name))).unwrap_or(true)
}

/// An expression as SQL, for people: names are not quoted.
pub(super) fn sql_of(expr: &Expr) -> String {
    let dialect = CustomDialectBuilder::new().build();
    let sql = Unparser::new(&dialect).with_pretty(true).expr_to_sql(expr);
    sql.map_or_else(|_| expr.human_display().to_string(), |sql| sql.to_string())
}

fn named_sql(expr: &Expr, name: &str) -> String {
    match expr {
        Expr::Column(column) if column.name == name => sql_of(expr),
        _ => format!("{} AS {name}", sql_of(expr)),
    }
}

/// The operator: a program for each input, whose rows come out together.
#[derive(Debug)]
pub(super) struct Expressions {
    pub(super) programs: Arc<[Program]>,
}

impl Operator for Expressions {
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        match self.programs.get(port) {
            Some(program) if rows.num_rows() > 0 => run(program, &rows, out),
            _ => Ok(()),
        }
    }
}

/// Runs a program; where it fails, over each half.
fn run(program: &Program, rows: &RecordBatch, out: &mut dyn Emitter) -> Result<()> {
    let count = rows.num_rows();
    match program.run(rows) {
        Ok(result) => {
            if result.num_rows() < count {
                out.dropped(Reason::Filtered, count - result.num_rows());
            }
            if result.num_rows() > 0 { out.emit(result) } else { Ok(()) }
        }
        Err(_) if count > 1 => {
            let half = count / 2;
            run(program, &rows.slice(0, half), out)?;
            run(program, &rows.slice(half, count - half), out)
        }
        Err(_) => {
            out.dropped(Reason::ExpressionFailed, count);
            Ok(())
        }
    }
}
