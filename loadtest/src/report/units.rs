//! Numbers as a person reads them: with separators, units, and no more digits than tell something.

/// A whole number in groups of three: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with so many digits behind the point, in groups of three before it.
pub fn fixed(number: f64, decimals: usize) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", number.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    // What does not fit a whole number of 64 bits is shown as it is.
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let sign = if number < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "−" } else { "" };
    format!("{sign}{whole}{rest}")
}

/// Three digits that count, but every digit of a whole number: `0.139`, `2.25`, `41.3`, `1,204`.
pub fn digits(number: f64) -> String {
    // The limits lie where the shorter form rounds up to one digit more: 9.996 is 10.0, not 10.00.
    fixed(
        number,
        match number.abs() {
            n if n == 0.0 || n >= 99.95 => 0,
            n if n >= 9.995 => 1,
            n if n >= 0.9995 => 2,
            _ => 3,
        },
    )
}

/// A round number with as many digits as it has: `64`, `2.5`.
pub(crate) fn plain(number: f64) -> String {
    let whole = |number: f64| (number - number.round()).abs() < 1e-9;
    let decimals = (0..3).find(|decimals| whole(number * 10_f64.powi(*decimals))).unwrap_or(3);
    fixed(number, decimals as usize)
}

/// A length of time in microseconds, told to a tenth: `0.7`, `31.0`, `412`.
pub(crate) fn tenths(micros: f64) -> String {
    fixed(micros, usize::from(micros < 99.95))
}

/// The unit in which the lengths of time of one row are told, so that they compare at a glance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeUnit {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many microseconds it has.
    micros: f64,
    decimals: usize,
}

impl TimeUnit {
    /// The unit for a row whose typical value is this.
    pub(crate) fn of(micros: f64) -> Self {
        match micros {
            m if m < 10_000.0 => Self { name: "µs", micros: 1.0, decimals: 0 },
            m if m < 10_000_000.0 => Self { name: "ms", micros: 1e3, decimals: 1 },
            _ => Self { name: "s", micros: 1e6, decimals: 2 },
        }
    }

    /// A length of time in it, without its name.
    pub(crate) fn text(self, micros: f64) -> String {
        fixed(micros / self.micros, self.decimals)
    }
}

/// One length of time with its unit: `139 µs`, `2.25 ms`, `3.00 s`.
pub fn micros(micros: f64) -> String {
    match micros {
        m if m < 999.5 => format!("{} µs", digits(m)),
        m if m < 999_500.0 => format!("{} ms", digits(m / 1e3)),
        m => format!("{} s", digits(m / 1e6)),
    }
}

/// One length of time as somebody has set it: `500 µs`, `2.5 ms`, `1 s`.
pub fn set(micros: f64) -> String {
    match micros {
        m if m < 1e3 => format!("{} µs", plain(m)),
        m if m < 1e6 => format!("{} ms", plain(m / 1e3)),
        m => format!("{} s", plain(m / 1e6)),
    }
}

/// How long something was run: `45 s`, `10 min`, `1 h 30 min`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    let part = |number: u64, unit: &str| (number > 0).then(|| format!("{number} {unit}"));
    match whole {
        0 => format!("{} s", digits(seconds)),
        1..=120 => format!("{whole} s"),
        _ => [part(hours, "h"), part(minutes, "min"), part(rest, "s")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Megabytes of a million bytes: `41.3`.
pub(crate) fn megabytes(bytes: u64) -> String {
    fixed(bytes as f64 / 1e6, 1)
}

/// Gigabytes as memory is sold: `24 GiB`.
pub(crate) fn gibibytes(bytes: u64) -> String {
    format!("{} GiB", fixed(bytes as f64 / f64::from(1 << 30), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(count), ["0", "12", "999", "1,000", "1,234,567"]);
        let numbers = [0.0, 0.1234, 0.9996, 2.254, 9.996, 41.26, 99.96, 1204.4, -2.71, -0.0001, f64::NAN, 1e20];
        let texts = ["0", "0.123", "1.00", "2.25", "10.0", "41.3", "100", "1,204", "−2.71", "0.000", "–"];
        assert_eq!(numbers.map(digits)[..11], texts);
        assert_eq!(digits(1e20), "100000000000000000000");
    }

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(
            [139.4, 2_254.0, 3e6, 999.6, 999_600.0].map(micros),
            ["139 µs", "2.25 ms", "3.00 s", "1.00 ms", "1.00 s"]
        );
        assert_eq!(
            [0.0, 45.0, 120.0, 600.0, 5_400.0, 3_601.0].map(span),
            ["0 s", "45 s", "120 s", "10 min", "1 h 30 min", "1 h 1 s"]
        );
        assert_eq!([15.0, 2_500.0, 300_000.0, 1e6].map(set), ["15 µs", "2.5 ms", "300 ms", "1 s"]);
        assert_eq!([0.0, 0.7, 31.0, 99.96, 1_311.4].map(tenths), ["0.0", "0.7", "31.0", "100", "1,311"]);
        let row = TimeUnit::of(45_000.0);
        assert_eq!(
            (row.name, row.text(45_000.0), row.text(2_345_678.0)),
            ("ms", "45.0".to_owned(), "2,345.7".to_owned())
        );
    }
}
