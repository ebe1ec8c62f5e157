//! A relation that is still to be computed: what is read, which rows of it, which columns, and the windows they are put into.
//!
//! Projections and filters that follow each other are gathered here and run as one step.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result as PlanResult};
use datafusion::logical_expr::Expr;
use lineside_operators::TimeColumn;
use lineside_operators::window::WindowKind;

use super::StepInput;
use super::keyed::KeyedCut;
use super::window::{SHIFT, WINDOW_END, WINDOW_START};

/// Stands before the name of a column that is an edge of the window and so not yet computed.
const EDGE: &str = "window";

/// A relation that is still to be computed.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// What is read.
    pub(super) input: StepInput,
    pub(super) schema: SchemaRef,
    pub(super) times: Vec<TimeColumn>,
    /// Which rows, over the columns read.
    pub(super) filter: Option<Expr>,
    /// What comes out, over the columns read and the edges of the window.
    pub(super) columns: Vec<Expr>,
    pub(super) window: Option<Window>,
    /// The same, where each key has windows of its own. Rows that the filter leaves out still shape them.
    pub(super) keyed: Option<Keyed>,
}

/// Windows whose edges depend on the rows of each key. All expressions are over the columns read.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub(super) cut: KeyedCut,
    /// The event time among the columns read.
    pub(super) time: usize,
    pub(super) keys: Vec<Expr>,
    pub(super) start: Option<Expr>,
    pub(super) stop: Option<Expr>,
}

/// The windows that rows are put into.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kind: WindowKind,
    /// The event time among the columns read.
    pub(super) time: usize,
}

impl Relation {
    /// All rows and columns of an input.
    pub(super) fn of(input: StepInput, schema: SchemaRef, times: Vec<TimeColumn>) -> Self {
        let columns = schema.fields().iter().map(|field| column(field.name())).collect();
        Self { input, schema, times, filter: None, columns, window: None, keyed: None }
    }

    /// `expr` over the columns named by `names`, which are those of this relation, as one over the columns read.
    pub(super) fn resolve(&self, expr: &Expr, names: &DFSchema) -> PlanResult<Expr> {
        expr.clone()
            .transform_up(|part| match &part {
                Expr::Column(name) => Ok(Transformed::yes(self.columns[names.index_of_column(name)?].clone())),
                _ => Ok(Transformed::no(part)),
            })
            .data()
            .map(|expr| expr.unalias_nested().data)
    }

