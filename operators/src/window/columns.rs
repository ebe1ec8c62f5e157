//! The columns of a windowed aggregation, whatever the windows are: which are read and as what, which come out.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lineside_model::schema::time_field;
use lineside_model::{Problem, Problems};

use super::{AggregateSpec, WINDOW_END, WINDOW_START, keys};
use crate::aggregate::{AggregateFunction, result_type, update_type};

/// What is read, and what comes out.
#[derive(Debug)]
pub(super) struct Columns {
    /// The types of the columns that rows are grouped by.
    pub(super) key_types: Vec<DataType>,
    /// Columns that aggregates read, and the type they are cast to once for all.
    pub(super) values: Vec<(usize, DataType)>,
    /// Each aggregate, and which of `values` it reads.
    pub(super) aggregates: Vec<(AggregateFunction, Option<usize>)>,
    /// `window_start`, `window_end`, the keys and the aggregates.
    pub(super) output: SchemaRef,
}

impl Columns {
    /// Checks the columns of an input; `window` are those of the window itself. What it gives is of use only if there are no problems.
    pub(super) fn of(
        time: usize,
        window: Vec<Field>,
        keys: &[usize],
        aggregates: &[AggregateSpec],
        input: &SchemaRef,
        problems: &mut Problems,
    ) -> Self {
        if let Some(time) = column(time, input, problems)
            && !matches!(time.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _))
        {
            let problem =
                format!("windows are cut by a timestamp in microseconds, \"{}\" is {}", time.name(), time.data_type());
            problems.push(Problem::whole(problem).hint("use the event time of the input, or CAST(… AS TIMESTAMP(6))"));
        }
        let mut fields = window;
        let mut key_types = Vec::new();
        for key in keys {
            let Some(key) = column(*key, input, problems) else { continue };
            if !keys::is_supported(key.data_type()) {
                let problem = format!("rows cannot be grouped by \"{}\", which is {}", key.name(), key.data_type());
                problems.push(Problem::whole(problem).hint("group by a number, a text, a boolean or a time"));
            }
            key_types.push(key.data_type().clone());
            fields.push(key.as_ref().clone());
        }
        let mut values = Vec::new();
        let mut planned = Vec::new();
        for AggregateSpec { function, column: at, name } in aggregates {
            let read = at.and_then(|at| column(at, input, problems));
            match result_type(function, read.map(|field| field.data_type())) {
                Err(problem) => problems.push(problem),
                Ok(result) => fields.push(Field::new(name, result, !function.counts())),
            }
            let read = read.map(|field| update_type(function, field.data_type()));
            planned.push((function.clone(), at.zip(read).map(|read| place(&mut values, read))));
        }
        let mut names = BTreeSet::new();
        for field in fields.iter().filter(|field| !names.insert(field.name().clone())) {
            let problem = Problem::whole(format!("two output columns are named \"{}\"", field.name()));
            problems.push(problem.hint("name one of them with AS"));
        }
        Self { key_types, values, aggregates: planned, output: Arc::new(Schema::new(fields)) }
    }
}

/// Start and end of a window.
pub(super) fn edges() -> Vec<Field> {
    vec![time_field(WINDOW_START, false), time_field(WINDOW_END, false)]
}

/// A column of the input.
pub(super) fn column<'i>(at: usize, input: &'i SchemaRef, problems: &mut Problems) -> Option<&'i Arc<Field>> {
    let field = input.fields().get(at);
    if field.is_none() {
        problems.push(Problem::whole(format!("the input has no column number {at}")));
    }
    field
}

/// The names of the columns that rows are grouped by, whose rows must come to one worker; `None` if there are none.
pub(super) fn names_of(keys: &[usize], input: &SchemaRef) -> Option<Vec<String>> {
    (!keys.is_empty()).then(|| keys.iter().map(|key| input.field(*key).name().clone()).collect())
}

/// Where `value` is in `values`, added if it is new.
pub(super) fn place<T: PartialEq>(values: &mut Vec<T>, value: T) -> usize {
    values.iter().position(|known| *known == value).unwrap_or_else(|| {
        values.push(value);
        values.len() - 1
    })
}
