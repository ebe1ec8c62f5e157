//! The TOML text of a pipeline file as values, and where each of them stands.
//!
//! Values are JSON, as the options of connectors and operators are. For each key and each item of an array the place of the
//! key and of the value is kept, so that a problem named by a path of keys, or by a line and column within a SQL text, can
//! be shown in the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use lineside_model::{At, Problem};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::expand;
use super::report::Excerpt;
use super::{Environment, Finding, Report, Secrets, Severity};

#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) value: Map<String, Value>,
    text: String,
    places: BTreeMap<Vec<String>, Place>,
}

/// Where a value stands, in bytes.
#[derive(Clone, Debug)]
struct Place {
    /// Its key; the value itself for items of an array.
    key: Range<usize>,
    value: Range<usize>,
    /// Text as it was filled in from the environment; `None` for values that are no text.
    filled: Option<String>,
    /// Whether it has no valid value, which was told already.
    broken: bool,
}

impl Document {
    /// Reads TOML. What is wrong with single values is handed back beside the document.
    ///
    /// # Errors
    /// Every place where the text is no TOML.
    pub(super) fn parse(
        file: &Path,
        text: String,
        environment: Environment<'_>,
    ) -> Result<(Self, Vec<Finding>), Report> {
        let mut document =
            Self { file: file.to_owned(), value: Map::new(), text: String::new(), places: BTreeMap::new() };
        let (table, errors) = DeTable::parse_recoverable(&text);
        if errors.is_empty() {
            let mut reader = Reader { text: &text, environment, places: BTreeMap::new(), wrong: Vec::new() };
            let value = reader.table(&mut Vec::new(), table.get_ref());
            let Reader { places, wrong, .. } = reader;
            document = Self { value, places, text, ..document };
            let found = wrong.into_iter().map(|(path, at, problem)| {
                let object = path.get(..2).map(|p| format!("{} \"{}\"", p[0], p[1])).unwrap_or_default();
                document.show(at, object, problem)
            });
            let found = found.collect();
            return Ok((document, found));
        }
        document.text = text;
        let found = errors.iter().map(|error| {
            let at = error.span().unwrap_or(0..0);
            let mut problem = Problem::whole(plain(error.message()));
            let word = document.text.get(at.clone()).unwrap_or_default();
            let is_value = document.text.get(..at.start).is_some_and(|before| before.trim_end().ends_with('='));
            if is_value && word.starts_with(char::is_alphabetic) {
                problem = Problem::whole("text must stand in quotes").hint(format!("write \"{word}\""));
            }
            document.show(at, String::new(), problem)
        });
        Err(Report::new(file, found.collect(), &Secrets::default()))
    }

    /// Where a table or value begins in the file.
    pub(super) fn offset(&self, path: &[String]) -> usize {
        self.places.get(path).map_or(0, |place| place.key.start)
    }

    /// A problem of the object at `base` with its place in the file; `None` if it only follows from a value that was told to
    /// be broken.
    pub(super) fn finding(&self, base: &[String], object: String, mut problem: Problem) -> Option<Finding> {
        match &problem.at {
            At::Option(option) => {
                if option.last().is_some_and(|name| !problem.message.contains(name.as_str())) {
                    problem.message = format!("option \"{}\": {}", option.join("."), problem.message);
                }
                let (path, place) = self.nearest(base, option)?;
                let exact = path.len() == base.len() + option.len();
                let unknown = path.last().is_some_and(|key| problem.message == format!("unknown option \"{key}\""));
                let table =
                    path.len() <= base.len() || self.text.get(place.value.clone()).is_none_or(|v| v.contains('\n'));
                let at = if unknown || !exact || table { place.key.clone() } else { place.value.clone() };
                Some(self.show(at, object, problem))
            }
            At::Text { option, line, column } => {
                let (_, place) = self.nearest(base, option)?;
                let at = self.within_text(place, *line, *column).unwrap_or_else(|| place.value.clone());
                Some(self.show(at, object, problem))
            }
            At::File { file, line, column } => {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                let shown = text.lines().nth((*line as usize).saturating_sub(1));
                let excerpt = shown.map(|shown| {
                    let rest = shown.chars().skip((*column as usize).saturating_sub(1));
                    Excerpt::new(shown, *column, rest.take_while(|c| !",;\t".contains(*c)).count())
                });
                Some(Finding {
                    severity: Severity::Error,
                    file: file.clone(),
                    line: *line,
                    column: *column,
                    object,
                    message: problem.message,
                    hint: problem.hint,
                    excerpt,
                })
            }
        }
    }

