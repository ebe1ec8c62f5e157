//! Axes: where a value stands between the two ends, and which round values are written beside it.

use crate::report::units::{digits, fixed, plain};

/// An axis from one end to the other.
#[derive(Debug)]
pub(super) struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    /// By what its numbers are divided to be written, and what is written behind them.
    unit: (f64, String),
    /// What is written beside it, from its beginning on.
    pub(super) ticks: Vec<Tick>,
}

/// A value that is written beside an axis.
#[derive(Debug)]
pub(super) struct Tick {
    /// Where it stands, from 0 to 1.
    pub(super) at: f64,
    /// What is written.
    pub(super) label: String,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear,
    Logarithmic,
    /// Of the part that is left above: 90, 99, 99.9 % are equally far from each other.
    Nines,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value).max(f64::MIN_POSITIVE).log10(),
        }
    }
}

impl Axis {
    /// Where a value stands, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to) = (self.scale.of(self.from), self.scale.of(self.to));
        ((self.scale.of(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// From zero to a round number at or above `most`, with numbers of `unit`.
    pub(super) fn amounts(most: f64, unit: &str) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_step(most / 4.0);
        let steps = (most / step - 1e-9).ceil().max(1.0);
        let to = step * steps;
        let (divisor, letter) = match to {
            n if n >= 2e6 => (1e6, " M"),
            n if n >= 2e3 => (1e3, " k"),
            _ => (1.0, ""),
        };
        let decimals = (0..3).find(|d| is_whole(step / divisor * 10_f64.powi(*d))).unwrap_or(3) as usize;
        let label = |value: f64| match value {
            0.0 => "0".to_owned(),
            v => format!("{}{letter}{unit}", fixed(v / divisor, decimals)),
        };
        let mut axis = Self::with(Scale::Linear, 0.0, to, (0..=steps as u32).map(|n| step * f64::from(n)), label);
        axis.unit = (divisor, format!("{letter}{unit}"));
        axis
    }

    /// An amount with the unit of the axis, and three digits.
    pub(super) fn text(&self, value: f64) -> String {
        let (divisor, unit) = &self.unit;
        let number = value / divisor;
        let number = if is_whole(number) { fixed(number, 0) } else { digits(number) };
        format!("{number}{unit}")
    }

    /// Seconds since the beginning of the measurement.
    pub(super) fn seconds(length: f64) -> Self {
        const STEPS: [f64; 18] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
            21_600.0, 43_200.0, 86_400.0,
        ];
        let length = length.max(1.0);
        let step = STEPS
            .into_iter()
            .find(|step| length / step <= 6.0)
            .unwrap_or_else(|| round_step(length / 86_400.0 / 6.0) * 86_400.0);
        let (divisor, unit) = match step {
            s if s >= 86_400.0 => (86_400.0, "d"),
            s if s >= 3_600.0 => (3_600.0, "h"),
            s if s >= 60.0 => (60.0, "min"),
            _ => (1.0, "s"),
        };
        let decimals = usize::from(!is_whole(step / divisor));
        let label = |value: f64| format!("{} {unit}", fixed(value / divisor, decimals));
        let steps = (length / step + 1e-9) as u32;
        Self::with(Scale::Linear, 0.0, length, (0..=steps).map(|n| step * f64::from(n)), label)
    }

    /// Lengths of time in microseconds on a logarithmic scale, over a factor of ten at least, so that what is flat looks
    /// flat; over whole powers of ten where it is much more.
    pub(super) fn delays(least: f64, greatest: f64) -> Self {
        Self::powers(least.max(0.1), greatest.max(0.1), delay)
    }

    /// Amounts above 0 on such a scale.
    pub(super) fn powers(least: f64, greatest: f64, label: impl Fn(f64) -> String) -> Self {
        let (least, greatest) = (least.clamp(1e-6, 1e15), greatest.clamp(1e-6, 1e15));
        let (mut from, mut to) = (round_down(least), round_up(greatest));
        while to / from < 9.0 {
            // To the side that has less room.
            if (least / from).ln() < (to / greatest).ln() {
                from = round_down(from * 0.99)
            } else {
                to = round_up(to * 1.01)
            }
        }
        let each: &[f64] = if to / from < 200.0 {
            &[1.0, 2.0, 5.0]
        } else {
            (from, to) = (10_f64.powf((from.log10() + 1e-9).floor()), 10_f64.powf((to.log10() - 1e-9).ceil()));
            &[1.0]
        };
        let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
        let values = (first..=last).flat_map(|decade| each.iter().map(move |n| n * 10_f64.powi(decade)));
        let shown: Vec<f64> = values.filter(|v| *v > from * 0.99 && *v < to * 1.01).collect();
        Self::with(Scale::Logarithmic, from, to, shown, label)
    }

    /// Places for values that were chosen, each with what is written below it: on a logarithmic scale, since values that are
    /// chosen to see growth are multiples of each other.
    pub(super) fn values(values: &[(f64, String)]) -> Self {
        let values: Vec<_> = values.iter().filter(|(value, _)| *value > 0.0).collect();
        let least = values.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
        let greatest = values.iter().map(|(value, _)| *value).fold(0.0, f64::max);
        let (from, to) =
            if least < greatest { (least, greatest) } else { (greatest.max(1.0) / 2.0, greatest.max(1.0) * 2.0) };
        let mut axis = Self { scale: Scale::Logarithmic, from, to, unit: (1.0, String::new()), ticks: Vec::new() };
        axis.ticks =
            values.iter().map(|(value, label)| Tick { at: axis.place(*value), label: label.clone() }).collect();
        axis.ticks.sort_by(|a, b| a.at.total_cmp(&b.at));
        axis
    }

    /// Rates from `least` to `greatest`, with some room at both ends, doubled at equal distances.
    pub(super) fn rates(least: f64, greatest: f64) -> Self {
        let (least, greatest) = if least > 0.0 && greatest >= least { (least, greatest) } else { (1.0, 1.0) };
        let (from, to) = (least / 1.25, greatest * 1.25);
        Self::with(Scale::Logarithmic, from, to, between(from, to), scaled)
    }

    /// How many times one thing is another: equally far above and below 1.
    pub(super) fn ratios(least: f64, greatest: f64) -> Self {
        let (from, to) = (least.clamp(1e-3, 0.98) * 0.99, greatest.clamp(1.02, 1e3) * 1.01);
        Self::with(Scale::Logarithmic, from, to, between(from, to), plain)
    }

    /// Fractions from nothing to all but one of so many.
    pub(super) fn nines(count: u64) -> Self {
        let count = count.max(10) as f64;
        let nines = (1..=(count.log10() + 1e-9) as i32).map(|n| 1.0 - 10_f64.powi(-n));
        let label = |value: f64| {
            format!("{} %", fixed(value * 100.0, (Scale::Nines.of(value).round() as usize).saturating_sub(2)))
        };
        Self::with(Scale::Nines, 0.0, 1.0 - 1.0 / count, [0.5].into_iter().chain(nines), label)
    }

    fn with(
        scale: Scale,
        from: f64,
        to: f64,
        ticks: impl IntoIterator<Item = f64>,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let mut axis = Self { scale, from, to, unit: (1.0, String::new()), ticks: Vec::new() };
        axis.ticks = ticks.into_iter().map(|v| Tick { at: axis.place(v), label: label(v) }).collect();
        axis
    }
}

/// Round values on a logarithmic axis: in equal steps where its ends are near each other, else 1, 2 and 5 of each power of ten, or the
/// powers alone.
fn between(from: f64, to: f64) -> Vec<f64> {
    let each: &[f64] = match to / from {
        n if n < 6.0 => {
            let step = round_step((to - from) / 8.0);
            let whole = |value: f64| (value / step).ceil() as u32;
            return (whole(from)..whole(to + step * 1e-6)).map(|n| step * f64::from(n)).collect();
        }
        n if n < 1e4 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let values = (first..=last).flat_map(|decade| each.iter().map(move |n| n * 10_f64.powi(decade)));
    values.filter(|value| (from..=to).contains(value)).collect()
}

/// A round number with the letter of its size behind it: `250 k`.
pub(super) fn scaled(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{} G", plain(n / 1e9)),
        n if n >= 1e6 => format!("{} M", plain(n / 1e6)),
        n if n >= 1e3 => format!("{} k", plain(n / 1e3)),
        n => plain(n),
    }
}

/// A round length of time, in full: `20 µs`, `0.5 ms` never, `500 µs`.
fn delay(micros: f64) -> String {
    match micros {
        m if m < 0.9 => format!("{} ns", fixed(m * 1e3, 0)),
        m if m < 900.0 => format!("{} µs", fixed(m, 0)),
        m if m < 900_000.0 => format!("{} ms", fixed(m / 1e3, 0)),
        m => format!("{} s", fixed(m / 1e6, 0)),
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|n| n * power)
        .into_iter()
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// The greatest of 1, 2 and 5 times a power of ten that is at most this.
fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].map(|n| n * power).into_iter().find(|n| *n <= value * (1.0 + 1e-9)).unwrap_or(power)
}

