//! What a pipeline file may say about a file to read, checked against the file itself.
//!
//! The columns of a file are found by looking at it (its header and first thousand lines, or its Parquet schema); the user names
//! types only where that guess is wrong, or where the file is not there yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use lineside_model::options::did_you_mean;
use lineside_model::{Error, Problem, Problems, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Format;
use super::columns::{Column, ReadColumn};
use super::reader::{cannot_open, text_input};
use super::text::{Syntax, header, read_error};
use super::{parquet, paths, records};
use crate::PlanContext;
use crate::codec::{CsvLines, FieldType};

/// How many lines are looked at to find the types of columns.
const LOOK_LEN: usize = 1_000;

/// Options of a file to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceOptions {
    /// The file, relative to the pipeline file; a `*` in its name stands for any text, and the files are read in the order of their names.
    pub(super) path: String,
    /// `csv`, `jsonl` or `parquet`; default: by the name of the file. A name that ends in `.gz` is decompressed.
    pub(super) format: Option<Format>,
    /// Waits for more at the end of the file, as `tail -F` does, also when the file is rotated; default false.
    #[serde(default)]
    pub(super) follow: bool,
    /// What separates the fields of a csv line; default `,`.
    pub(super) delimiter: Option<char>,
    /// The names of the columns of a csv file without a header line, in order; default: the first line has the names.
    pub(super) names: Option<Vec<String>>,
    /// Types of columns by name: `float`, `int`, `bool`, `text`, `timestamp`, `quality`, or `{ type = "timestamp", unit = "ms" }`; default: as found in the file.
    #[serde(default)]
    pub(super) columns: BTreeMap<String, Column>,
    /// Reads only the columns named in `columns`; then the file need not be there yet; default false.
    #[serde(default)]
    pub(super) only_columns: bool,
}

/// The format of a file to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFormat {
    Text(Syntax),
    Parquet,
}

/// A file to read, checked.
#[derive(Debug)]
pub(super) struct ReadPlan {
    /// The name of the source.
    pub(super) source: String,
    /// The folder of the pipeline file.
    pub(super) folder: PathBuf,
    /// The path as the user wrote it.
    pub(super) written: String,
    pub(super) format: ReadFormat,
    pub(super) follow: bool,
    pub(super) names: Option<Vec<String>>,
    pub(super) columns: Arc<[ReadColumn]>,
    pub(super) schema: SchemaRef,
}

impl ReadPlan {
    /// How many parts of the file are read ahead at once, while the lane works on another one.
    pub(super) fn ahead(&self) -> usize {
        match self.format {
            // A file that grows has no more than its end to read, and that is waited for.
            _ if self.follow => 0,
            // Lines are the more work: two threads share it.
            ReadFormat::Text(_) => 2,
            ReadFormat::Parquet => 1,
        }
    }

    /// What is held in memory, for `explain`.
    pub(super) fn buffer(&self) -> String {
        let part = match self.format {
            ReadFormat::Text(_) => format!("{} KiB, or one line if it is longer", records::PART_LEN >> 10),
            ReadFormat::Parquet => format!("{} rows", parquet::PART_ROWS),
        };
        format!("buffer: {} parts of {part}", self.ahead() + 1)
    }
}