    /// The place of the longest part of the path that stands in the file; `None` if its value was told to be broken.
    fn nearest(&self, base: &[String], option: &[String]) -> Option<(Vec<String>, &Place)> {
        static TOP: Place = Place { key: 0..0, value: 0..0, filled: None, broken: false };
        let mut path = [base, option].concat();
        loop {
            if path.is_empty() {
                return Some((path, &TOP));
            }
            match self.places.get(&path) {
                Some(place) if place.broken => return None,
                Some(place) => return Some((path, place)),
                None => path.truncate(path.len() - 1),
            }
        }
    }

    /// The bytes in the file of a place within a text value, if lines of the value are lines of the file.
    fn within_text(&self, place: &Place, line: u32, column: u32) -> Option<Range<usize>> {
        let written = self.text.get(place.value.clone())?;
        let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| written.starts_with(quotes))?;
        let inner = written.strip_prefix(quotes)?.strip_suffix(quotes)?;
        let mut start = place.value.start + quotes.len();
        let mut lines = inner;
        if quotes.len() == 3 {
            let first_newline = ["\r\n", "\n"].into_iter().find(|newline| inner.starts_with(newline)).unwrap_or("");
            start += first_newline.len();
            lines = &inner[first_newline.len()..];
        }
        let filled = place.filled.as_deref()?;
        if lines.lines().count() != filled.lines().count() {
            return None;
        }
        let nth = (line as usize).checked_sub(1)?;
        let written = lines.split('\n').nth(nth)?;
        start += lines.split('\n').take(nth).map(|line| line.len() + 1).sum::<usize>();
        let same = filled.lines().nth(nth).is_some_and(|filled| filled == written.trim_end_matches('\r'));
        let from = if same {
            let chars = (column as usize).saturating_sub(1);
            written.char_indices().nth(chars).map_or(written.trim_end().len(), |(at, _)| at)
        } else {
            written.len() - written.trim_start().len()
        };
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let width = written[from..].find(|c| !word(c)).unwrap_or(written.len() - from);
        Some(start + from..start + from + width)
    }

    fn show(&self, at: Range<usize>, object: String, problem: Problem) -> Finding {
        let start = (0..=at.start.min(self.text.len())).rev().find(|&n| self.text.is_char_boundary(n)).unwrap_or(0);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let line = count(before.matches('\n').count() + 1);
        let column = count(self.text[line_start..start].chars().count() + 1);
        let shown = self.text[line_start..].lines().next();
        let width = self.text.get(start..at.end).and_then(|marked| marked.lines().next()).unwrap_or_default();
        Finding {
            severity: Severity::Error,
            file: self.file.clone(),
            line,
            column,
            object,
            message: problem.message,
            hint: problem.hint,
            excerpt: shown.map(|shown| Excerpt::new(shown, column, width.chars().count())),
        }
    }
}

/// Turns TOML values into JSON values and notes their places.
struct Reader<'a> {
    text: &'a str,
    environment: Environment<'a>,
    places: BTreeMap<Vec<String>, Place>,
    wrong: Vec<(Vec<String>, Range<usize>, Problem)>,
}

