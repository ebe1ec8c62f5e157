//! A row as one reading: which sensor, when, what value, how good.
//!
//! Operators that follow sensors name the columns they use; by default these are the ones of the model's schema. A value
//! is there only if it can be computed with: a null, NaN, an infinity and a value of bad quality are all "no value", so no
//! operator has to think of them one by one. Uncertain quality has a value. A quality that is null or none of the three
//! words counts as bad.

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};
use lineside_model::options::did_you_mean;
use lineside_model::schema::as_type;
use lineside_model::{Problem, Problems, Quality, Reason, Result, Timestamp, schema};
use schemars::JsonSchema;
use serde::Deserialize;

/// One reading of one sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// Its row in the batch.
    pub row: usize,
    /// The sensor.
    pub sensor: &'a str,
    /// Event time.
    pub ts: Timestamp,
    /// The value, finite and not of bad quality; `None` if there is no such value.
    pub value: Option<f64>,
    /// How far it can be trusted; `Bad` also where the value is missing or not finite.
    pub quality: Quality,
    /// When it came off the wire, if the input says so.
    pub received_at: Option<Timestamp>,
}

/// Options of operators that take readings: where in a row the parts of a reading are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnOptions {
    /// Column that tells sensors apart. Default "sensor".
    by: Option<String>,
    /// Column of the value. Default "value".
    value: Option<String>,
    /// Column of event time. Default "ts".
    time: Option<String>,
    /// Column of quality. Default "quality" if the input has it; without one every reading is good.
    quality: Option<String>,
}

impl ColumnOptions {
    /// The names.
    pub fn names(&self) -> ColumnNames<'_> {
        ColumnNames {
            by: self.by.as_deref(),
            time: self.time.as_deref(),
            value: self.value.as_deref(),
            quality: self.quality.as_deref(),
        }
    }
}

/// The names of the columns as the user wrote them; `None` is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ColumnNames<'a> {
    /// Option `by`, the sensor. Default `sensor`.
    pub by: Option<&'a str>,
    /// Option `time`, the event time. Default `ts`.
    pub time: Option<&'a str>,
    /// Option `value`. Default `value`.
    pub value: Option<&'a str>,
    /// Option `quality`. Default `quality` where the input has it; otherwise every reading is good.
    pub quality: Option<&'a str>,
}

/// Where in a batch the parts of a reading are.
#[derive(Clone, Debug)]
pub struct ReadingColumns {
    by: String,
    time: String,
    sensor: usize,
    ts: usize,
    value: usize,
    quality: Option<usize>,
    received_at: Option<usize>,
}

impl ReadingColumns {
    /// Finds the columns in the input.
    ///
    /// # Errors
    /// Every column that is missing or of a type that cannot be used.
    pub fn find(names: ColumnNames<'_>, input: &Schema) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut find = |option: &str, name: &str, what: &str, fits: fn(&DataType) -> bool| {
            let Ok(at) = input.index_of(name) else {
                let known = input.fields().iter().map(|f| f.name().as_str());
                problems.push(
                    Problem::option(option, format!("the input has no column \"{name}\""))
                        .hint(did_you_mean(name, known)),
                );
                return 0;
            };
            let found = input.field(at).data_type();
            if !fits(found) {
                problems.push(Problem::option(option, format!("column \"{name}\" is {found}, expected {what}")));
            }
            at
        };
        let by = names.by.unwrap_or(schema::SENSOR);
        let time = names.time.unwrap_or(schema::TS);
        let sensor = find("by", by, "text or a whole number", names_things);
        let ts = find("time", time, "a time in microseconds", is_time);
        let value = find("value", names.value.unwrap_or(schema::VALUE), "a number", is_number);
        let quality = match names.quality {
            Some(name) => Some(find("quality", name, "text", is_text)),
            None => input.index_of(schema::QUALITY).ok().filter(|n| is_text(input.field(*n).data_type())),
        };
        let received_at = input.index_of(schema::RECEIVED_AT).ok().filter(|n| is_time(input.field(*n).data_type()));
        problems.or(Self { by: by.to_owned(), time: time.to_owned(), sensor, ts, value, quality, received_at })
    }

    /// The name of the column that tells sensors apart.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// The name of the column of event time.
    pub fn time(&self) -> &str {
        &self.time
    }

    /// What is wrong if rows are to be put in order by their time and it is no event time.
    pub(crate) fn no_event_time(&self) -> Problem {
        let told = format!("column \"{}\" is no event time, so rows cannot be put in order by it", self.time);
        let hint = "take the time column of a source, or window_start; lineside explain lists the event times";
        Problem::option("time", told).hint(hint)
    }

    /// Whether the input says when a reading came off the wire.
    pub fn has_received_at(&self) -> bool {
        self.received_at.is_some()
    }

    /// The readings of a batch of the schema in which the columns were found.
    ///
    /// # Errors
    /// If a column cannot be cast to the type that was checked for, which is our bug.
    pub fn read(&self, rows: &RecordBatch) -> Result<Readings> {
        let value = as_type(rows.column(self.value), &DataType::Float64)?;
        let sensor = as_type(rows.column(self.sensor), &DataType::Utf8)?;
        let time = |n: usize| rows.column(n).as_primitive::<TimestampMicrosecondType>().clone();
        Ok(Readings {
            sensor: sensor.as_string::<i32>().clone(),
            ts: time(self.ts),
            value: value.as_primitive::<Float64Type>().clone(),
            quality: self.quality.map(|n| Quality::of_column(rows.column(n))).transpose()?,
            received_at: self.received_at.map(time),
        })
    }
}

/// The readings of one batch.
#[derive(Debug)]
pub struct Readings {
    sensor: StringArray,
    ts: TimestampMicrosecondArray,
    value: Float64Array,
    quality: Option<Vec<Quality>>,
    received_at: Option<TimestampMicrosecondArray>,
}

impl Readings {
    /// The reading of a row.
    ///
    /// # Errors
    /// The reason why the row is none: it has no event time, or no sensor.
    pub fn get(&self, row: usize) -> Result<Reading<'_>, Reason> {
        if self.ts.is_null(row) {
            return Err(Reason::NoTime);
        }
        if self.sensor.is_null(row) {
            return Err(Reason::MissingField);
        }
        let told = self.quality.as_ref().map_or(Quality::Good, |q| q[row]);
        let value =
            Some(self.value.value(row)).filter(|v| self.value.is_valid(row) && v.is_finite() && told != Quality::Bad);
        Ok(Reading {
            row,
            sensor: self.sensor.value(row),
            ts: Timestamp(self.ts.value(row)),
            value,
            quality: if value.is_some() { told } else { Quality::Bad },
            received_at: self.received_at.as_ref().filter(|r| r.is_valid(row)).map(|r| Timestamp(r.value(row))),
        })
    }
}

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, words) => is_text(words),
        other => other.is_string(),
    }
}

fn names_things(found: &DataType) -> bool {
    is_text(found) || found.is_integer()
}

fn is_number(found: &DataType) -> bool {
    found.is_numeric() || *found == DataType::Boolean
}

fn is_time(found: &DataType) -> bool {
    matches!(found, DataType::Timestamp(TimeUnit::Microsecond, _))
}
