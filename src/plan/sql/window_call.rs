//! `TUMBLE(…)` and its like as they stand in FROM: DataFusion asks [`WindowFunctions`] while it plans, and gets a [`WindowNode`], or
//! a [`KeyedNode`](super::keyed::KeyedNode) where each key has windows of its own.
//!
//! Arguments go by their place or by the names that Flink has for them: `DATA`, `TIMECOL`, `SLIDE`, `SIZE`, `OFFSET`.

use std::sync::Arc;

use datafusion::common::{self, DFSchema, DataFusionError, Diagnostic, Result};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode};
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Ident, Spanned, TableAlias, TableFactor};
use datafusion::sql::sqlparser::tokenizer::Span as Place;
use lineside_model::Span;

use super::interval::{NoSpan, span_of};
use super::window::WindowNode;

/// A function that makes windows.
#[derive(Debug)]
struct Function {
    name: &'static str,
    /// The names of its arguments, which are Flink's where it has the function, in order.
    parameters: &'static [&'static str],
    usage: &'static str,
}

/// `PARTITION BY` behind the table, which comes as an argument of this name.
pub(super) const PARTITION_BY: &str = "PARTITION_BY";

const FUNCTIONS: [Function; 8] = [
    Function {
        name: "TUMBLE",
        parameters: &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        usage: "write TUMBLE(table, event_time, INTERVAL '1' MINUTE)",
    },
    Function {
        name: "HOP",
        parameters: &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        usage: "write HOP(table, event_time, INTERVAL '5' SECOND, INTERVAL '60' SECOND): slide, then size",
    },
    Function {
        name: "CUMULATE",
        parameters: &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        usage: "write CUMULATE(table, event_time, INTERVAL '1' HOUR, INTERVAL '1' DAY): step, then size",
    },
    Function {
        name: "CALENDAR",
        parameters: &["DATA", "TIMECOL", "PERIOD", "ZONE", "OFFSET"],
        usage: "write CALENDAR(table, event_time, 'day', 'Europe/Berlin')",
    },
    Function {
        name: "SHIFT",
        parameters: &["DATA", "TIMECOL", "ZONE", "SHIFTS"],
        usage: "write SHIFT(table, event_time, 'Europe/Berlin', 'early 06:00-14:00, late 14:00-22:00, night 22:00-06:00')",
    },
    Function {
        name: "SESSION",
        parameters: &["DATA", "TIMECOL", "GAP", "MAX_SIZE", PARTITION_BY],
        usage: "write SESSION(table PARTITION BY sensor, event_time, INTERVAL '30' SECOND)",
    },
    Function {
        name: "COUNT_WINDOW",
        parameters: &["DATA", "TIMECOL", "SIZE", "SLIDE", "GAP", PARTITION_BY],
        usage: "write COUNT_WINDOW(table PARTITION BY sensor, event_time, 100)",
    },
    Function {
        name: "STATE_WINDOW",
        parameters: &["DATA", "TIMECOL", "START", "STOP", "MAX_SIZE", PARTITION_BY],
        usage: "write STATE_WINDOW(table PARTITION BY sensor, event_time, START => value > 80, STOP => value < 70)",
    },
];

/// The words that make windows, as they stand in a query.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Plans the table functions that make windows.
#[derive(Debug)]
pub(super) struct WindowFunctions;

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(call) = Call::of(&relation)? else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let (data, name) = call.data()?;
        let input = context.plan(data)?;
        let time = call.time(&input, context)?;
        let node: Arc<dyn UserDefinedLogicalNode> = match call.function.name {
            "SESSION" | "COUNT_WINDOW" | "STATE_WINDOW" => Arc::new(call.keyed(input, time, context)?),
            _ => Arc::new(WindowNode::new(input, call.kind(context)?, time)?),
        };
        let node = LogicalPlan::Extension(Extension { node });
        let alias = call
            .alias
            .clone()
            .or_else(|| name.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None }));
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(node, alias))))
    }
}

/// What a window function reads, where it is one: for knowing which tables a query needs.
pub(super) fn data_of(relation: &TableFactor) -> Option<ast::Expr> {
    Call::of(relation).ok().flatten().and_then(|call| call.arguments.first().cloned().flatten())
}

/// A call as it was written.
#[derive(Debug)]
pub(super) struct Call {
    function: &'static Function,
    place: Place,
    alias: Option<TableAlias>,
    /// In the order of the function's parameters.
    arguments: Vec<Option<ast::Expr>>,
}