impl Reader<'_> {
    fn table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            values.insert(key.get_ref().to_string(), self.value(path, key.span(), value));
            path.pop();
        }
        values
    }

    fn value(&mut self, path: &mut Vec<String>, key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Value {
        let span = value.span();
        let mut place = Place { key, value: span.clone(), filled: None, broken: false };
        let mut broken = |message: &str, hint: &str| {
            self.wrong.push((path.clone(), span.clone(), Problem::whole(message).hint(hint)));
            place.broken = true;
            Value::Null
        };
        let read = match value.get_ref() {
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => broken("the number does not fit into 64 bits", "the largest is 9223372036854775807"),
            },
            DeValue::Float(digits) => match digits.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => broken("the number is not finite", "leave the option out if there is no limit"),
            },
            DeValue::String(text) => match expand(text, self.environment) {
                Ok(filled) => {
                    place.filled = Some(filled.clone());
                    Value::String(filled)
                }
                Err(missing) => {
                    place.broken = true;
                    let written = self.text.get(span.clone()).unwrap_or_default();
                    for missing in missing {
                        let at = written.find(&missing.written).map_or(span.clone(), |at| {
                            let start = span.start + at;
                            let end = self.text[start..span.end].find('}').map_or(span.end, |end| start + end + 1);
                            start..end
                        });
                        let problem = Problem::whole(missing.message).hint(missing.hint);
                        self.wrong.push((path.clone(), at, problem));
                    }
                    Value::String(text.to_string())
                }
            },
            DeValue::Array(items) => {
                let mut values = Vec::new();
                for (n, item) in items.iter().enumerate() {
                    path.push(n.to_string());
                    values.push(self.value(path, item.span(), item));
                    path.pop();
                }
                Value::Array(values)
            }
            DeValue::Table(table) => Value::Object(self.table(path, table)),
        };
        self.places.insert(path.clone(), place);
        read
    }
}

/// The parser's words in our form.
fn plain(message: &str) -> String {
    let message = message.replace("`\"`", "a closing quote").replace('`', "\"");
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[source.plc]\nhost = \"${HOST}\"\nlist = [1, { x = \"ü\", y = 2 }]\n\n[query.q]\nsql = \"\"\"\nSELECT a,\n  bb FROM ${T:-plc}\n\"\"\"\none = 'SELECT c'\n";

    fn place(base: [&str; 2], at: At) -> Option<(u32, u32)> {
        let (document, _) =
            Document::parse(Path::new("f.toml"), FILE.to_owned(), &|_| None).unwrap_or_else(|r| panic!("{r}"));
        let problem = Problem { at, message: "wrong".to_owned(), hint: None };
        document.finding(&base.map(str::to_owned), String::new(), problem).map(|f| (f.line, f.column))
    }

    fn option(path: &[&str]) -> At {
        At::Option(path.iter().map(|&part| part.to_owned()).collect())
    }

    fn text(option: &str, line: u32, column: u32) -> At {
        At::Text { option: vec![option.to_owned()], line, column }
    }

    #[test]
    fn a_path_of_keys_is_found_in_the_file() {
        assert_eq!(place(["source", "plc"], option(&[])), Some((1, 9)));
        assert_eq!(place(["source", "plc"], option(&["list"])), Some((3, 8)));
        assert_eq!(place(["source", "plc"], option(&["list", "1", "y"])), Some((3, 27)));
        assert_eq!(place(["source", "plc"], option(&["absent", "deeper"])), Some((1, 9)));
        assert_eq!(place(["sink", "absent"], option(&[])), Some((1, 1)));
    }

    #[test]
    fn a_place_in_sql_is_found_in_the_file() {
        assert_eq!(place(["query", "q"], text("sql", 1, 8)), Some((7, 8)));
        assert_eq!(place(["query", "q"], text("one", 1, 8)), Some((10, 15)));
    }

    #[test]
    fn a_line_that_the_environment_changed_is_shown_from_its_start() {
        assert_eq!(place(["query", "q"], text("sql", 2, 11)), Some((8, 3)));
    }

    #[test]
    fn what_follows_from_a_missing_variable_is_not_told() {
        assert_eq!(place(["source", "plc"], option(&["host"])), None);
    }

    #[test]
    fn every_syntax_error_is_told() {
        let text = "[source.plc]\nhost = \nport = 5 6\n".to_owned();
        let Err(report) = Document::parse(Path::new("f.toml"), text, &|_| None) else { panic!("was accepted") };
        let places = report.findings().iter().map(|f| (f.line, f.column)).collect::<Vec<_>>();
        assert!(places.iter().any(|p| p.0 == 2) && places.iter().any(|p| p.0 == 3), "{report}");
    }
}
