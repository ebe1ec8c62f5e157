//! What a message looks like on the wire.

use std::io::{Result, Write};
use std::sync::Arc;

use crate::synthetic::{Kind, Message};

/// The names of sensors by their numbers: `s0`, `s1` and so on, or those of a trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Option<Arc<[String]>>);

impl Names {
    pub(super) fn listed(names: Vec<String>) -> Self {
        Self(Some(names.into()))
    }

    pub(super) fn of(&self, sensor: u32) -> String {
        let listed = self.0.as_ref().and_then(|names| names.get(sensor as usize)).cloned();
        listed.unwrap_or_else(|| format!("s{sensor}"))
    }
}

/// What is the same in all messages of a sensor, made once: a table by the sensors' numbers.
#[derive(Debug)]
pub(super) struct Table<T> {
    names: Names,
    entries: Vec<Option<T>>,
}

impl<T> Table<T> {
    pub(super) fn new(names: Names) -> Self {
        Self { names, entries: Vec::new() }
    }

    /// What belongs to a sensor; made from its name when it is first asked for.
    pub(super) fn of(&mut self, sensor: u32, make: impl FnOnce(&str) -> T) -> &T {
        let place = sensor as usize;
        if self.entries.len() <= place {
            self.entries.resize_with(place + 1, || None);
        }
        self.entries[place].get_or_insert_with(|| make(&self.names.of(sensor)))
    }
}

/// The piece of a payload between the time and the value.
pub(super) fn middle(name: &str) -> Vec<u8> {
    format!(",\"sensor\":{},\"value\":", serde_json::Value::from(name)).into_bytes()
}

/// Appends the payload of a message, given the middle of its sensor.
pub(super) fn write(message: &Message, middle: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let bad = message.kind == Kind::Bad;
    if bad && message.number % 3 == 2 {
        out.extend_from_slice(b"\xff\x00\xfe noise ");
        return serde_json::to_writer(out, &message.number).map_err(Into::into);
    }
    out.extend_from_slice(b"{\"n\":");
    serde_json::to_writer(&mut *out, &message.number)?;
    out.extend_from_slice(b",\"ts\":");
    serde_json::to_writer(&mut *out, &message.ts.micros())?;
    if bad && message.number % 3 == 1 {
        return Ok(());
    }
    out.extend_from_slice(middle);
    if bad {
        return out.write_all(b"\"OVERRANGE\"}");
    }
    serde_json::to_writer(&mut *out, &message.value)?;
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use lineside_model::Timestamp;

    use super::*;

    fn text(number: u64, kind: Kind) -> Vec<u8> {
        let message = Message { number, ts: Timestamp(5), value: 1.5, kind, ..Message::default() };
        let mut out = Vec::new();
        write(&message, &middle("a \"b\""), &mut out).expect("memory takes it");
        out
    }

    #[test]
    fn a_reading_is_json_with_its_number() {
        assert_eq!(text(7, Kind::Good), br#"{"n":7,"ts":5,"sensor":"a \"b\"","value":1.5}"#);
        assert_eq!(text(7, Kind::Duplicate), text(7, Kind::Good));
    }

    #[test]
    fn a_bad_one_is_text_or_cut_off_or_noise() {
        assert_eq!(text(6, Kind::Bad), br#"{"n":6,"ts":5,"sensor":"a \"b\"","value":"OVERRANGE"}"#);
        assert_eq!(text(7, Kind::Bad), br#"{"n":7,"ts":5"#);
        assert_eq!(text(8, Kind::Bad), b"\xff\x00\xfe noise 8");
    }
}
