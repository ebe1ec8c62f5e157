//! What is wrong with a pipeline, as the user sees it: file, line, column, object, message, the line itself, and the cure.
//!
//! ```text
//! oven-line.toml:14:1: source "plc": unknown option "intervall"
//!    14 | intervall = "1s"
//!       | ^^^^^^^^^
//!   hint: did you mean "interval"?
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Secrets;
use super::secret::{MASK, is_secret_name};

/// How many characters of a line are shown.
const SHOWN_MOST: usize = 160;

/// Whether the pipeline can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something in the file has no effect.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the pipeline can run all the same.
    pub severity: Severity,
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The object it belongs to, such as `source "plc"`; empty for the file as a whole.
    pub object: String,
    /// One lowercase line without a period.
    pub message: String,
    /// The cure, where it is known.
    pub hint: Option<String>,
    /// The line with what is wrong in it, where it can be shown.
    pub excerpt: Option<Excerpt>,
}

/// A line of a file with a part of it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    before: String,
    marked: String,
    after: String,
}

impl Excerpt {
    /// Marks `width` characters of a line, from the column on (counted from 1). What looks like a secret is not taken over.
    pub(super) fn new(line: &str, column: u32, width: usize) -> Self {
        let line = without_secret(line.trim_end());
        let start = (column as usize).saturating_sub(1).min(line.chars().count());
        let rest = line.chars().skip(start);
        let marked = rest.clone().take(width.max(1)).collect::<String>();
        let after = rest.skip(width.max(1)).take(SHOWN_MOST).map(blank_tab).collect();
        Self { before: line.chars().take(start).map(blank_tab).collect(), marked, after }
    }

    fn mask(&mut self, secrets: &Secrets) {
        for part in [&mut self.before, &mut self.marked, &mut self.after] {
            *part = secrets.mask(part).into_owned();
        }
    }
}

/// A tab is one blank, so that the mark stands below what it marks.
fn blank_tab(c: char) -> char {
    if c == '\t' { ' ' } else { c }
}

/// The line with everything from the value of a secret's key on blotted out. Works on lines that are no TOML, too.
fn without_secret(line: &str) -> String {
    let mut from = 0;
    while let Some(equals) = line[from..].find('=') {
        let at = from + equals;
        let key = line[..at].rsplit(['{', ',', '[']).next().unwrap_or_default();
        if is_secret_name(key) {
            return format!("{} \"{MASK}\"", &line[..=at]);
        }
        from = at + 1;
    }
    line.to_owned()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        writeln!(f, "{}", self.message)?;
        if let Some(Excerpt { before, marked, after }) = &self.excerpt {
            writeln!(f, "{:5} | {before}{marked}{after}", self.line)?;
            let (indent, width) = (before.chars().count(), marked.chars().count().max(1));
            writeln!(f, "{:5} | {:indent$}{}", "", "", "^".repeat(width))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {hint}")?;
        }
        Ok(())
    }
}

impl Finding {
    /// As JSON: `severity, file, line, column, object, message, hint`.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "file": self.file.display().to_string(),
            "line": self.line,
            "column": self.column,
            "object": self.object,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

/// Findings in the order of their places, each once, with no secret in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Puts findings in order: those of the pipeline file first, then those of other files.
    pub fn new(pipeline: &Path, mut findings: Vec<Finding>, secrets: &Secrets) -> Self {
        for finding in &mut findings {
            finding.message = secrets.mask(&finding.message).into_owned();
            finding.hint = finding.hint.as_deref().map(|hint| secrets.mask(hint).into_owned());
            if let Some(excerpt) = &mut finding.excerpt {
                excerpt.mask(secrets);
            }
        }
        findings.sort_by(|a, b| {
            let place = |f: &Finding| (f.file != pipeline, f.file.clone(), f.line, f.column);
            place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message))
        });
        // A register map that two objects read is wrong once.
        findings.dedup_by(|b, a| (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message));
        Self(findings)
    }

    /// The findings in order.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a JSON array, see [`Finding::to_json`].
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Finding::to_json).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| write!(f, "{finding}"))
    }
}

impl std::error::Error for Report {}
