//! References to the environment in the values of a pipeline file: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `$$`.
//!
//! They are filled in after the file was parsed, in text values only, so that a variable can never add a key or a table.
//! A default may not hold further references. A variable that is set but empty counts as missing for `:-` and `:?`, as in
//! a shell.

use super::Environment;

/// A reference that could not be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// The reference as it is written, up to the name: `${HOST`.
    pub(super) written: String,
    /// What is wrong.
    pub(super) message: String,
    /// The cure.
    pub(super) hint: String,
}

/// Fills in every reference of one text.
///
/// # Errors
/// Every reference that has no value.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, Vec<Missing>> {
    let mut filled = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                missing.push(Missing {
                    written: "${".to_owned(),
                    message: "a reference \"${…\" has no closing brace".to_owned(),
                    hint: "write ${NAME}, or $$ for a dollar sign".to_owned(),
                });
                return Err(missing);
            };
            match value(&after[..end], environment) {
                Ok(value) => filled.push_str(&value),
                Err(wrong) => missing.push(wrong),
            }
            rest = &after[end + 1..];
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    if missing.is_empty() { Ok(filled) } else { Err(missing) }
}

fn value(reference: &str, environment: Environment<'_>) -> Result<String, Missing> {
    let name_ends = reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(reference.len());
    let (name, rest) = reference.split_at(name_ends);
    let wrong = |message: String, hint: String| Missing { written: format!("${{{name}"), message, hint };
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!("\"${{{reference}}}\" names no environment variable");
        return Err(wrong(message, "write ${NAME}, or $$ for a dollar sign".to_owned()));
    }
    let set = environment(name);
    let filled = set.clone().filter(|value| !value.is_empty());
    let cure = format!("set {name}, or write ${{{name}:-default}}");
    if rest.is_empty() {
        set.ok_or_else(|| wrong(format!("environment variable \"{name}\" is not set"), cure))
    } else if let Some(default) = rest.strip_prefix(":-") {
        Ok(filled.unwrap_or_else(|| default.to_owned()))
    } else if let Some(message) = rest.strip_prefix(":?") {
        filled.ok_or_else(|| {
            let why = if message.is_empty() { "it is required" } else { message };
            wrong(format!("environment variable \"{name}\" is not set: {why}"), format!("set {name}"))
        })
    } else {
        let message = format!("\"${{{reference}}}\" is no reference to an environment variable");
        Err(wrong(message, format!("write ${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("10.0.0.7".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}\"]\nevil = 1".to_owned()),
            _ => None,
        }
    }

    fn filled(text: &str) -> String {
        expand(text, &environment).unwrap_or_else(|missing| panic!("{missing:?}"))
    }

    #[test]
    fn references_are_filled_in_once() {
        assert_eq!(filled("tcp://${HOST}:${PORT:-502}"), "tcp://10.0.0.7:502");
        assert_eq!(filled("${EMPTY}|${EMPTY:-x}"), "|x");
        assert_eq!(filled("${NESTED}"), "${HOST}\"]\nevil = 1");
    }

    #[test]
    fn a_dollar_sign_is_written_twice_or_stands_alone() {
        assert_eq!(filled("$${HOST} costs $5 $"), "${HOST} costs $5 $");
    }

    #[test]
    fn every_missing_variable_is_told() {
        let missing = expand("${A} ${B:?the PLC's address} ${C:+x} ${", &environment).unwrap_err();
        let told = missing.iter().map(|m| m.message.as_str()).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                "environment variable \"A\" is not set",
                "environment variable \"B\" is not set: the PLC's address",
                "\"${C:+x}\" is no reference to an environment variable",
                "a reference \"${…\" has no closing brace",
            ]
        );
    }
}