/// The least of 1, 2 and 5 times a power of ten that is at least this.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|n| *n >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

fn is_whole(number: f64) -> bool {
    (number - number.round()).abs() < 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn amounts_begin_at_zero_and_end_above_the_most() {
        assert_eq!(labels(&Axis::amounts(10_040.0, "")), ["0", "5 k", "10 k", "15 k"]);
        assert_eq!(labels(&Axis::amounts(43.0, " %")), ["0", "20 %", "40 %", "60 %"]);
        assert_eq!(labels(&Axis::amounts(1_000_000.0, "")), ["0", "250 k", "500 k", "750 k", "1,000 k"]);
        assert_eq!(labels(&Axis::amounts(0.0, "")), ["0", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(Axis::amounts(f64::NAN, "").place(0.5), 0.5);
    }

    #[test]
    fn times_have_round_steps() {
        assert_eq!(labels(&Axis::seconds(60.0)), ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]);
        assert_eq!(
            labels(&Axis::seconds(3_600.0)),
            ["0 min", "10 min", "20 min", "30 min", "40 min", "50 min", "60 min"]
        );
        assert_eq!(labels(&Axis::seconds(0.0)), ["0 s", "1 s"]);
        assert_eq!(Axis::seconds(1e7).ticks.len(), 6);
    }

    #[test]
    fn delays_span_a_factor_of_ten_at_least() {
        assert_eq!(labels(&Axis::delays(139.0, 150.0)), ["50 µs", "100 µs", "200 µs", "500 µs"]);
        assert_eq!(labels(&Axis::delays(28.0, 45_000.0)), ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]);
        assert_eq!(labels(&Axis::delays(0.0, 0.0)).len(), 4);
        let axis = Axis::delays(10.0, 1_000.0);
        assert!((axis.place(100.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn rates_and_ratios_have_round_values_between_their_ends() {
        assert_eq!(labels(&Axis::rates(10_000.0, 80_000.0)), ["10 k", "20 k", "50 k", "100 k"]);
        assert_eq!(labels(&Axis::rates(30_000.0, 60_000.0)), ["30 k", "40 k", "50 k", "60 k", "70 k"]);
        assert_eq!(labels(&Axis::ratios(0.9, 1.1)), ["0.9", "0.95", "1", "1.05", "1.1"]);
        assert!(labels(&Axis::rates(f64::INFINITY, 0.0)).contains(&"1"));
    }

    #[test]
    fn chosen_values_stand_in_their_order_at_equal_ratios() {
        let axis = Axis::values(&[(1e6, "1 s".to_owned()), (1e4, "10 ms".to_owned()), (1e5, "100 ms".to_owned())]);
        assert_eq!(labels(&axis), ["10 ms", "100 ms", "1 s"]);
        assert!((axis.place(1e5) - 0.5).abs() < 1e-9);
        assert!((Axis::values(&[(5.0, "5".to_owned())]).place(5.0) - 0.5).abs() < 1e-9);
        assert_eq!(Axis::values(&[]).ticks.len(), 0);
    }

    #[test]
    fn nines_are_equally_far_from_each_other() {
        let axis = Axis::nines(10_000);
        assert_eq!(labels(&axis), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert!((axis.place(0.99) - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(1.0), 1.0);
    }
}