/// Checks the options and looks at the file.
///
/// # Errors
/// Everything that is wrong, at once.
pub(super) fn plan(options: SourceOptions, context: &PlanContext<'_>) -> Result<ReadPlan, Problems> {
    let mut problems = Problems::default();
    let path = options.path.as_str();
    let format = options.format.or_else(|| Format::of(path));
    if format.is_none() {
        problems.push(
            Problem::option("path", format!("the name \"{path}\" does not tell the format"))
                .hint("add the option format = \"csv\", \"jsonl\" or \"parquet\""),
        );
    }
    if !paths::star_is_last(path) {
        problems.push(Problem::option("path", "a * may stand only in the name of the file, not in that of a folder"));
    }
    let packed = Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    if options.follow && (path.contains('*') || packed || format == Some(Format::Parquet)) {
        problems.push(
            Problem::option("follow", "only a single csv or jsonl file that is not compressed can be followed")
                .hint("name one file, or leave out follow"),
        );
    }
    if packed && format == Some(Format::Parquet) {
        problems.push(Problem::option("path", "a parquet file is compressed inside and cannot be read through gzip"));
    }
    if options.names.is_some() && format.is_some_and(|format| format != Format::Csv) {
        problems.push(Problem::option("names", "only a csv file can lack the names of its columns"));
    }
    if options.only_columns && options.columns.is_empty() {
        problems.push(Problem::option("only_columns", "there are no columns to read").hint("name them in columns"));
    }
    let delimiter = u8::try_from(options.delimiter.unwrap_or(',')).ok().filter(u8::is_ascii);
    if delimiter.is_none_or(|byte| byte == b'"' || byte == b'\n') {
        problems.push(Problem::option("delimiter", "must be one ASCII character other than a quote"));
    }
    for (name, column) in &options.columns {
        if column.unit().is_some() && column.kind() != FieldType::Timestamp {
            let at = ["columns", name, "unit"].map(str::to_owned).to_vec();
            problems.push(Problem {
                at: lineside_model::At::Option(at),
                message: "only a timestamp has a unit".to_owned(),
                hint: None,
            });
        }
    }
    let (Some(format), Some(delimiter), true) = (format, delimiter, problems.0.is_empty()) else {
        return Err(problems);
    };
    let format = match format {
        Format::Parquet => ReadFormat::Parquet,
        Format::Jsonl => ReadFormat::Text(Syntax::Json),
        Format::Csv => ReadFormat::Text(Syntax::Csv { delimiter, header: options.names.is_none() }),
    };
    let columns = columns(&options, format, context)?;
    let schema = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
    Ok(ReadPlan {
        source: context.name.to_owned(),
        folder: context.folder.to_owned(),
        written: options.path,
        format,
        follow: options.follow,
        names: options.names,
        columns: columns.into(),
        schema,
    })
}

/// The columns that are read.
fn columns(
    options: &SourceOptions,
    format: ReadFormat,
    context: &PlanContext<'_>,
) -> Result<Vec<ReadColumn>, Problems> {
    let wrong = |e: Error| {
        let mut problem = Problem::option("path", e.to_string());
        problem.hint = e.cure().map(str::to_owned);
        Problems::from(problem)
    };
    let typed = |name: &str| options.columns.get(name).map(|column| ReadColumn::typed(name, *column));
    let files = paths::files(context.folder, &options.path).map_err(|e| wrong(cannot_open(&options.path, e)))?;
    let first = match files.first() {
        Some(first) if first.exists() => first,
        _ if options.only_columns => {
            return Ok(options.columns.keys().filter_map(|name| typed(name)).collect());
        }
        _ => {
            let missing = Error::user(format!("there is no file \"{}\"", options.path));
            return Err(wrong(if options.follow {
                missing.hint("for a file that comes later, name its columns and set only_columns = true")
            } else {
                missing
            }));
        }
    };
    let found = look(first, format, options.names.as_deref()).map_err(wrong)?;
    let mut problems = Problems::default();
    for (name, column) in &options.columns {
        match found.iter().find(|found| found.column.field.name() == name) {
            Some(found) if format == ReadFormat::Parquet => {
                if let Some(why) = column.refuses(&found.in_file) {
                    let at = lineside_model::At::Option(vec!["columns".to_owned(), name.clone()]);
                    problems.push(Problem { at, message: why.into_owned(), hint: None });
                }
            }
            // A JSON object need not have every field, least of all among the first lines.
            Some(_) => {}
            None if format == ReadFormat::Text(Syntax::Json) => {}
            None => {
                let at = lineside_model::At::Option(vec!["columns".to_owned(), name.clone()]);
                let hint = did_you_mean(name, found.iter().map(|found| found.column.field.name().as_str()));
                problems.push(Problem {
                    at,
                    message: format!("there is no column \"{name}\" in the file"),
                    hint: Some(hint),
                });
            }
        }
    }
    let mut columns = found
        .iter()
        .filter(|found| !options.only_columns || options.columns.contains_key(found.column.field.name()))
        .map(|found| typed(found.column.field.name()).unwrap_or_else(|| found.column.clone()))
        .collect::<Vec<_>>();
    let unseen = options.columns.keys().filter(|name| !found.iter().any(|found| found.column.field.name() == *name));
    columns.extend(unseen.filter_map(|name| typed(name)));
    if columns.is_empty() && problems.0.is_empty() {
        problems.push(
            Problem::option("path", format!("file \"{}\" has no line to find columns in", options.path))
                .hint("name its columns in columns"),
        );
    }
    problems.or(columns)
}

/// A column as found.
struct Found {
    column: ReadColumn,
    in_file: DataType,
}

