//! What comes out of the engine, as one message: only what tells which of the awaited answers it is.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

/// One JSON message from a sink. Columns that are not named here do not matter.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answer<'a> {
    /// The number of the message that led to it; of a window, how many messages.
    pub n: Option<u64>,
    /// The sensor, by its number or its name.
    #[serde(default, borrow)]
    pub sensor: Option<Sensor<'a>>,
    /// When it happened, in microseconds.
    pub ts: Option<i64>,
    /// The end of the window, in microseconds.
    pub window_end: Option<i64>,
    /// Of an alarm, `raised` or `cleared`.
    #[serde(borrow)]
    pub event: Option<Cow<'a, str>>,
}

impl<'a> Answer<'a> {
    /// Reads a message; `None` if it is no JSON object with such columns.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// A sensor, as an answer names it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Sensor<'a> {
    /// Its number.
    Number(u32),
    /// Its name.
    #[serde(borrow)]
    Name(Cow<'a, str>),
}

impl Sensor<'_> {
    /// Its number: that of its name, where names have numbers, else the number in which its name ends.
    pub fn number(&self, names: Option<&HashMap<String, u32>>) -> Option<u32> {
        match (self, names) {
            (Self::Number(number), _) => Some(*number),
            (Self::Name(name), Some(names)) => names.get(name.as_ref()).copied(),
            (Self::Name(name), None) => {
                let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
                name[name.len() - digits..].parse().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_a_number_or_a_name_that_ends_in_it() {
        let named = HashMap::from([("oven".to_owned(), 4)]);
        let of = |text: &str, names| Answer::parse(text.as_bytes()).expect("an object").sensor?.number(names);
        let sensor = |text: &str| of(text, None);
        assert_eq!(sensor(r#"{"sensor":17,"value":1.5}"#), Some(17));
        assert_eq!(sensor(r#"{"sensor":"line2.s0017"}"#), Some(17));
        assert_eq!(sensor(r#"{"sensor":"oven"}"#), None);
        assert_eq!(sensor(r#"{"n":3}"#), None);
        assert_eq!(of(r#"{"sensor":"oven"}"#, Some(&named)), Some(4));
        assert_eq!(of(r#"{"sensor":"oven.2"}"#, Some(&named)), None);
        assert_eq!(Answer::parse(b"gone"), None);
    }
}
