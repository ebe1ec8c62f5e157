//! A recorded trace: readings in the order in which they once arrived.
//!
//! A trace is a CSV file (also gzipped) or a Parquet file with the columns `ts` (whole microseconds since 1970 UTC, or any
//! timestamp), `sensor`, `value` and, if some samples were bad, `quality` (`good`, `uncertain`, `bad`), or with others that are
//! named ([`Columns`]). Other columns are passed over. An empty value, or one that is no number, is a reading without a value.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::csv::reader::{Format, ReaderBuilder};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use lineside_model::schema::{QUALITY, SENSOR, TS, VALUE, time_type};
use lineside_model::{Error, Quality, Result, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde::Deserialize;

/// Rows in a batch.
const BATCH_ROWS: usize = 1024;
/// Rows that are looked at to find out how a CSV file writes its times.
const INFER_ROWS: usize = 100;

static NAB: &[u8] = include_bytes!("../traces/nab.parquet");

/// One reading of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Event time.
    pub ts: Timestamp,
    /// Name of the sensor; rows of the same sensor share it.
    pub sensor: Arc<str>,
    /// The value, if there is one.
    pub value: Option<f64>,
    /// How far the value can be trusted.
    pub quality: Quality,
}

/// A trace that can be read as often as one likes.
#[derive(Clone, Debug)]
pub struct Trace {
    stored: Stored,
    columns: Columns,
}

/// What the columns of a trace are called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// The time. Default `ts`.
    pub ts: String,
    /// In what a time is told that is a whole number. Default: microseconds.
    pub unit: TimeUnit,
    /// The name of the sensor. Default `sensor`.
    pub sensor: String,
    /// The value. Default `value`.
    pub value: String,
    /// The quality. Default `quality`; a trace without such a column has good readings only.
    pub quality: String,
}

impl Default for Columns {
    fn default() -> Self {
        let [ts, sensor, value, quality] = [TS, SENSOR, VALUE, QUALITY].map(str::to_owned);
        Self { ts, unit: TimeUnit::default(), sensor, value, quality }
    }
}

/// In what a time is told that is a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TimeUnit {
    /// Seconds since 1970.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[default]
    #[serde(rename = "us")]
    Micros,
    /// Nanoseconds; what is less than a microsecond is cut off.
    #[serde(rename = "ns")]
    Nanos,
}

impl TimeUnit {
    /// In microseconds; none if it is out of their range.
    fn micros(self, time: i64) -> Option<i64> {
        match self {
            Self::Seconds => time.checked_mul(1_000_000),
            Self::Millis => time.checked_mul(1_000),
            Self::Micros => Some(time),
            Self::Nanos => Some(time.div_euclid(1_000)),
        }
    }
}

#[derive(Clone, Debug)]
enum Stored {
    Csv { path: PathBuf, gzipped: bool },
    Parquet(PathBuf),
    Embedded(&'static [u8]),
}

/// The rows of a trace in batches, in the order of the file.
pub type Batches = Box<dyn Iterator<Item = Result<Vec<Row>>> + Send>;

/// The trace that the program carries within itself: 29,962 readings of two temperatures, months long (Numenta Anomaly
/// Benchmark, MIT; see `traces/README.md`).
pub fn nab() -> Trace {
    Trace { stored: Stored::Embedded(NAB), columns: Columns::default() }
}

impl Trace {
    /// A trace in a file; what it is, is told by its first bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut start = [0; 4];
        let mut file = open(path)?;
        let read = file.read(&mut start).map_err(|error| cannot_read(path).caused_by(error))?;
        let path = path.to_owned();
        let stored = match &start[..read] {
            b"PAR1" => Stored::Parquet(path),
            [0x1f, 0x8b, ..] => Stored::Csv { path, gzipped: true },
            _ => Stored::Csv { path, gzipped: false },
        };
        Ok(Self { stored, columns: Columns::default() })
    }

