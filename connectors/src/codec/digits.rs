//! Reads the plain numbers that sensors send, `-7` and `181.45`, in the one pass that also finds where they end.
//!
//! What is longer, or has an exponent, is left to the standard library: both give the same number to the last bit, since a
//! decimal of at most 2^53 over a power of ten up to 10^22 is two exact doubles and one rounding (Clinger, 1990).

/// The greatest whole number below which every one is a double.
const EXACT: u64 = 1 << 53;
/// The powers of ten that are doubles, as far as they can follow a point here.
const TENS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
/// So many digits are always below 2^63.
const DIGITS: usize = 18;

/// The whole number that `text` begins with, and how many bytes it takes; `None` if it is none or a long one.
#[inline]
pub(super) fn whole(text: &[u8]) -> Option<(i64, usize)> {
    let minus = text.first() == Some(&b'-');
    let from = usize::from(minus);
    let (n, end) = run(text, from, 0);
    if end == from || end - from > DIGITS {
        return None;
    }
    let n = n.cast_signed();
    Some((if minus { -n } else { n }, end))
}

/// The number that `text` begins with, and how many bytes it takes; `None` if it is none, a long one, or has an exponent.
#[inline]
pub(super) fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let minus = text.first() == Some(&b'-');
    let from = usize::from(minus);
    let (mut n, mut end) = run(text, from, 0);
    let mut digits = end - from;
    let mut behind = 0;
    if text.get(end) == Some(&b'.') {
        let point = end + 1;
        (n, end) = run(text, point, n);
        behind = end - point;
        digits += behind;
    }
    if digits == 0 || digits > DIGITS || n > EXACT || matches!(text.get(end), Some(b'e' | b'E')) {
        return None;
    }
    let n = n as f64 / TENS.get(behind)?;
    Some((if minus { -n } else { n }, end))
}

/// Digits from this place on, written behind those of `n`, and where they end. Wraps around beyond [`DIGITS`].
#[inline]
fn run(text: &[u8], mut at: usize, mut n: u64) -> (u64, usize) {
    // Times have eight digits and more: those are read at once.
    if let Some(eight) = text.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok())
        && let Some(read) = eight_digits(u64::from_le_bytes(eight))
    {
        n = n.wrapping_mul(100_000_000).wrapping_add(read);
        at += 8;
    }
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        n = n.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (n, at)
}

/// Eight ASCII digits, the first in the lowest byte, as a number: pairs, then fours, then all eight.
#[inline]
fn eight_digits(text: u64) -> Option<u64> {
    let nibbles = text ^ 0x3030_3030_3030_3030;
    if (nibbles | nibbles.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let pairs = nibbles.wrapping_mul(10).wrapping_add(nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_numbers_are_read_to_their_end() {
        assert_eq!(whole(b"1699999980000,51"), Some((1_699_999_980_000, 13)));
        assert_eq!(whole(b"-7"), Some((-7, 2)));
        assert_eq!(decimal(b"181.45\n"), Some((181.45, 6)));
        assert_eq!(decimal(b"-0"), Some((-0.0, 2)));
        assert_eq!(decimal(b".5"), Some((0.5, 2)));
        assert_eq!(decimal(b"5."), Some((5.0, 2)));
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for text in ["", "-", "+1", "a", "1234567890123456789", "99999999999999999999999999999"] {
            assert_eq!(whole(text.as_bytes()), None, "{text}");
        }
        for text in ["", "-", ".", "1e5", "NaN", "9007199254740993", "0.12345678901234567891", "1234567890123456789.5"]
        {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?[,e]?") {
            let number = text.trim_end_matches([',', 'e']);
            if let Some((read, end)) = decimal(text.as_bytes()) {
                prop_assert_eq!(end, number.len());
                prop_assert_eq!(read.to_bits(), number.parse::<f64>().unwrap().to_bits());
            }
            if let Some((read, end)) = whole(text.as_bytes()) {
                prop_assert_eq!(Ok(read), text[..end].parse::<i64>());
            }
        }

        #[test]
        fn any_double_reads_back_as_it_was_written(bits in any::<u64>(), digits in 0usize..12) {
            let number = f64::from_bits(bits) % 1e9;
            let text = format!("{number:.digits$}");
            if let Some((read, _)) = decimal(text.as_bytes()) {
                prop_assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }
    }
}
