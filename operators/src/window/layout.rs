//! What the window operator was planned for: the views of several queries, and all that they have in common.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use lineside_model::schema::as_type;
use lineside_model::{Result, Span};

use super::WindowQuery;
use super::assign::{Cells, Windows};
use super::columns::{Columns, place};
use crate::aggregate::{Partial, Shared, Statistic};

/// What was planned, shared by all workers.
#[derive(Debug)]
pub(super) struct Layout {
    /// How the views cut time together.
    pub(super) cells: Cells,
    pub(super) time: usize,
    pub(super) time_delay: Span,
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    /// How many keys there may be at a time.
    pub(super) max_groups: usize,
    /// Columns that aggregates read, and the type they are cast to once for all.
    pub(super) values: Vec<(usize, DataType)>,
    /// What is kept for the aggregates of all views, and which of `values` it reads.
    pub(super) shared: Shared,
    /// One for each output.
    pub(super) views: Vec<ViewLayout>,
}

/// One query's windows over the slices.
#[derive(Debug)]
pub(super) struct ViewLayout {
    pub(super) windows: Windows,
    /// What it puts out for each window and key.
    pub(super) results: Vec<(usize, Statistic)>,
    /// Which of the partials that takes.
    pub(super) wanted: Vec<bool>,
    /// Whether its windows have names, which are put out.
    pub(super) named: bool,
    pub(super) output: SchemaRef,
}

impl Layout {
    /// The layout for queries that go with the first.
    pub(super) fn of(queries: &[&WindowQuery]) -> Option<Self> {
        let first = queries.first()?;
        let (mut values, mut all) = (Vec::new(), Vec::new());
        let mut places_of = |columns: &Columns| {
            let at = columns.values.iter().map(|value| place(&mut values, value.clone())).collect::<Vec<_>>();
            let kept = columns.aggregates.iter().map(|(function, value)| (function.clone(), value.map(|n| at[n])));
            kept.map(|aggregate| place(&mut all, aggregate)).collect::<Vec<_>>()
        };
        let places = queries.iter().map(|query| places_of(&query.columns)).collect::<Vec<_>>();
        let shared = Shared::of(&all, &values);
        let view = |(query, places): (&&WindowQuery, Vec<usize>)| {
            let results = places.into_iter().map(|at| shared.results[at]).collect::<Vec<_>>();
            ViewLayout {
                windows: Windows::of(&query.spec.kind),
                wanted: (0..shared.partials.len()).map(|n| results.iter().any(|(partial, _)| *partial == n)).collect(),
                results,
                named: query.spec.kind.has_names(),
                output: SchemaRef::clone(&query.columns.output),
            }
        };
        let views = queries.iter().zip(places).map(view).collect::<Vec<_>>();
        Some(Self {
            cells: Cells::of(views.iter().map(|view| &view.windows)),
            time: first.spec.time,
            time_delay: first.spec.time_delay,
            keys: first.spec.keys.clone(),
            key_types: first.columns.key_types.clone(),
            max_groups: first.spec.max_groups,
            values,
            shared,
            views,
        })
    }

    /// One empty partial of each kind.
    pub(super) fn partials(&self) -> Result<Vec<Box<dyn Partial>>> {
        self.shared.build(&self.values)
    }

    /// The columns that aggregates read, of the types they read.
    pub(super) fn values_of(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let as_read = |(column, data_type): &(usize, DataType)| as_type(rows.column(*column), data_type);
        Ok(self.values.iter().map(as_read).collect::<std::result::Result<_, _>>()?)
    }
}
