//! Registers to values and back: the types and byte orders a tag can have.
//!
//! A register is 16 bits, sent high byte first. Wider values take several registers, and makers disagree on the order, so
//! each tag says it, spelled as the bytes appear on the wire where `A` is the highest byte of the value:
//!
//! | 32 bits | 64 bits | 16 bits | means |
//! | --- | --- | --- | --- |
//! | `ABCD` | `ABCDEFGH` | `AB` | big endian (default) |
//! | `CDAB` | `GHEFCDAB` | | low register first |
//! | `BADC` | `BADCFEHG` | `BA` | bytes swapped in each register |
//! | `DCBA` | `HGFEDCBA` | | little endian: both |
//!
//! The 32-bit words are accepted for every type and mean the same two swaps. In a string only the bytes can be swapped.
//! Values are 64-bit floats, so integers beyond 2^53 lose their last digits.

/// The type of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A coil or discrete input.
    Bool,
    /// One bit of a register, 0 being the lowest.
    Bit(u8),
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// Characters, two a register, padded with zeros or spaces.
    Text {
        /// How many registers.
        registers: u16,
    },
}

/// The order of the registers of a value and of the bytes in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// The register with the lowest bits comes first.
    pub(crate) low_word_first: bool,
    /// The low byte of each register comes first.
    pub(crate) bytes_swapped: bool,
}

/// What stood in the registers of a tag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A number, before scale and offset.
    Number(f64),
    /// Characters.
    Text(String),
    /// NaN or an infinity: how devices say that a sensor is broken.
    NotFinite,
}

/// The words for orders, for messages.
pub(crate) const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];
/// The words for types, for messages.
pub(crate) const KINDS: [&str; 11] = ["bool", "bit", "i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64", "string"];

