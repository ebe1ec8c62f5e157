//! Modbus TCP on the wire: requests to bytes and bytes to answers. Pure; the socket is in `connection.rs`.
//!
//! A message is a header of seven bytes (transaction id, protocol 0, length, unit) and a body of at most 253 (Modbus
//! Messaging on TCP/IP Implementation Guide V1.0b; Modbus Application Protocol V1.1b3). Only the function codes that every
//! device has are used: 1 to 6, 15 and 16.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::map::Table;

/// Most registers that one read may ask for.
pub(crate) const READ_REGISTERS: u16 = 125;
/// Most coils or discrete inputs that one read may ask for.
pub(crate) const READ_BITS: u16 = 2_000;
/// Most registers that one write may carry.
pub(crate) const WRITE_REGISTERS: u16 = 123;
/// Most coils that one write may carry.
pub(crate) const WRITE_BITS: u16 = 1_968;

/// What is asked of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Cells of one table.
    Read { table: Table, start: u16, count: u16 },
    /// One holding register, function 6.
    WriteRegister { start: u16, value: u16 },
    /// Holding registers that follow each other, function 16.
    WriteRegisters { start: u16, values: Vec<u16> },
    /// One coil, function 5.
    WriteCoil { start: u16, on: bool },
    /// Coils that follow each other, function 15.
    WriteCoils { start: u16, values: Vec<bool> },
}

/// What a unit answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was read: registers high byte first, or bits eight a byte, lowest first.
    Data(Bytes),
    /// It was written.
    Written,
    /// It was refused with this code.
    Exception(u8),
}

/// One message from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) body: Bytes,
}

impl Request {
    fn function(&self) -> u8 {
        match self {
            Self::Read { table: Table::Coil, .. } => 1,
            Self::Read { table: Table::Discrete, .. } => 2,
            Self::Read { table: Table::Holding, .. } => 3,
            Self::Read { table: Table::Input, .. } => 4,
            Self::WriteCoil { .. } => 5,
            Self::WriteRegister { .. } => 6,
            Self::WriteCoils { .. } => 15,
            Self::WriteRegisters { .. } => 16,
        }
    }

    /// The two words after the function code; the answer to a write repeats them.
    fn words(&self) -> (u16, u16) {
        match self {
            Self::Read { start, count, .. } => (*start, *count),
            Self::WriteRegister { start, value } => (*start, *value),
            Self::WriteCoil { start, on } => (*start, if *on { 0xff00 } else { 0 }),
            Self::WriteRegisters { start, values } => (*start, count(values.len())),
            Self::WriteCoils { start, values } => (*start, count(values.len())),
        }
    }

    /// Appends the whole message.
    pub(crate) fn encode(&self, transaction: u16, unit: u8, out: &mut BytesMut) {
        let payload = match self {
            Self::WriteRegisters { values, .. } => values.iter().flat_map(|value| value.to_be_bytes()).collect(),
            Self::WriteCoils { values, .. } => pack(values),
            Self::Read { .. } | Self::WriteRegister { .. } | Self::WriteCoil { .. } => Vec::new(),
        };
        let tail = if payload.is_empty() { 0 } else { 1 + payload.len() };
        out.put_u16(transaction);
        out.put_u16(0);
        out.put_u16(count(6 + tail));
        out.put_u8(unit);
        out.put_u8(self.function());
        let (first, second) = self.words();
        out.put_u16(first);
        out.put_u16(second);
        if tail > 0 {
            out.put_u8(u8::try_from(payload.len()).unwrap_or(u8::MAX));
            out.put_slice(&payload);
        }
    }

    /// What a body means as the answer to this request; `None` if it cannot be one.
    pub(crate) fn read_answer(&self, mut body: Bytes) -> Option<Answer> {
        let function = *body.first()?;
        body.advance(1);
        if function == self.function() | 0x80 {
            return (body.len() == 1).then(|| body.first().copied().map(Answer::Exception)).flatten();
        }
        if function != self.function() {
            return None;
        }
        if let Self::Read { table, count, .. } = self {
            let expected = if table.is_bits() { usize::from(*count).div_ceil(8) } else { usize::from(*count) * 2 };
            let announced = usize::from(*body.first()?);
            body.advance(1);
            return (announced == expected && body.len() == expected).then_some(Answer::Data(body));
        }
        let (first, second) = self.words();
        let mut echo = [0; 4];
        echo[..2].copy_from_slice(&first.to_be_bytes());
        echo[2..].copy_from_slice(&second.to_be_bytes());
        (body[..] == echo).then_some(Answer::Written)
    }
}

