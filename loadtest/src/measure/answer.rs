//! What comes out of the engine, as one message: only what tells which of the awaited answers it is.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// One JSON message from a sink. Columns that are not named here do not matter.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answer<'a> {
    /// The number of the message that led to it; of a window, how many messages.
    pub n: Option<u64>,
    /// The sensor by its number, as a number or as a text that ends in it.
    #[serde(default, deserialize_with = "number_of_sensor")]
    pub sensor: Option<u32>,
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

fn number_of_sensor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Sensor<'a> {
        Number(u32),
        #[serde(borrow)]
        Name(Cow<'a, str>),
    }
    Ok(match Option::<Sensor<'_>>::deserialize(from)? {
        None => None,
        Some(Sensor::Number(number)) => Some(number),
        Some(Sensor::Name(name)) => {
            let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            name[name.len() - digits..].parse().ok()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_a_number_or_a_name_that_ends_in_it() {
        let sensor = |text: &str| Answer::parse(text.as_bytes()).expect("an object").sensor;
        assert_eq!(sensor(r#"{"sensor":17,"value":1.5}"#), Some(17));
        assert_eq!(sensor(r#"{"sensor":"line2.s0017"}"#), Some(17));
        assert_eq!(sensor(r#"{"sensor":"oven"}"#), None);
        assert_eq!(sensor(r#"{"n":3}"#), None);
        assert_eq!(Answer::parse(b"gone"), None);
    }
}