impl Order {
    /// From its word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let (low_word_first, bytes_swapped) = match word.to_ascii_uppercase().as_str() {
            "ABCD" | "ABCDEFGH" | "AB" => (false, false),
            "CDAB" | "GHEFCDAB" => (true, false),
            "BADC" | "BADCFEHG" | "BA" => (false, true),
            "DCBA" | "HGFEDCBA" => (true, true),
            _ => return None,
        };
        Some(Self { low_word_first, bytes_swapped })
    }

    /// Turns the bytes of one value from wire order to big endian, or back.
    fn apply(self, bytes: &mut [u8]) {
        if self.low_word_first && self.bytes_swapped {
            bytes.reverse();
            return;
        }
        if self.bytes_swapped {
            bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
        if self.low_word_first {
            bytes.reverse();
            bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
    }
}

impl Kind {
    /// How many registers (or bits of a coil table) a value takes.
    pub(crate) fn width(self) -> u16 {
        match self {
            Self::Bool | Self::Bit(_) | Self::I16 | Self::U16 => 1,
            Self::I32 | Self::U32 | Self::F32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::Text { registers } => registers,
        }
    }

    /// Whether the type is an integer, so that writing rounds and a step of the register is 1.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::I16 | Self::U16 | Self::I32 | Self::U32 | Self::I64 | Self::U64)
    }

    /// Reads a value from the bytes of its registers as they came over the wire; `None` if they are too few.
    pub(crate) fn decode(self, order: Order, wire: &[u8]) -> Option<Raw> {
        let wire = wire.get(..usize::from(self.width()) * 2)?;
        if let Self::Text { .. } = self {
            return Some(Raw::Text(text(order, wire)));
        }
        let mut bytes = [0u8; 8];
        let bytes = bytes.get_mut(..wire.len())?;
        bytes.copy_from_slice(wire);
        order.apply(bytes);
        let number = match (self, &*bytes) {
            (Self::Bit(bit), &[a, b]) => f64::from(u16::from_be_bytes([a, b]) >> bit & 1),
            (Self::Bool, &[a, b]) => f64::from(u8::from(a | b != 0)),
            (Self::I16, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
            (Self::U16, &[a, b]) => f64::from(u16::from_be_bytes([a, b])),
            (Self::I32, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
            (Self::U32, &[a, b, c, d]) => f64::from(u32::from_be_bytes([a, b, c, d])),
            (Self::F32, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
            (Self::I64, &[a, b, c, d, e, f, g, h]) => i64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64,
            (Self::U64, &[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64,
            (Self::F64, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return None,
        };
        Some(if number.is_finite() { Raw::Number(number) } else { Raw::NotFinite })
    }

    /// The registers for a number (before scale and offset are undone by the caller); `None` if the type cannot hold it.
    /// Integers are rounded to the nearest.
    pub(crate) fn encode(self, order: Order, raw: f64) -> Option<Vec<u16>> {
        // The bounds of 64-bit integers are not floats; 2^63 and 2^64 are the first floats beyond them.
        const TWO_63: f64 = 9_223_372_036_854_775_808.0;
        let whole = raw.round();
        let within = |low: f64, high: f64| (low..=high).contains(&whole).then_some(whole);
        let mut bytes = match self {
            Self::Bool | Self::Bit(_) | Self::Text { .. } => return None,
            Self::I16 => (within(i16::MIN.into(), i16::MAX.into())? as i16).to_be_bytes().to_vec(),
            Self::U16 => (within(0.0, u16::MAX.into())? as u16).to_be_bytes().to_vec(),
            Self::I32 => (within(i32::MIN.into(), i32::MAX.into())? as i32).to_be_bytes().to_vec(),
            Self::U32 => (within(0.0, u32::MAX.into())? as u32).to_be_bytes().to_vec(),
            Self::I64 if whole < TWO_63 => (within(-TWO_63, TWO_63)? as i64).to_be_bytes().to_vec(),
            Self::U64 if whole < 2.0 * TWO_63 => (within(0.0, 2.0 * TWO_63)? as u64).to_be_bytes().to_vec(),
            Self::I64 | Self::U64 => return None,
            Self::F32 => Some(raw as f32).filter(|raw| raw.is_finite())?.to_be_bytes().to_vec(),
            Self::F64 => Some(raw).filter(|raw| raw.is_finite())?.to_be_bytes().to_vec(),
        };
        order.apply(&mut bytes);
        Some(bytes.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).map(u16::from_be_bytes).collect())
    }
}

fn text(order: Order, wire: &[u8]) -> String {
    let mut bytes = wire.to_vec();
    Order { low_word_first: false, ..order }.apply(&mut bytes);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn order(word: &str) -> Order {
        Order::from_word(word).expect("an order")
    }

    #[test]
    fn the_four_orders_are_as_they_are_spelled() {
        // 0x41424344 is the letters A, B, C, D.
        for (word, letters) in
            [("ABCD", "ABCD"), ("CDAB", "CDAB"), ("BADC", "BADC"), ("DCBA", "DCBA"), ("abcd", "ABCD")]
        {
            let words = Kind::U32.encode(order(word), f64::from(0x4142_4344)).expect("fits");
            assert_eq!(wire(&words), letters.as_bytes(), "{word}");
        }
        let value = f64::from_be_bytes(*b"ABCDEFGH");
        for word in ["ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"] {
            assert_eq!(wire(&Kind::F64.encode(order(word), value).expect("fits")), word.as_bytes());
        }
        assert_eq!(Kind::U16.encode(order("BA"), 1.0), Some(vec![0x100]));
        assert_eq!(Order::from_word("ACBD"), None);
    }

    #[test]
    fn a_number_the_type_cannot_hold_is_refused_and_not_clamped() {
        for (kind, raw) in [
            (Kind::I16, 32_767.5),
            (Kind::I16, -32_768.6),
            (Kind::U16, -0.6),
            (Kind::U32, 4_294_967_296.0),
            (Kind::I64, 9.3e18),
            (Kind::U64, 1.85e19),
            (Kind::F32, 1e39),
            (Kind::F32, f64::NAN),
            (Kind::I16, f64::NAN),
            (Kind::F64, f64::INFINITY),
        ] {
            assert_eq!(kind.encode(Order::default(), raw), None, "{kind:?} {raw}");
        }
        assert_eq!(Kind::U16.encode(Order::default(), -0.4), Some(vec![0]));
    }

    #[test]
    fn a_broken_sensor_is_not_a_number() {
        for word in ORDERS {
            let words = wire(&[0x7fc0, 0]);
            let mut swapped = words.clone();
            order(word).apply(&mut swapped);
            assert_eq!(Kind::F32.decode(order(word), &swapped), Some(Raw::NotFinite));
        }
    }

    #[test]
    fn text_ends_at_the_padding() {
        let kind = Kind::Text { registers: 3 };
        assert_eq!(kind.decode(Order::default(), b"oven \0"), Some(Raw::Text("oven".into())));
        assert_eq!(kind.decode(order("BADC"), b"vone1 "), Some(Raw::Text("oven 1".into())));
        assert_eq!(kind.decode(Order::default(), b"four"), None);
    }

    #[test]
    fn a_bit_is_counted_from_the_lowest() {
        assert_eq!(Kind::Bit(0).decode(Order::default(), &[0, 1]), Some(Raw::Number(1.0)));
        assert_eq!(Kind::Bit(15).decode(Order::default(), &[0x80, 0]), Some(Raw::Number(1.0)));
        assert_eq!(Kind::Bit(0).decode(order("BA"), &[1, 0]), Some(Raw::Number(1.0)));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            kind in prop::sample::select(vec![
                (Kind::I16, -32_768.0, 32_767.0), (Kind::U16, 0.0, 65_535.0),
                (Kind::I32, -2_147_483_648.0, 2_147_483_647.0), (Kind::U32, 0.0, 4_294_967_295.0),
                (Kind::I64, -9e15, 9e15), (Kind::U64, 0.0, 9e15), (Kind::F64, -1e300, 1e300),
            ]),
            word in prop::sample::select(ORDERS.to_vec()),
            part in 0.0..=1.0f64,
        ) {
            let (kind, low, high) = kind;
            let mut raw = low * (1.0 - part) + high * part;
            if kind.is_integer() {
                raw = raw.round();
            }
            let words = kind.encode(order(word), raw).expect("in range");
            prop_assert_eq!(words.len(), usize::from(kind.width()));
            prop_assert_eq!(kind.decode(order(word), &wire(&words)), Some(Raw::Number(raw)));
        }

        #[test]
        fn a_32_bit_float_reads_back(raw in any::<f32>().prop_filter("finite", |f| f.is_finite()),
                                     word in prop::sample::select(ORDERS.to_vec())) {
            let words = Kind::F32.encode(order(word), raw.into()).expect("finite");
            prop_assert_eq!(Kind::F32.decode(order(word), &wire(&words)), Some(Raw::Number(raw.into())));
        }
    }
}
