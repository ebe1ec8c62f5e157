//! What a user wrote for one source, operator or sink, turned into a typed value, with every mistake named at once.
//!
//! A kind declares its options as a struct with `Deserialize`, `JsonSchema` and `deny_unknown_fields`. [`parse_options`]
//! checks names against the schema first (so that all unknown and all missing ones are told together, with the nearest
//! valid name), then reads the values. Places are paths of keys; the configuration layer turns them into line and column.

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// A key path within the options of the object, outermost first; empty for the object itself.
    Option(Vec<String>),
    /// A place in the text of an option, such as a SQL statement; line and column count from 1.
    Text {
        /// The option that holds the text.
        option: Vec<String>,
        /// Line within the text.
        line: u32,
        /// Column within the line, in characters.
        column: u32,
    },
    /// A place in another file, such as a register map; line and column count from 1.
    File {
        /// The file.
        file: PathBuf,
        /// Line within the file.
        line: u32,
        /// Column within the line, in characters.
        column: u32,
    },
}

impl At {
    /// The option of this name.
    pub fn option(name: &str) -> Self {
        Self::Option(vec![name.to_owned()])
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What is wrong: one lowercase line without a period.
    pub message: String,
    /// The cure, where it is known.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with one option.
    pub fn option(name: &str, message: impl Into<String>) -> Self {
        Self { at: At::option(name), message: message.into(), hint: None }
    }

    /// A problem with the object as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { at: At::Option(Vec::new()), message: message.into(), hint: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with a configuration, told at once. Never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes one more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// `Ok(value)` if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Moves every place into the option `name`: for options of a nested table.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        for problem in &mut self.0 {
            match &mut problem.at {
                At::Option(path) | At::Text { option: path, .. } => path.insert(0, name.to_owned()),
                At::File { .. } => {}
            }
        }
        self
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            match &problem.at {
                At::Option(path) | At::Text { option: path, .. } if !path.is_empty() => {
                    write!(f, "option \"{}\": ", path.join("."))?;
                }
                At::File { file, line, column } => write!(f, "{}:{line}:{column}: ", file.display())?,
                At::Option(_) | At::Text { .. } => {}
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The name among `known` that `name` most likely stands for.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint such as `did you mean "interval"?`, or the list of what there is.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            let all = known.into_iter().collect::<Vec<_>>();
            if all.is_empty() { "there is none".to_owned() } else { format!("there is: {}", all.join(", ")) }
        }
    }
}

/// Reads typed options, naming every unknown key, every missing key and every value of a wrong type.
///
/// # Errors
/// All problems found, with paths relative to `value`.
pub fn parse_options<T: DeserializeOwned + JsonSchema>(value: &Value) -> Result<T, Problems> {
    // Only to tell what is wrong, and all of it at once, the schema is needed, which costs more than the reading.
    if let Ok(options) = serde_path_to_error::deserialize::<_, T>(value) {
        return Ok(options);
    }
    let schema = schemars::schema_for!(T).to_value();
    let (value, mut problems, mut missing) = check_names(value.clone(), &schema);
    let options = read::<T>(value, &mut problems, &mut missing);
    if problems.0.is_empty() { options.ok_or(problems) } else { Err(problems) }
}

/// Reads one table of options as two structs: those of a kind, and those that it shares with other kinds.
///
/// # Errors
/// As [`parse_options`]; an unknown key is compared with the names of both.
pub fn parse_both<A, B>(value: &Value) -> Result<(A, B), Problems>
where
    A: DeserializeOwned + JsonSchema,
    B: DeserializeOwned + JsonSchema,
{
    let schema = schema_of_both::<A, B>().to_value();
    let (value, mut problems, mut missing) = check_names(value.clone(), &schema);
    let shared = schemars::schema_for!(B).to_value();
    let (mut own, mut others) = (Map::new(), Map::new());
    if let Value::Object(map) = value {
        for (key, value) in map {
            let is_shared = shared["properties"].get(&key).is_some();
            if is_shared { &mut others } else { &mut own }.insert(key, value);
        }
    }
    let own = read::<A>(Value::Object(own), &mut problems, &mut missing);
    let others = read::<B>(Value::Object(others), &mut problems, &mut missing);
    match (own, others, problems.0.is_empty()) {
        (Some(own), Some(others), true) => Ok((own, others)),
        _ => Err(problems),
    }
}

/// The schema of a table that [`parse_both`] reads: the options of `A`, then those of `B`.
pub fn schema_of_both<A: JsonSchema, B: JsonSchema>() -> Schema {
    let mut schema = schemars::schema_for!(A);
    let Value::Object(shared) = schemars::schema_for!(B).to_value() else { return schema };
    for (part, more) in shared {
        match (schema.get_mut(&part), more) {
            (Some(Value::Object(mine)), Value::Object(more)) => mine.extend(more),
            (Some(Value::Array(mine)), Value::Array(more)) => mine.extend(more),
            (None, more @ (Value::Object(_) | Value::Array(_))) => {
                schema.insert(part, more);
            }
            _ => {}
        }
    }
    schema
}

/// Checks the names of all keys, and takes out those that are unknown. Gives what was found, and which keys are missing.
fn check_names(mut value: Value, schema: &Value) -> (Value, Problems, Vec<Vec<String>>) {
    let mut names = Names { root: schema, path: Vec::new(), problems: Problems::default(), missing: Vec::new() };
    names.check(&mut value, schema);
    (value, names.problems, names.missing)
}