/// The next message of a stream, `None` if it has not arrived whole.
///
/// # Errors
/// If the bytes cannot be Modbus TCP: there is no way to find the next message, so the connection must be dropped.
pub(crate) fn take_frame(input: &mut BytesMut) -> Result<Option<Frame>, String> {
    let Some(&[t0, t1, p0, p1, l0, l1]) = input.first_chunk::<6>() else { return Ok(None) };
    let protocol = u16::from_be_bytes([p0, p1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if protocol != 0 || !(3..=254).contains(&length) {
        return Err(format!("received bytes that are not modbus (protocol {protocol}, length {length})"));
    }
    if input.len() < 6 + length {
        return Ok(None);
    }
    input.advance(6);
    let mut rest = input.split_to(length).freeze();
    let unit = rest.get_u8();
    Ok(Some(Frame { transaction: u16::from_be_bytes([t0, t1]), unit, body: rest }))
}

/// What an exception code means, after the Modbus Application Protocol.
pub(crate) fn exception(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal address",
        3 => "illegal value",
        4 => "device failure",
        5 => "acknowledge, still working",
        6 => "device busy",
        7 => "negative acknowledge",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target did not respond",
        _ => "unknown exception",
    }
}

fn count(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|eight| eight.iter().enumerate().fold(0, |byte, (n, on)| byte | u8::from(*on) << n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_as_the_protocol_says() {
        let bytes = |request: Request| {
            let mut out = BytesMut::new();
            request.encode(0x0102, 0x11, &mut out);
            out.to_vec()
        };
        let read = Request::Read { table: Table::Holding, start: 0x6b, count: 3 };
        assert_eq!(bytes(read), [1, 2, 0, 0, 0, 6, 0x11, 3, 0, 0x6b, 0, 3]);
        let coils =
            Request::WriteCoils { start: 0x13, values: [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|b| b == 1).to_vec() };
        assert_eq!(bytes(coils), [1, 2, 0, 0, 0, 9, 0x11, 15, 0, 0x13, 0, 10, 2, 0xcd, 1]);
        let registers = Request::WriteRegisters { start: 1, values: vec![10, 258] };
        assert_eq!(bytes(registers), [1, 2, 0, 0, 0, 11, 0x11, 16, 0, 1, 0, 2, 4, 0, 10, 1, 2]);
        assert_eq!(bytes(Request::WriteCoil { start: 172, on: true })[7..], [5, 0, 172, 0xff, 0]);
    }

    #[test]
    fn an_answer_must_fit_its_request() {
        let read = Request::Read { table: Table::Input, start: 0, count: 1 };
        let answer = |bytes: &'static [u8]| read.read_answer(Bytes::from_static(bytes));
        assert_eq!(answer(&[4, 2, 1, 2]), Some(Answer::Data(Bytes::from_static(&[1, 2]))));
        assert_eq!(answer(&[0x84, 2]), Some(Answer::Exception(2)));
        for wrong in [&[3, 2, 1, 2][..], &[4, 4, 1, 2, 3, 4], &[4, 2, 1], &[0x83, 2], &[0x84], &[4], &[]] {
            assert_eq!(answer(wrong), None, "{wrong:?}");
        }
        let write = Request::WriteRegister { start: 1, value: 2 };
        assert_eq!(write.read_answer(Bytes::from_static(&[6, 0, 1, 0, 2])), Some(Answer::Written));
        assert_eq!(write.read_answer(Bytes::from_static(&[6, 0, 1, 0, 3])), None);
    }

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut input = BytesMut::from(&[0, 9, 0, 0, 0, 3, 1, 0x83][..]);
        assert_eq!(take_frame(&mut input), Ok(None));
        input.put_u8(2);
        let frame = take_frame(&mut input).expect("modbus").expect("whole");
        assert_eq!((frame.transaction, frame.unit, &frame.body[..]), (9, 1, &[0x83, 2][..]));
        assert!(take_frame(&mut BytesMut::from(&b"HTTP/1.1 400"[..])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut input = BytesMut::from(&bytes[..]);
            let request = Request::Read { table: Table::Holding, start: 0, count: 2 };
            let mut left = input.len() + 1;
            while let Ok(Some(frame)) = take_frame(&mut input) {
                prop_assert!(input.len() < left);
                left = input.len();
                request.read_answer(frame.body);
            }
        }

        #[test]
        fn what_one_end_packs_the_other_takes(parts in prop::collection::vec((any::<u16>(), any::<u8>(), 0u16..1000), 1..5), cut in any::<prop::sample::Index>()) {
            let mut whole = BytesMut::new();
            for (transaction, unit, start) in &parts {
                Request::Read { table: Table::Coil, start: *start, count: 1 }.encode(*transaction, *unit, &mut whole);
            }
            let cut = cut.index(whole.len());
            let mut input = BytesMut::new();
            let mut taken = Vec::new();
            for piece in [&whole[..cut], &whole[cut..]] {
                input.extend_from_slice(piece);
                while let Some(frame) = take_frame(&mut input).expect("modbus") {
                    taken.push((frame.transaction, frame.unit, u16::from_be_bytes([frame.body[1], frame.body[2]])));
                }
            }
            prop_assert_eq!(taken, parts);
        }
    }
}
