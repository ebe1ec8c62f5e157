//! One aggregate as it stands in a query: which of ours it is, and over which column.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction as Call, AggregateFunctionParams, NullTreatment, Sort};
use datafusion::logical_expr::{Aggregate, Expr, lit, when};
use lineside_model::Problem;
use lineside_operators::window::AggregateFunction;

use super::expression::{simplify, sql_of};
use super::lower::Lowering;
use super::relation::{Relation, column, unused};
use super::window::{WINDOW_END, WINDOW_START};

const SUPPORTED: &str = "count, sum, avg, min, max, stddev, stddev_pop, first_value, last_value, median, percentile_cont, \
                         approx_median, approx_percentile_cont";

/// What is computed of a window's rows.
pub(super) struct Aggregated {
    pub(super) function: AggregateFunction,
    /// The name in the text, for error messages.
    pub(super) word: String,
    /// Over which column of [`Arguments`]; `None`: over rows.
    pub(super) argument: Option<usize>,
    /// The name of its column.
    pub(super) name: String,
}

/// The columns that the window operator reads, each once.
#[derive(Default)]
pub(super) struct Arguments(pub(super) Vec<(Expr, String)>);

impl Arguments {
    /// Where the column is; it is added if it is new, under this name or one like it.
    pub(super) fn add(&mut self, expr: Expr, name: &str) -> usize {
        match self.0.iter().position(|(known, _)| *known == expr) {
            Some(place) => place,
            None => {
                let taken =
                    |name: &str| [WINDOW_START, WINDOW_END].contains(&name) || self.0.iter().any(|(_, n)| n == name);
                let name = unused(name, taken);
                self.0.push((expr, name));
                self.0.len() - 1
            }
        }
    }
}

impl Lowering<'_> {
    /// Reads one aggregate; the columns it needs are added to the arguments.
    pub(super) fn aggregated(
        &self,
        expr: &Expr,
        node: &Aggregate,
        relation: &Relation,
        arguments: &mut Arguments,
    ) -> Result<Aggregated, Problem> {
        let Expr::AggregateFunction(Call { func, params }) = expr.clone().unalias() else {
            return Err(self.text.at_word("group", "this aggregate does not run on a stream"));
        };
        let words = [func.name()].into_iter().chain(func.aliases().iter().map(String::as_str));
        let word = words.clone().find(|word| self.text.has_word(word)).unwrap_or(func.name()).to_owned();
        let resolve = |expr: &Expr| self.resolve(relation, expr, node.input.schema());
        let AggregateFunctionParams { args, filter, order_by, null_treatment, .. } = params;
        let args = args.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_deref().map(resolve).transpose()?;
        let sorts =
            order_by.iter().map(|sort| Ok((resolve(&sort.expr)?, sort))).collect::<Result<Vec<_>, Problem>>()?;
        let function = self.function(func.name(), &word, &args, &sorts, relation)?;
        if null_treatment == Some(NullTreatment::RespectNulls) {
            return Err(self.text.at_word("respect", "aggregates leave out nulls").hint("leave out RESPECT NULLS"));
        }
        let whole_rows = function == AggregateFunction::Count && args.iter().all(is_value);
        let over = match args.first() {
            Some(arg) if !whole_rows => self.sql(arg, relation),
            _ => "*".to_owned(),
        };
        let name = match &filter {
            Some(filter) => format!("{word}({over} where {})", self.sql(filter, relation)),
            None => format!("{word}({over})"),
        };
        // `FILTER (WHERE …)`: nulls are left out by every aggregate.
        let case = |filter: Expr, value: Expr| when(filter, value).end().map_err(|e| self.text.planning(&e));
        let argument = match (whole_rows, filter, args.into_iter().next()) {
            (true, None, _) => None,
            (true, Some(filter), _) => Some(case(filter, lit(1_i64))?),
            (false, Some(filter), Some(arg)) => Some(case(filter, arg)?),
            (false, None, arg) => arg,
            (false, Some(_), None) => None,
        };
        let argument = argument.map(|expr| {
            let name = match relation.plain(&expr) {
                Some(place) => relation.schema.field(place).name().clone(),
                None => "argument".to_owned(),
            };
            arguments.add(expr, &name)
        });
        Ok(Aggregated { function, word, argument, name })
    }

    /// An expression for people.
    fn sql(&self, expr: &Expr, relation: &Relation) -> String {
        let simple = relation.df_schema().and_then(|schema| simplify(expr, &schema));
        sql_of(simple.as_ref().unwrap_or(expr))
    }

    /// Our aggregate of this name.
    fn function(
        &self,
        name: &str,
        word: &str,
        args: &[Expr],
        sorts: &[(Expr, &Sort)],
        relation: &Relation,
    ) -> Result<AggregateFunction, Problem> {
        let ascending = sorts.first().is_none_or(|(_, sort)| sort.asc);
        let found = match name {
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Avg,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            "stddev" => AggregateFunction::StddevSample,
            "stddev_pop" => AggregateFunction::StddevPopulation,
            "first_value" | "last_value" => {
                let time = relation.window.map(|window| column(relation.schema.field(window.time).name()));
                if sorts.iter().any(|(expr, _)| Some(expr) != time.as_ref()) {
                    let message = format!("{word} goes by the event time of the window, not by another order");
                    return Err(self.text.at_word(word, message).hint("leave out its ORDER BY"));
                }
                match (name == "first_value") == ascending {
                    true => AggregateFunction::FirstValue,
                    false => AggregateFunction::LastValue,
                }
            }
            "median" => AggregateFunction::Percentile { fraction: 0.5, exact: true },
            "approx_median" => AggregateFunction::Percentile { fraction: 0.5, exact: false },
            "percentile_cont" | "approx_percentile_cont" => {
                let exact = name == "percentile_cont";
                let fraction = args.get(1).and_then(number).filter(|fraction| (0.0..=1.0).contains(fraction));
                let fraction = fraction.ok_or_else(|| {
                    let message = format!("{word} needs a fraction that is a number from 0 to 1");
                    self.text.at_word(word, message).hint(format!("write {word}(0.95) WITHIN GROUP (ORDER BY value)"))
                })?;
                if args.len() > 2 {
                    let message = format!("the size of the digest behind {word} is fixed");
                    return Err(self.text.at_word(word, message).hint("leave out the number of centroids"));
                }
                AggregateFunction::Percentile { fraction: if ascending { fraction } else { 1.0 - fraction }, exact }
            }
            _ => {
                let message = format!("aggregate {word} is not built for streams");
                return Err(self.text.at_word(word, message).hint(format!("there are: {SUPPORTED}")));
            }
        };
        let one_column = !matches!(found, AggregateFunction::Percentile { .. });
        if one_column && args.len() > 1 {
            return Err(self.text.at_word(word, format!("{word} takes one column")));
        }
        Ok(found)
    }
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(found)) => found,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}