/// Reads values of checked names; what has a wrong type is told and taken out, so that the rest can be read.
fn read<T: DeserializeOwned>(mut value: Value, problems: &mut Problems, missing: &mut Vec<Vec<String>>) -> Option<T> {
    loop {
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(options) => return Some(options),
            Err(error) => {
                let path = error.path().iter().map(ToString::to_string).collect::<Vec<_>>();
                let message = error.inner().to_string();
                let field = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
                let told =
                    field.is_some_and(|field| missing.contains(&[path.as_slice(), &[field.to_owned()]].concat()));
                if !told {
                    problems.push(Problem { at: At::Option(path.clone()), message: plain(&message), hint: None });
                }
                if field.is_some() || !remove(&mut value, &path) {
                    return None;
                }
                missing.push(path);
            }
        }
    }
}

/// serde's words without its JSON vocabulary.
fn plain(message: &str) -> String {
    message.replace("invalid type: ", "wrong type: found ").replace(", expected", "; expected").replace('`', "\"")
}

fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = value;
    for key in parents {
        let next = match at {
            Value::Object(map) => map.get_mut(key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|n| items.get_mut(n)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    at.as_object_mut().is_some_and(|map| map.remove(last).is_some())
}

/// Checks the names of options at every depth, and removes unknown ones, so that the typed reading can go on to find what
/// else is wrong.
struct Names<'s> {
    root: &'s Value,
    path: Vec<String>,
    problems: Problems,
    /// Full paths of options that are missing, and were told to be.
    missing: Vec<Vec<String>>,
}

impl<'s> Names<'s> {
    fn check(&mut self, value: &mut Value, schema: &'s Value) {
        let Some(schema) = self.resolve(schema) else { return };
        match value {
            Value::Object(map) => self.check_table(map, schema),
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (n, item) in items.iter_mut().enumerate() {
                    self.below(n.to_string(), item, schema);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn check_table(&mut self, map: &mut Map<String, Value>, schema: &'s Value) {
        let known = schema.get("properties").and_then(Value::as_object);
        let names = || known.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect::<Vec<_>>();
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            map.retain(|key, _| {
                let is_known = known.is_some_and(|known| known.contains_key(key));
                if !is_known {
                    let hint = did_you_mean(key, names());
                    self.tell(Some(key), format!("unknown option \"{key}\""), Some(hint));
                }
                is_known
            });
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for required in required.filter(|required| !map.contains_key(*required)) {
            let about = known.and_then(|known| known.get(required)?.get("description")?.as_str());
            let about = about.map(|about| format!("{required}: {about}"));
            self.tell(None, format!("option \"{required}\" is missing"), about);
            self.missing.push([self.path.as_slice(), &[required.to_owned()]].concat());
        }
        for (key, value) in map {
            let schema = known.and_then(|known| known.get(key)).or_else(|| schema.get("additionalProperties"));
            if let Some(schema) = schema {
                self.below(key.clone(), value, schema);
            }
        }
    }

    fn below(&mut self, key: String, value: &mut Value, schema: &'s Value) {
        self.path.push(key);
        self.check(value, schema);
        self.path.pop();
    }

    fn tell(&mut self, key: Option<&str>, message: String, hint: Option<String>) {
        let path = self.path.iter().map(String::as_str).chain(key).map(str::to_owned).collect();
        self.problems.push(Problem { at: At::Option(path), message, hint });
    }

    /// The schema that a reference leads to, or the only alternative that is not null; `None` if there are several.
    fn resolve(&self, schema: &'s Value) -> Option<&'s Value> {
        if let Some(reference) = schema.get("$ref") {
            return self.root.pointer(reference.as_str()?.strip_prefix('#')?);
        }
        let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) else {
            return schema.get("oneOf").is_none().then_some(schema);
        };
        let mut alternatives = alternatives.iter().filter(|one| one.get("type") != Some(&Value::from("null")));
        let only = alternatives.next()?;
        if alternatives.next().is_some() {
            return None;
        }
        match only.get("$ref") {
            Some(reference) => self.root.pointer(reference.as_str()?.strip_prefix('#')?),
            None => Some(only),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Poll {
        #[expect(dead_code, reason = "only read by serde here")]
        interval: crate::Span,
        #[serde(default)]
        #[expect(dead_code, reason = "only read by serde here")]
        count: u8,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Device {
        #[expect(dead_code, reason = "only read by serde here")]
        poll: Option<Poll>,
        #[expect(dead_code, reason = "only read by serde here")]
        topics: Vec<String>,
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let wrong = parse_options::<Poll>(&json!({"intervall": "1s", "count": "many", "x": 1})).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "option \"intervall\": unknown option \"intervall\"; option \"x\": unknown option \"x\"; \
             option \"interval\" is missing; option \"count\": wrong type: found string \"many\"; expected u8"
        );
    }

    #[test]
    fn names_of_nested_options_are_checked_too() {
        let wrong = parse_options::<Device>(&json!({"poll": {"intervall": "1s"}, "topics": []})).unwrap_err();
        let hints = wrong.0.iter().filter_map(|problem| problem.hint.as_deref()).collect::<Vec<_>>();
        assert_eq!(hints, ["did you mean \"interval\"?"]);
        assert_eq!(
            wrong.to_string(),
            "option \"poll.intervall\": unknown option \"intervall\"; option \"poll\": option \"interval\" is missing"
        );
    }

    #[test]
    fn a_value_of_a_wrong_type_is_not_called_missing() {
        let wrong = parse_options::<Device>(&json!({"topics": "plant/#"})).unwrap_err().to_string();
        assert_eq!(wrong, "option \"topics\": wrong type: found string \"plant/#\"; expected a sequence");
    }

    #[test]
    fn a_wrong_duration_says_what_is_expected() {
        let wrong = parse_options::<Poll>(&json!({"interval": 250})).unwrap_err().to_string();
        assert_eq!(
            wrong,
            "option \"interval\": wrong type: found integer \"250\"; expected a duration such as \"250ms\", \"5s\" or \"1h30m\""
        );
    }
}
