//! Which windows a row belongs to: how time is cut, and the node of DataFusion's plan that says so.
//!
//! `TUMBLE(readings, ts, INTERVAL '1' MINUTE)` puts every row into the one minute that its `ts` falls in;
//! `HOP(readings, ts, INTERVAL '5' SECOND, INTERVAL '60' SECOND)` into every window of 60 s of which one starts each 5 s. The
//! relation has the columns of its input and `window_start`, `window_end` behind them (shifts have a name besides, `shift`), which
//! replace columns of that name in the input.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use lineside_model::schema::time_field;
use lineside_operators::window::WindowKind;

pub(super) use lineside_operators::window::{SHIFT, WINDOW_END, WINDOW_START};

/// A relation whose rows are put into windows.
#[derive(Clone, Debug)]
pub(super) struct WindowNode {
    pub(super) input: LogicalPlan,
    pub(super) kind: WindowKind,
    /// The event time, a column of the input.
    pub(super) time: Expr,
    /// Which columns of the input come out, all but those that columns of the window replace.
    pub(super) kept: Vec<usize>,
    schema: DFSchemaRef,
}

impl WindowNode {
    pub(super) fn new(input: LogicalPlan, kind: WindowKind, time: Expr) -> Result<Self> {
        let (kept, schema) = with_edges(&input, kind.fields())?;
        Ok(Self { input, kind, time, kept, schema })
    }

    fn identity(&self) -> (&LogicalPlan, &WindowKind, &Expr) {
        (&self.input, &self.kind, &self.time)
    }
}

/// Which columns of an input come out, and what comes out: those and the columns of the window.
pub(super) fn with_edges(input: &LogicalPlan, window: Vec<Field>) -> Result<(Vec<usize>, DFSchemaRef)> {
    let replaced = |name: &str| window.iter().any(|field| field.name() == name);
    let kept =
        (0..input.schema().fields().len()).filter(|n| !replaced(input.schema().field(*n).name())).collect::<Vec<_>>();
    let mut fields = kept
        .iter()
        .map(|n| input.schema().qualified_field(*n))
        .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
        .collect::<Vec<_>>();
    let qualifier = fields.first().and_then(|(qualifier, _)| qualifier.clone());
    fields.extend(window.into_iter().map(|field| (qualifier.clone(), Arc::new(field))));
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    Ok((kept, schema))
}

/// Start and end of a window.
pub(super) fn edge_fields() -> Vec<Field> {
    vec![time_field(WINDOW_START, false), time_field(WINDOW_END, false)]
}

impl PartialEq for WindowNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for WindowNode {}

impl Hash for WindowNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window: {} over {}", self.kind, self.time)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.pop(), inputs.pop()) {
            (Some(time), Some(input)) => Self::new(input, self.kind.clone(), time),
            _ => Err(DataFusionError::Internal("a window has one input and one time".to_owned())),
        }
    }
}