/// Looks at a file for its columns.
fn look(path: &Path, format: ReadFormat, names: Option<&[String]>) -> Result<Vec<Found>> {
    let of = |name: &str, data_type: &DataType| Found {
        column: ReadColumn::found(name, data_type),
        in_file: data_type.clone(),
    };
    let syntax = match format {
        ReadFormat::Parquet => {
            return Ok(parquet::schema(path)?.fields().iter().map(|f| of(f.name(), f.data_type())).collect());
        }
        ReadFormat::Text(syntax) => syntax,
    };
    let file = File::open(path).map_err(|e| cannot_open(&path.to_string_lossy(), e))?;
    let mut input = text_input(file, path);
    let mut first = Vec::new();
    let names = match (syntax, names) {
        (Syntax::Csv { delimiter, .. }, None) => {
            input.read_until(b'\n', &mut first).map_err(read_error)?;
            if first.is_empty() { Vec::new() } else { header(&first, delimiter)? }
        }
        (_, names) => names.unwrap_or_default().to_vec(),
    };
    let mut sample = Vec::new();
    for _ in 0..LOOK_LEN {
        if input.read_until(b'\n', &mut sample).map_err(read_error)? == 0 {
            break;
        }
    }
    Ok(match syntax {
        Syntax::Csv { delimiter, .. } => look_at_csv(&names, &sample, delimiter)
            .into_iter()
            .zip(&names)
            .map(|(data_type, name)| of(name, &data_type))
            .collect(),
        Syntax::Json => {
            look_at_json(&objects(&sample))?.into_iter().map(|(name, data_type)| of(&name, &data_type)).collect()
        }
    })
}

/// The types of CSV columns: the narrowest that all fields of the sample fit. Lines of another length say nothing.
fn look_at_csv(names: &[String], sample: &[u8], delimiter: u8) -> Vec<DataType> {
    let mut lines = CsvLines::new(delimiter, vec![None; names.len()]);
    let mut seen = vec![Seen::default(); names.len()];
    for line in sample.split_inclusive(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        if let Ok(count) = lines.split(line)
            && count == names.len()
        {
            let values = lines.values(count).zip(&mut seen).filter(|(value, _)| !value.is_empty());
            values.for_each(|(value, seen)| seen.note(value));
        }
    }
    seen.into_iter().map(|seen| seen.data_type()).collect()
}

/// What all fields of a column are so far.
#[derive(Clone, Debug)]
struct Seen {
    any: bool,
    int: bool,
    float: bool,
    bool: bool,
    time: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self { any: false, int: true, float: true, bool: true, time: true }
    }
}

impl Seen {
    fn note(&mut self, text: &str) {
        self.any = true;
        self.int &= text.parse::<i64>().is_ok();
        self.float &= text.parse::<f64>().is_ok();
        self.bool &= text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        self.time &= is_time(text);
    }

    fn data_type(&self) -> DataType {
        match self {
            Self { any: false, .. } => DataType::Utf8,
            Self { int: true, .. } => DataType::Int64,
            Self { float: true, .. } => DataType::Float64,
            Self { bool: true, .. } => DataType::Boolean,
            Self { time: true, .. } => lineside_model::schema::time_type(),
            _ => DataType::Utf8,
        }
    }
}

/// Whether a text is a date or a date with a time, not just something that could pass for one.
fn is_time(text: &str) -> bool {
    text.len() >= 10
        && text.as_bytes().get(4) == Some(&b'-')
        && arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).is_ok()
}

/// The objects among lines of text.
fn objects(sample: &[u8]) -> Vec<serde_json::Value> {
    let lines = sample.split(|byte| *byte == b'\n');
    let values = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    values.filter(serde_json::Value::is_object).collect()
}

/// The types of the fields of JSON objects.
///
/// # Errors
/// A field is an object in one and a list in another.
pub(crate) fn look_at_json(objects: &[serde_json::Value]) -> Result<Vec<(String, DataType)>> {
    let schema = arrow::json::reader::infer_json_schema_from_iterator(objects.iter().map(Ok))
        .map_err(|e| Error::data("the objects do not fit together").caused_by(e))?;
    let mut found = Vec::new();
    for field in schema.fields() {
        let texts = || objects.iter().filter_map(|object| object.get(field.name())).filter_map(|value| value.as_str());
        let time = *field.data_type() == DataType::Utf8 && texts().next().is_some() && texts().all(is_time);
        let data_type = if time { lineside_model::schema::time_type() } else { field.data_type().clone() };
        found.push((field.name().clone(), data_type));
    }
    Ok(found)
}
