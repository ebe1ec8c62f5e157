//! Windows whose edges depend on the rows of each key: how rows become windows, and the node of DataFusion's plan that says so.
//!
//! `SESSION(readings PARTITION BY sensor, ts, INTERVAL '30' SECOND)` puts rows of a sensor into one window while they follow each
//! other without a longer pause; `COUNT_WINDOW(…)` so many rows; `STATE_WINDOW(…)` the rows from one condition to another. The relation has
//! the columns of its input, and `window_start` and `window_end` behind them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use lineside_model::Span;

use super::window::{edge_fields, with_edges};

/// How the rows of a key become windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyedCut {
    Session { gap: Span, max_size: Option<Span> },
    Count { size: u64, slide: u64, gap: Option<Span> },
    Condition { max_size: Option<Span> },
}

impl KeyedCut {
    /// The function that stands for it in a query.
    pub(super) fn function(&self) -> &'static str {
        match self {
            Self::Session { .. } => "SESSION",
            Self::Count { .. } => "COUNT_WINDOW",
            Self::Condition { .. } => "STATE_WINDOW",
        }
    }
}

/// What windows are made of, each an expression over the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyedParts {
    /// The event time, a column.
    pub(super) time: Expr,
    pub(super) keys: Vec<Expr>,
    /// What starts a window, and what stops it.
    pub(super) start: Option<Expr>,
    pub(super) stop: Option<Expr>,
}

/// A relation whose rows are put into windows of their key.
#[derive(Clone, Debug)]
pub(super) struct KeyedNode {
    pub(super) input: LogicalPlan,
    pub(super) cut: KeyedCut,
    pub(super) parts: KeyedParts,
    /// Which columns of the input come out, all but those that `window_start` and `window_end` replace.
    pub(super) kept: Vec<usize>,
    schema: DFSchemaRef,
}

impl KeyedNode {
    pub(super) fn new(input: LogicalPlan, cut: KeyedCut, parts: KeyedParts) -> Result<Self> {
        let (kept, schema) = with_edges(&input, edge_fields())?;
        Ok(Self { input, cut, parts, kept, schema })
    }

    fn identity(&self) -> (&LogicalPlan, &KeyedCut, &KeyedParts) {
        (&self.input, &self.cut, &self.parts)
    }
}

impl PartialEq for KeyedNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KeyedNode {}

impl Hash for KeyedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for KeyedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for KeyedNode {
    fn name(&self) -> &str {
        "KeyedWindow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let KeyedParts { time, keys, start, stop } = &self.parts;
        [time].into_iter().chain(keys).chain(start).chain(stop).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedWindow: {} over {}", self.cut.function(), self.parts.time)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let wrong =
            || DataFusionError::Internal("a window has one input, and as many expressions as before".to_owned());
        let mut exprs = exprs.into_iter();
        let mut next = || exprs.next().ok_or_else(wrong);
        let parts = KeyedParts {
            time: next()?,
            keys: self.parts.keys.iter().map(|_| next()).collect::<Result<_>>()?,
            start: self.parts.start.as_ref().map(|_| next()).transpose()?,
            stop: self.parts.stop.as_ref().map(|_| next()).transpose()?,
        };
        Self::new(inputs.pop().ok_or_else(wrong)?, self.cut, parts)
    }
}