    /// With columns that are called so.
    #[must_use]
    pub fn with_columns(mut self, columns: Columns) -> Self {
        self.columns = columns;
        self
    }

    /// How many rows there are, where the file says so without being read through: in Parquet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn row_count(&self) -> Result<Option<u64>> {
        let count = match &self.stored {
            Stored::Csv { .. } => return Ok(None),
            Stored::Parquet(path) => parquet(open(path)?, &self.name())?.metadata().file_metadata().num_rows(),
            Stored::Embedded(bytes) => {
                parquet(Bytes::from_static(bytes), &self.name())?.metadata().file_metadata().num_rows()
            }
        };
        Ok(u64::try_from(count).ok())
    }

    /// The rows from the beginning.
    ///
    /// # Errors
    /// The file cannot be read, or lacks a column. What is wrong further down comes with the batch.
    pub fn batches(&self) -> Result<Batches> {
        let name = self.name();
        match &self.stored {
            Stored::Csv { path, gzipped } => csv(path, *gzipped, self.columns.clone()),
            Stored::Parquet(path) => rows(parquet(open(path)?, &name)?, name, self.columns.clone()),
            Stored::Embedded(bytes) => rows(parquet(Bytes::from_static(bytes), &name)?, name, self.columns.clone()),
        }
    }

    fn name(&self) -> String {
        match &self.stored {
            Stored::Csv { path, .. } | Stored::Parquet(path) => path.display().to_string(),
            Stored::Embedded(_) => "nab".to_owned(),
        }
    }
}

fn cannot_read(path: &Path) -> Error {
    Error::user(format!("cannot read trace \"{}\"", path.display()))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| cannot_read(path).caused_by(error))
}

fn not_a_trace(name: &str) -> Error {
    Error::user(format!("\"{name}\" is not a trace"))
        .hint("a trace is CSV, gzipped CSV or Parquet with the columns ts, sensor, value and, if need be, quality")
}

fn parquet<R: ChunkReader + 'static>(file: R, name: &str) -> Result<ParquetRecordBatchReaderBuilder<R>> {
    ParquetRecordBatchReaderBuilder::try_new(file)
        .map(|reader| reader.with_batch_size(BATCH_ROWS))
        .map_err(|error| not_a_trace(name).caused_by(error))
}

fn rows<R: ChunkReader + 'static>(
    file: ParquetRecordBatchReaderBuilder<R>,
    name: String,
    columns: Columns,
) -> Result<Batches> {
    let schema = Arc::clone(file.schema());
    let reader = file.build().map_err(|error| not_a_trace(&name).caused_by(error))?;
    read(reader, &schema, name, columns)
}

