//! A kind of operator made of a step: the options that all of them share are read, checked and documented once, here.

use std::fmt::Debug;
use std::marker::PhantomData;

use arrow::datatypes::SchemaRef;
use lineside_model::options::{parse_both, schema_of_both};
use lineside_model::{Problems, Span, schema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{PerSeries, SeriesOutput, SeriesStep};
use crate::operator::{Files, InputRows};
use crate::reading::{ColumnNames, ReadingColumns};
use crate::{OperatorKind, PlannedOperator};

/// Options of every operator that follows sensors one by one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesOptions {
    /// Column that tells sensors apart. Default "sensor".
    by: Option<String>,
    /// Column of the value. Default "value".
    value: Option<String>,
    /// Column of event time. Default "ts".
    time: Option<String>,
    /// Column of quality. Default "quality" if the input has it; without one every reading is good.
    quality: Option<String>,
    /// How many sensors are followed at most. Default 100000.
    max_series: Option<usize>,
}

/// A step that a pipeline file can name with `type = "…"`, which is [`SeriesStep::KIND`].
pub trait SeriesKind: SeriesStep + Sized {
    /// The options of its own.
    type Options: DeserializeOwned + JsonSchema;
    /// One line about it, for `lineside list` and the README.
    const ABOUT: &'static str;
    /// An example table, as it stands in a pipeline file.
    const EXAMPLE: &'static str;

    /// Checks options. Sensors that must be there from the start are pushed to `expected`; the columns of the input are
    /// `None` if they were not found, which is told anyway.
    ///
    /// # Errors
    /// Everything that is wrong.
    fn check(
        options: Self::Options,
        columns: Option<&ReadingColumns>,
        expected: &mut Vec<String>,
    ) -> Result<Self, Problems>;

    /// The columns it puts out.
    fn output(input: &SchemaRef) -> SchemaRef;

    /// The column of its output that is the event time.
    fn time(columns: &ReadingColumns) -> &str {
        let _unused = columns;
        schema::TS
    }

    /// How far behind the watermark a row of its output may be, for an input that is not.
    fn lag(&self) -> Span {
        Span::ZERO
    }

    /// Lines for `explain` besides those that all have.
    fn explain(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The kind of a step.
pub struct OfSeries<S>(PhantomData<fn() -> S>);

impl<S> OfSeries<S> {
    /// The kind.
    pub const KIND: Self = Self(PhantomData);
}

impl<S> Debug for OfSeries<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<S>())
    }
}

impl<S: SeriesKind> OperatorKind for OfSeries<S> {
    fn name(&self) -> &'static str {
        S::KIND
    }

    fn about(&self) -> &'static str {
        S::ABOUT
    }

    fn example(&self) -> &'static str {
        S::EXAMPLE
    }

    fn options(&self) -> schemars::Schema {
        schema_of_both::<S::Options, SeriesOptions>()
    }

    fn plan(&self, options: &Value, input: &InputRows, _files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let (own, shared) = parse_both::<S::Options, SeriesOptions>(options)?;
        let names = ColumnNames {
            by: shared.by.as_deref(),
            time: shared.time.as_deref(),
            value: shared.value.as_deref(),
            quality: shared.quality.as_deref(),
        };
        let mut expected = Vec::new();
        let columns = ReadingColumns::find(names, &input.schema);
        let (step, columns) = match (S::check(own, columns.as_ref().ok(), &mut expected), columns) {
            (Ok(step), Ok(columns)) => (step, columns),
            (step, columns) => {
                let problems = [step.err(), columns.err()].into_iter().flatten().flat_map(|problems| problems.0);
                return Err(Problems(problems.collect()));
            }
        };
        let (time, lag, lines) = (S::time(&columns).to_owned(), step.lag(), step.explain());
        let passed_on = if S::Output::FROM_INPUT {
            input.schema.fields().iter().map(|field| (field.name().clone(), field.name().clone())).collect()
        } else {
            vec![(schema::SENSOR.to_owned(), columns.by().to_owned())]
        };
        let output = S::output(&input.schema);
        let mut planned = PerSeries::plan(step, columns, output, input, shared.max_series, expected)?;
        planned.explain.extend(lines);
        Ok(planned.timed(time, lag).passing_on(passed_on))
    }
}
