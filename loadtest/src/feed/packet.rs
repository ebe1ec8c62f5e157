//! The few packets of MQTT 3.1.1 that a feeder speaks. A client library allocates and wakes tasks for each message; at
//! 500,000 a second there is no time for that.

/// The end of a session.
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];
/// The broker's consent is this long.
pub(super) const CONNACK_LEN: usize = 4;
/// An acknowledgement begins so, and has a packet's number behind.
pub(super) const PUBACK: [u8; 2] = [0x40, 2];
pub(super) const PUBACK_LEN: usize = 4;

/// Appends the request for a clean session whose keep-alive is as long as can be, 18 hours: with none at all some brokers
/// hang up at once.
pub(super) fn connect(client: &str, out: &mut Vec<u8>) {
    const HEAD: &[u8] = b"\x00\x04MQTT\x04\x02\xff\xff";
    out.push(0x10);
    length(HEAD.len() + 2 + client.len(), out);
    out.extend_from_slice(HEAD);
    text(client, out);
}

/// Appends a message; one with a number (above 0) is to be acknowledged.
pub(super) fn publish(topic: &str, number: Option<u16>, payload: &[u8], out: &mut Vec<u8>) {
    out.push(if number.is_some() { 0x32 } else { 0x30 });
    length(2 + topic.len() + number.map_or(0, |_| 2) + payload.len(), out);
    text(topic, out);
    if let Some(number) = number {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// How many whole packets there are at the beginning of these bytes.
pub(super) fn whole(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((len, digits)) = read_length(bytes.get(1..).unwrap_or(&[])) {
        let Some(rest) = bytes.get(1 + digits + len..) else { break };
        bytes = rest;
        count += 1;
    }
    count
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 128 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (place, byte) in bytes.iter().enumerate().take(4) {
        len |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((len, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_standard() {
        let mut out = Vec::new();
        connect("a", &mut out);
        assert_eq!(out, b"\x10\x0d\x00\x04MQTT\x04\x02\xff\xff\x00\x01a");
        out.clear();
        publish("t/x", None, b"hi", &mut out);
        publish("t", Some(258), b"hi", &mut out);
        assert_eq!(out, b"\x30\x07\x00\x03t/xhi\x32\x07\x00\x01t\x01\x02hi");
    }

    #[test]
    fn whole_packets_are_counted_wherever_the_bytes_are_cut() {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for size in [0, 100, 300, 20_000] {
            publish("t", None, &vec![0; size], &mut bytes);
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            assert_eq!(whole(&bytes[..cut]), ends.iter().filter(|end| **end <= cut).count() as u64);
        }
    }
}