fn csv(path: &Path, gzipped: bool, columns: Columns) -> Result<Batches> {
    let name = path.display().to_string();
    let format = Format::default().with_header(true);
    let mut file = open(path)?;
    let sample = if gzipped {
        format.infer_schema(MultiGzDecoder::new(BufReader::new(&file)), Some(INFER_ROWS))
    } else {
        format.infer_schema(BufReader::new(&file), Some(INFER_ROWS))
    };
    let (found, _) = sample.map_err(|error| not_a_trace(&name).caused_by(error))?;
    // Only the time is taken as found: a column of values may begin with whole numbers and go on with fractions.
    let fields = found.fields().iter().map(|field| {
        let is_time = *field.name() == columns.ts;
        Field::new(field.name(), if is_time { field.data_type().clone() } else { DataType::Utf8 }, true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    file.seek(SeekFrom::Start(0)).map_err(|error| cannot_read(path).caused_by(error))?;
    let builder = ReaderBuilder::new(Arc::clone(&schema)).with_format(format).with_batch_size(BATCH_ROWS);
    if gzipped {
        let reader = builder.build(MultiGzDecoder::new(BufReader::new(file)));
        read(reader.map_err(|error| not_a_trace(&name).caused_by(error))?, &schema, name, columns)
    } else {
        read(builder.build(file).map_err(|error| not_a_trace(&name).caused_by(error))?, &schema, name, columns)
    }
}

fn read(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
    schema: &Schema,
    name: String,
    columns: Columns,
) -> Result<Batches> {
    for column in [&columns.ts, &columns.sensor, &columns.value] {
        if schema.column_with_name(column).is_none() {
            return Err(Error::user(format!("trace \"{name}\" has no column \"{column}\""))
                .hint("a trace has the columns ts, sensor and value, or others that are named"));
        }
    }
    let mut sensors = HashSet::<Arc<str>>::new();
    let mut done = 0;
    Ok(Box::new(batches.map(move |batch| {
        let batch = batch.map_err(|error| {
            Error::data(format!("trace \"{name}\" cannot be read beyond row {done}")).caused_by(error)
        })?;
        let rows =
            decode(&batch, &columns, &mut sensors, done).map_err(|error| error.of(format!("trace \"{name}\"")))?;
        done += rows.len();
        Ok(rows)
    })))
}

fn decode(batch: &RecordBatch, columns: &Columns, sensors: &mut HashSet<Arc<str>>, before: usize) -> Result<Vec<Row>> {
    let is_time = batch.column_by_name(&columns.ts).is_some_and(|c| matches!(c.data_type(), DataType::Timestamp(..)));
    // A timestamp has its own unit.
    let (ts_type, unit) = if is_time { (time_type(), TimeUnit::Micros) } else { (DataType::Int64, columns.unit) };
    let ts = cast_with_options(&required(batch, &columns.ts, &ts_type)?, &DataType::Int64, &CastOptions::default())?;
    let sensor = required(batch, &columns.sensor, &DataType::Utf8)?;
    let value = required(batch, &columns.value, &DataType::Float64)?;
    let quality = column(batch, &columns.quality, &DataType::Utf8)?;
    let (ts, sensor, value) =
        (ts.as_primitive::<Int64Type>(), sensor.as_string::<i32>(), value.as_primitive::<Float64Type>());
    let quality = quality.as_ref().map(|q| q.as_string::<i32>());

    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        let row = before + i + 1;
        let at = ts.is_valid(i).then(|| ts.value(i)).and_then(|time| unit.micros(time));
        let (Some(at), true) = (at, sensor.is_valid(i)) else {
            let column = if at.is_none() { &columns.ts } else { &columns.sensor };
            return Err(Error::data(format!("row {row} has no usable \"{column}\"")).hint(
                "a time is a whole number of microseconds since 1970 or a timestamp such as 2026-01-31T08:00:00Z, the same in all rows",
            ));
        };
        let name = sensor.value(i);
        let sensor = match sensors.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::<str>::from(name);
                sensors.insert(Arc::clone(&new));
                new
            }
        };
        let quality = match quality.filter(|q| q.is_valid(i)).map(|q| q.value(i)) {
            None => Quality::Good,
            Some(word) => Quality::from_word(word).ok_or_else(|| {
                Error::data(format!("row {row} has the quality \"{word}\"")).hint("it is good, uncertain or bad")
            })?,
        };
        let value = value.is_valid(i).then(|| value.value(i)).filter(|v| v.is_finite());
        rows.push(Row { ts: Timestamp(at), sensor, value, quality });
    }
    Ok(rows)
}

/// A column taken as this type; what does not fit the type becomes null.
fn column(batch: &RecordBatch, name: &str, to: &DataType) -> Result<Option<ArrayRef>> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    cast_with_options(column, to, &CastOptions { safe: true, ..CastOptions::default() }).map(Some).map_err(|_| {
        Error::user(format!("column \"{name}\" has the type {}, which cannot be taken as {to}", column.data_type()))
    })
}

fn required(batch: &RecordBatch, name: &str, to: &DataType) -> Result<ArrayRef> {
    column(batch, name, to)?.ok_or_else(|| Error::user(format!("there is no column \"{name}\"")))
}