impl Call {
    fn of(relation: &TableFactor) -> Result<Option<Self>> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = relation else { return Ok(None) };
        let (function, place) = (name.to_string(), name.span());
        let Some(function) = FUNCTIONS.iter().find(|known| known.name.eq_ignore_ascii_case(&function)) else {
            let message = format!("there is no table function \"{function}\"");
            let known = words().collect::<Vec<_>>().join(", ");
            return Err(wrong(place, message, format!("the windows there are: {known}")));
        };
        let mut call = Self { function, place, alias: alias.clone(), arguments: Vec::new() };
        call.arguments = vec![None; function.parameters.len()];
        let mut places = 0..;
        for argument in &args.args {
            let (name, value) = match argument {
                FunctionArg::Unnamed(value) => (None, value),
                FunctionArg::Named { name, arg, .. } => (Some(name.value.clone()), arg),
                FunctionArg::ExprNamed { name, arg, .. } => (Some(name.to_string()), arg),
            };
            // `PARTITION BY` stands with the table and has no place of its own.
            let partition = name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(PARTITION_BY));
            let place = if partition { None } else { places.next() };
            let slot = name.map_or(place, |name| call.parameter(&name));
            let slot = slot.and_then(|slot| call.arguments.get_mut(slot));
            match (slot, value) {
                (Some(slot), FunctionArgExpr::Expr(value)) if slot.is_none() => *slot = Some(value.clone()),
                _ if partition => {
                    let message = format!("{} has no PARTITION BY", call.function());
                    return Err(wrong(argument.span(), message, "GROUP BY the column"));
                }
                _ => return Err(call.wrong(argument.span(), format!("argument \"{argument}\" does not belong here"))),
            }
        }
        Ok(Some(call))
    }

    /// Where it stands in the text.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Its name.
    pub(super) fn function(&self) -> &'static str {
        self.function.name
    }

    fn parameter(&self, name: &str) -> Option<usize> {
        self.function.parameters.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// The argument of a parameter, if it was given.
    pub(super) fn given(&self, name: &str) -> Option<&ast::Expr> {
        self.parameter(name).and_then(|n| self.arguments[n].as_ref())
    }

    /// What is wrong, and how the function is written.
    pub(super) fn wrong(&self, place: Place, message: impl Into<String>) -> DataFusionError {
        wrong(if place == Place::empty() { self.place } else { place }, message, self.function.usage)
    }

    /// The argument of a parameter that must be given.
    pub(super) fn argument(&self, name: &str) -> Result<&ast::Expr> {
        self.given(name).ok_or_else(|| {
            self.wrong(self.place, format!("{} needs its argument {}", self.function(), name.to_lowercase()))
        })
    }

    /// The table to read, and the name by which its columns can be qualified.
    fn data(&self) -> Result<(TableFactor, Option<Ident>)> {
        let data = self.argument("DATA")?;
        let name = match data {
            ast::Expr::Identifier(name) => vec![name.clone()],
            ast::Expr::CompoundIdentifier(names) => names.clone(),
            _ => return Err(self.wrong(data.span(), format!("\"{data}\" is not a table"))),
        };
        let last = name.last().cloned();
        let table = TableFactor::Table {
            name: name.into(),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        Ok((table, last))
    }

    fn time(&self, input: &LogicalPlan, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
        let time = self.argument("TIMECOL")?;
        match time {
            ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => {
                context.sql_to_expr(time.clone(), input.schema())
            }
            _ => Err(self.wrong(time.span(), format!("\"{time}\" is not an event-time column"))),
        }
    }

    /// A length of time that is the same on every day.
    pub(super) fn span(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<Span> {
        let argument = self.argument(name)?;
        let place = argument.span();
        let expected = || self.wrong(place, format!("the {} of a window is an interval", name.to_lowercase()));
        let value = context.sql_to_expr(argument.clone(), &DFSchema::empty()).map_err(|_| expected())?;
        let (value, sign) = match value {
            Expr::Negative(inner) => (*inner, -1),
            value => (value, 1),
        };
        let Expr::Literal(value, _) = value else { return Err(expected()) };
        match span_of(&value) {
            Ok(span) => Ok(Span::from_micros(sign * span.micros())),
            Err(NoSpan::NotAnInterval) => Err(expected()),
            Err(wrong @ NoSpan::Months) => {
                Err(self::wrong(place, wrong.message(""), "give the window in days or shorter units"))
            }
            Err(wrong @ (NoSpan::Fraction | NoSpan::TooLong)) => {
                Err(self.wrong(place, wrong.message(&format!("the {} of a window", name.to_lowercase()))))
            }
        }
    }
}

/// What is wrong, and the cure.
pub(super) fn wrong(place: Place, message: impl Into<String>, hint: impl Into<String>) -> DataFusionError {
    let message = message.into();
    let mut told = Diagnostic::new_error(message.clone(), common::Span::try_from_sqlparser_span(place));
    told.add_help(hint, None);
    DataFusionError::Plan(message).with_diagnostic(told)
}
