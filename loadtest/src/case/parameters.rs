//! What of a case may be varied without another case: numbers and texts with names and defaults, and what a run sets them to.
//!
//! ```toml
//! [parameters]
//! sensors = 1_000       # a whole number
//! rate = 30_000.0       # a number
//! size = "1s"           # a duration: another must be one as well
//! ```
//!
//! The files of the case say `${sensors}` where the value goes; how is told in `template.rs`.

use std::collections::BTreeMap;
use std::fmt;

use lineside_model::options::nearest;
use lineside_model::{Error, Result, Span};
use serde::Deserialize;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
pub enum Value {
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text, such as a duration.
    Text(String),
}

/// The parameters of a case, by their names.
pub type Parameters = BTreeMap<String, Value>;

impl Value {
    /// The value as a file holds it where it stands alone: a text with its quotes.
    pub(super) fn literal(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            // With a point, so that it stays a number with one.
            Self::Number(number) => format!("{number:?}"),
            Self::Text(text) => format!("\"{text}\""),
        }
    }

    /// The number that it is; of a duration its microseconds.
    pub fn amount(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) => self.span().map(|span| span.micros() as f64),
        }
    }

    /// The duration that it is.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Whole(_) | Self::Number(_) => None,
            Self::Text(text) => text.parse().ok(),
        }
    }

    /// Another value of the same kind.
    fn another(&self, text: &str) -> Option<Self> {
        let digits = || text.replace('_', "");
        match self {
            Self::Whole(_) => digits().parse().ok().map(Self::Whole),
            Self::Number(_) => digits().parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Number),
            Self::Text(_) => {
                let other = Self::Text(text.to_owned());
                (!text.contains(marks) && (self.span().is_none() || other.span().is_some())).then_some(other)
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Whole(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Text(_) if self.span().is_some() => "a duration such as \"10s\"",
            Self::Text(_) => "a text on one line, without quotes and backslashes",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Marks that would end a text where it is put.
fn marks(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.is_control()
}

/// Whether this may be the name of a parameter: small letters, so that it is told from the variables of the engine.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether names and defaults can be used.
///
/// # Errors
/// One cannot; the error names it.
pub(super) fn check(parameters: &Parameters) -> Result<()> {
    for (name, value) in parameters {
        if !is_name(name) {
            return Err(Error::user(format!("\"{name}\" is no name of a parameter"))
                .hint("use small letters, digits and \"_\", a letter first"));
        }
        if matches!(value, Value::Text(text) if text.contains(marks)) {
            return Err(Error::user(format!("parameter \"{name}\" expects {}", value.kind())));
        }
    }
    Ok(())
}

/// Sets parameters, each a name and a text.
///
/// # Errors
/// There is no such parameter, or the value is not of the kind of its default.
pub(super) fn set(parameters: &mut Parameters, settings: &[(String, String)]) -> Result<()> {
    for (name, text) in settings {
        let Some(value) = parameters.get_mut(name) else {
            return Err(unknown(name, parameters.keys().map(String::as_str)));
        };
        *value = value.another(text).ok_or_else(|| {
            Error::user(format!("parameter \"{name}\" expects {}, found \"{text}\"", value.kind()))
                .hint(format!("its default is {}", value.literal()))
        })?;
    }
    Ok(())
}

/// There is no parameter of this name; the error names those that there are.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let all = known.clone().collect::<Vec<_>>().join(", ");
    let there_are = if all.is_empty() { "there are none".to_owned() } else { format!("there are {all}") };
    let error = Error::user(format!("there is no parameter \"{name}\"; {there_are}"));
    match nearest(name, known) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        Parameters::from([
            ("rate".to_owned(), Value::Number(30_000.0)),
            ("sensors".to_owned(), Value::Whole(1_000)),
            ("size".to_owned(), Value::Text("1s".to_owned())),
        ])
    }

    fn set_one(name: &str, text: &str) -> Result<Value> {
        let mut parameters = parameters();
        set(&mut parameters, &[(name.to_owned(), text.to_owned())])?;
        Ok(parameters[name].clone())
    }

    #[test]
    fn a_value_is_of_the_kind_of_its_default() {
        assert_eq!(set_one("sensors", "10_000").expect("it is one"), Value::Whole(10_000));
        assert_eq!(set_one("rate", "5e5").expect("it is one"), Value::Number(500_000.0));
        assert_eq!(set_one("size", "250ms").expect("it is one").amount(), Some(250_000.0));
        let told = |name, text| set_one(name, text).expect_err("it is none").to_string();
        assert_eq!(told("sensors", "1.5"), "parameter \"sensors\" expects a whole number, found \"1.5\"");
        assert_eq!(told("rate", "inf"), "parameter \"rate\" expects a number, found \"inf\"");
        assert_eq!(told("size", "10"), "parameter \"size\" expects a duration such as \"10s\", found \"10\"");
    }

    #[test]
    fn an_unknown_parameter_is_told_with_those_there_are() {
        let error = set_one("sensor", "5").expect_err("there is none");
        assert_eq!(error.to_string(), "there is no parameter \"sensor\"; there are rate, sensors, size");
        assert_eq!(error.cure(), Some("did you mean \"sensors\"?"));
        let error = unknown("sensors", [].into_iter());
        assert_eq!(error.to_string(), "there is no parameter \"sensors\"; there are none");
    }

    #[test]
    fn names_and_texts_that_would_spoil_a_file_are_refused() {
        let checked = |name: &str, value| check(&Parameters::from([(name.to_owned(), value)]));
        assert!(checked("Rate", Value::Whole(1)).is_err() && checked("5", Value::Whole(1)).is_err());
        assert!(checked("topic", Value::Text("a\"b".to_owned())).is_err());
        assert!(check(&parameters()).is_ok());
    }

    #[test]
    fn a_number_with_a_point_keeps_it() {
        assert_eq!(Value::Number(30_000.0).literal(), "30000.0");
        assert_eq!(Value::Number(30_000.0).to_string(), "30000");
    }
}