    /// The column read that `expr` is, unchanged.
    pub(super) fn plain(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(column) if column.relation.is_none() => self.schema.index_of(&column.name).ok(),
            _ => None,
        }
    }

    /// The event time that `expr` is.
    pub(super) fn time(&self, expr: &Expr) -> Option<(usize, &TimeColumn)> {
        let place = self.plain(expr)?;
        let name = self.schema.field(place).name();
        self.times.iter().find(|time| time.name == *name).map(|time| (place, time))
    }

    /// Whether a column that takes work to compute is used more than once by `expressions`.
    pub(super) fn computes_twice(&self, expressions: &[Expr], names: &DFSchema) -> PlanResult<bool> {
        let mut uses = HashMap::<usize, usize>::new();
        for expr in expressions {
            for column in all_columns(expr)? {
                *uses.entry(names.index_of_column(&column)?).or_default() += 1;
            }
        }
        let cheap = |n: &usize| matches!(self.columns[*n], Expr::Column(_) | Expr::Literal(..));
        Ok(uses.iter().any(|(n, count)| *count > 1 && !cheap(n)))
    }

    /// Whether it is what it reads, under these names.
    pub(super) fn is_whole(&self, names: &[String]) -> bool {
        let fields = self.schema.fields();
        self.filter.is_none()
            && !self.is_windowed()
            && names.len() == fields.len()
            && fields.iter().zip(names).all(|(field, name)| field.name() == name)
            && self.columns.iter().enumerate().all(|(n, expr)| self.plain(expr) == Some(n))
    }

    /// The event times among `columns`, each under its name.
    pub(super) fn times_of(&self, columns: &[(Expr, String)]) -> Vec<TimeColumn> {
        let kept = |(expr, name): &(Expr, String)| {
            let (_, time) = self.time(expr)?;
            Some(TimeColumn { name: name.clone(), delay: time.delay })
        };
        columns.iter().filter_map(kept).collect()
    }

    /// Which of `columns` are columns read, unchanged: name here, name there.
    pub(super) fn lineage_of(&self, columns: &[(Expr, String)]) -> Vec<(String, String)> {
        let kept = |(expr, name): &(Expr, String)| {
            let place = self.plain(expr)?;
            Some((name.clone(), self.schema.field(place).name().clone()))
        };
        columns.iter().filter_map(kept).collect()
    }

    /// Whether its rows are put into windows.
    pub(super) fn is_windowed(&self) -> bool {
        self.window.is_some() || self.keyed.is_some()
    }

    /// The event time that its windows go by.
    pub(super) fn window_time(&self) -> Option<usize> {
        self.window.as_ref().map(|window| window.time).or(self.keyed.as_ref().map(|keyed| keyed.time))
    }

    /// The schema as DataFusion wants it.
    pub(super) fn df_schema(&self) -> PlanResult<DFSchema> {
        DFSchema::try_from(Arc::clone(&self.schema))
    }
}

/// Whether the columns that `expr` uses are among those read, or of the window. A join has left out those that nobody uses.
pub(super) fn is_there(expr: &Expr, read: &Schema) -> bool {
    expr.column_refs().iter().all(|c| c.relation.is_some() || read.column_with_name(&c.name).is_some())
}

/// A column that is read.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// A column of the window.
pub(super) fn edge(name: &str) -> Expr {
    Expr::Column(Column::new(Some(EDGE), name))
}

/// Start and end of the window.
pub(super) fn edges() -> [Expr; 2] {
    [WINDOW_START, WINDOW_END].map(edge)
}

/// Which column of the window an expression is.
pub(super) fn edge_of(expr: &Expr) -> Option<&'static str> {
    [WINDOW_START, WINDOW_END, SHIFT].into_iter().find(|name| edge(name) == *expr)
}

/// Whether `expr` uses columns of the window.
pub(super) fn uses_edges(expr: &Expr) -> PlanResult<bool> {
    expr.exists(|part| Ok(edge_of(part).is_some()))
}

/// `expr` with each column of the window taken from the column of the name behind it.
pub(super) fn with_edges(expr: Expr, names: &[(String, String)]) -> PlanResult<Expr> {
    expr.transform_up(|part| {
        let found = edge_of(&part).and_then(|edge| names.iter().find(|(name, _)| name == edge));
        Ok(match found {
            Some((_, name)) => Transformed::yes(column(name)),
            None => Transformed::no(part),
        })
    })
    .data()
}

/// `expr` with its columns under other names.
pub(super) fn renamed(expr: Expr, name_of: &dyn Fn(&str) -> Option<String>) -> PlanResult<Expr> {
    expr.transform_up(|part| match &part {
        Expr::Column(known) => match name_of(&known.name) {
            Some(name) => Ok(Transformed::yes(column(&name))),
            None => Ok(Transformed::no(part)),
        },
        _ => Ok(Transformed::no(part)),
    })
    .data()
}

/// `name`, or with a number behind it if that is taken.
pub(super) fn unused(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut found = name.to_owned();
    let mut n = 2;
    while taken(&found) {
        found = format!("{name}_{n}");
        n += 1;
    }
    found
}

fn all_columns(expr: &Expr) -> PlanResult<Vec<Column>> {
    let mut found = Vec::new();
    expr.apply(|part| {
        if let Expr::Column(column) = part {
            found.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
