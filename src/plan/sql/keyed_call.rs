//! `SESSION(…)`, `COUNT_WINDOW(…)` and `STATE_WINDOW(…)` as they stand in FROM: what their arguments mean.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, Spanned};
use lineside_model::Span;

use super::keyed::{KeyedCut, KeyedNode, KeyedParts};
use super::window_call::{Call, PARTITION_BY, wrong};

impl Call {
    /// The windows of each key that the call asks for.
    pub(super) fn keyed(
        &self,
        input: LogicalPlan,
        time: Expr,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<KeyedNode> {
        let cut = match self.function() {
            "SESSION" => {
                self.argument("GAP")?;
                let gap = self.length("GAP", context)?.unwrap_or(Span::ZERO);
                KeyedCut::Session { gap, max_size: self.length("MAX_SIZE", context)? }
            }
            "COUNT_WINDOW" => {
                let size = self.rows("SIZE", context)?;
                let slide = if self.given("SLIDE").is_some() { self.rows("SLIDE", context)? } else { size };
                if slide > size {
                    let message = format!(
                        "the slide of {slide} rows is longer than the window of {size}: rows between would be lost"
                    );
                    return Err(wrong(self.argument("SLIDE")?.span(), message, "size comes first, then slide"));
                }
                KeyedCut::Count { size, slide, gap: self.length("GAP", context)? }
            }
            _ => {
                self.argument("START")?;
                KeyedCut::Condition { max_size: self.length("MAX_SIZE", context)? }
            }
        };
        let names = input.schema().as_ref();
        let parts = KeyedParts {
            time,
            keys: self.keys(names, context)?,
            start: self.condition("START", names, context)?,
            stop: self.condition("STOP", names, context)?,
        };
        KeyedNode::new(input, cut, parts)
    }

    /// What stands behind `PARTITION BY`.
    fn keys(&self, names: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Vec<Expr>> {
        let keys = match self.given(PARTITION_BY) {
            Some(ast::Expr::Tuple(keys)) => keys.as_slice(),
            Some(ast::Expr::Nested(key)) => std::slice::from_ref(key.as_ref()),
            Some(key) => std::slice::from_ref(key),
            None => &[],
        };
        keys.iter().map(|key| context.sql_to_expr(key.clone(), names)).collect()
    }

    /// A length of time greater than zero.
    fn length(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<Option<Span>> {
        let Some(argument) = self.given(name) else { return Ok(None) };
        let span = self.span(name, context)?;
        if span <= Span::ZERO {
            let message = format!("the {} of a window must be greater than zero", name.to_lowercase());
            return Err(self.wrong(argument.span(), message));
        }
        Ok(Some(span))
    }

    /// A number of rows.
    fn rows(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<u64> {
        let argument = self.argument(name)?;
        let rows = match context.sql_to_expr(argument.clone(), &DFSchema::empty()) {
            Ok(Expr::Literal(ScalarValue::Int64(Some(rows)), _)) => u64::try_from(rows).ok().filter(|rows| *rows > 0),
            _ => None,
        };
        rows.ok_or_else(|| {
            let message = format!("the {} of a count window is a number of rows, at least 1", name.to_lowercase());
            self.wrong(argument.span(), message)
        })
    }

    /// A condition on the rows of the input.
    fn condition(
        &self,
        name: &str,
        names: &DFSchema,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Option<Expr>> {
        let Some(argument) = self.given(name) else { return Ok(None) };
        let condition = context.sql_to_expr(argument.clone(), names)?;
        let whole = |part: &Expr| matches!(part, Expr::AggregateFunction(_) | Expr::WindowFunction(_));
        let per_row = !condition.exists(|part| Ok(whole(part)))?;
        match condition.get_type(names) {
            Ok(DataType::Boolean) | Err(_) if per_row => Ok(Some(condition)),
            _ => {
                let message = format!("{argument} is not a condition on a row");
                Err(self.wrong(argument.span(), message))
            }
        }
    }
}
