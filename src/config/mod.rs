//! What the user wrote: the pipeline file, read but not yet checked against what there is.
//!
//! A [`Config`] knows every table of the file with its values (environment references filled in) and where each of them
//! stands, so that whatever is found wrong later can be shown with line and column. It knows no connector and no operator;
//! the plan does.
//!
//! Reading goes on after a mistake: what was found so far is kept in the `Config`, and the plan adds what it finds, so that
//! the user sees everything at once.

mod document;
mod expand;
pub mod options;
pub mod report;
pub mod secret;

use std::fmt;
use std::path::{Path, PathBuf};

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Problem, Problems, Span, parse_options};
use serde_json::{Map, Value};

use document::Document;
use options::PipelineOptions;
pub use report::{Finding, Report, Severity};
pub use secret::Secrets;

/// Whether a text can be the name of a table.
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.chars().all(plain)
}

/// A pipeline file, read.
#[derive(Debug)]
pub struct Config {
    document: Document,
    findings: Vec<Finding>,
    /// What `[pipeline]` says, with the defaults filled in.
    pub pipeline: Pipeline,
    /// Sources, queries, operators and sinks, in the order of the file.
    pub objects: Vec<Object>,
}

/// The settings of the pipeline as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// How many bulk workers share the work.
    pub workers: usize,
    /// How often counters are reported in the log.
    pub report_every: Span,
    /// Whether control asks the system for real-time priority.
    pub realtime: bool,
}

/// What a table of the file describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `[source.NAME]`: where rows come from.
    Source,
    /// `[table.NAME]`: rows that are all there, to be looked up.
    Table,
    /// `[query.NAME]`: continuous SQL.
    Query,
    /// `[operator.NAME]`: a step that is not SQL, such as a control loop.
    Operator,
    /// `[sink.NAME]`: where rows go.
    Sink,
}

impl Kind {
    /// All kinds, in the order in which rows pass them.
    pub const ALL: [Self; 5] = [Self::Source, Self::Table, Self::Query, Self::Operator, Self::Sink];

    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Table => "table",
            Self::Query => "query",
            Self::Operator => "operator",
            Self::Sink => "sink",
        }
    }
}

/// One named table of the file: `[source.plc]`.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it describes.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its values as written, environment references filled in.
    pub options: Map<String, Value>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind.word(), self.name)
    }
}

impl Object {
    fn path(&self) -> Vec<String> {
        vec![self.kind.word().to_owned(), self.name.clone()]
    }

    /// The text of an option, if it is there and is text.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }
}

/// Why there is no [`Config`].
#[derive(Debug)]
pub enum ReadError {
    /// The file is no TOML.
    Syntax(Report),
    /// The file could not be read.
    Unreadable(Error),
}

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads a pipeline file.
    ///
    /// # Errors
    /// If the file cannot be read or is no TOML; other mistakes are kept for the plan to report with its own.
    pub fn load(file: &Path, environment: Environment<'_>) -> Result<Self, ReadError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            ReadError::Unreadable(
                Error::user(format!("pipeline file \"{}\" was not read", file.display())).caused_by(error),
            )
        })?;
        Self::parse(file, text, environment).map_err(ReadError::Syntax)
    }

    /// Reads the text of a pipeline file; `file` is its path as it is shown to the user and what relative paths start from.
    ///
    /// # Errors
    /// Every place where the text is no TOML.
    pub fn parse(file: &Path, text: String, environment: Environment<'_>) -> Result<Self, Report> {
        let (document, wrong) = Document::parse(file, text, environment)?;
        let stem = file.file_stem().map_or_else(|| "pipeline".into(), |stem| stem.to_string_lossy().into_owned());
        let mut config = Self {
            document,
            findings: wrong,
            pipeline: Pipeline { name: stem, workers: 1, report_every: Span::from_secs(10), realtime: true },
            objects: Vec::new(),
        };
        for key in config.document.value.keys().cloned().collect::<Vec<_>>() {
            match Kind::ALL.into_iter().find(|kind| kind.word() == key) {
                Some(kind) => config.read_objects(kind),
                None if key == "pipeline" => config.read_pipeline(),
                None => config.unknown_table(&key),
            }
        }
        let Self { document, objects, .. } = &mut config;
        objects.sort_by_key(|object| document.offset(&object.path()));
        Ok(config)
    }

    /// The path of the file, as the user named it.
    pub fn file(&self) -> &Path {
        &self.document.file
    }

    /// What relative paths in the file start from.
    pub fn folder(&self) -> PathBuf {
        self.file().parent().map(Path::to_owned).unwrap_or_default()
    }

    /// What was found wrong while the file was read.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// A problem with an object, or with the file as a whole, with its place; `None` if it only follows from another one: a
    /// value that could not be filled in from the environment.
    pub fn finding(&self, object: Option<&Object>, problem: Problem) -> Option<Finding> {
        let base = object.map(Object::path).unwrap_or_default();
        self.document.finding(&base, object.map(ToString::to_string).unwrap_or_default(), problem)
    }

    fn read_objects(&mut self, kind: Kind) {
        let word = kind.word();
        let Some(tables) = self.document.value.get(word).and_then(Value::as_object).cloned() else {
            self.note(&[word], Problem::whole(format!("{word} is a table of tables; write [{word}.NAME]")));
            return;
        };
        for (name, value) in tables {
            let Value::Object(options) = value else {
                let problem = Problem::whole(format!("{word} \"{name}\" is not a table"));
                self.note(&[word, &name], problem.hint(format!("write [{word}.{name}]")));
                continue;
            };
            if !is_name(&name) {
                let problem = Problem::whole(format!("\"{name}\" is not a name"));
                self.note(&[word, &name], problem.hint("a name has letters, digits, \"_\" and \"-\""));
            }
            self.objects.push(Object { kind, name, options });
        }
    }

    fn read_pipeline(&mut self) {
        let written = self.document.value.get("pipeline").cloned().unwrap_or_default();
        let checked = parse_options::<PipelineOptions>(&written).and_then(|options| {
            let mut problems = Problems::default();
            options.check(&mut problems);
            problems.or(options)
        });
        match checked {
            Ok(options) => {
                self.pipeline.name = options.name.unwrap_or_else(|| self.pipeline.name.clone());
                self.pipeline.workers = options.workers;
                self.pipeline.report_every = options.report_every;
                self.pipeline.realtime = options.realtime;
            }
            Err(problems) => problems.0.into_iter().for_each(|problem| self.note(&["pipeline"], problem)),
        }
    }

    fn unknown_table(&mut self, key: &str) {
        let known = ["pipeline", "source", "table", "query", "operator", "sink"];
        let what = if self.document.value.get(key).is_some_and(Value::is_object) { "table" } else { "key" };
        let problem = Problem::whole(format!("unknown {what} \"{key}\"")).hint(did_you_mean(key, known));
        self.note(&[key], problem);
    }

    fn note(&mut self, base: &[&str], problem: Problem) {
        let path = base.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
        let object = if base == ["pipeline"] { "pipeline".to_owned() } else { String::new() };
        self.findings.extend(self.document.finding(&path, object, problem));
    }
}
