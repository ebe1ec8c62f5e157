//! The demo's table, lines and summary as text: pure functions of what was seen.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use lineside_loadtest::plant::OvenState;
use lineside_model::{Span, Timestamp};

use super::line::{JUDGED, Line, Sample};
use crate::observe::{Kind, ObjectReport, Quantiles, Report};

/// How far a loop may be from its setpoint in the end, °C.
const TOLERANCE: f64 = 2.0;
/// Events that are shown.
const EVENTS: usize = 5;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws over what it drew before.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: usize,
}

impl Screen {
    /// Draws a table in the place of the one before.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(&mut self, table: &str) -> std::io::Result<()> {
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        let cleared = table.lines().map(|line| format!("\x1b[2K{line}\n")).collect::<String>();
        self.lines = table.lines().count();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{up}{cleared}").as_bytes())?;
        out.flush()
    }
}

/// Counters of a while ago, to tell rates by.
#[derive(Debug)]
pub(super) struct Rates<'a> {
    pub(super) before: Option<&'a Report>,
    /// How long ago.
    pub(super) seconds: f64,
}

impl Rates<'_> {
    /// Messages or readings a second of a source.
    fn of(&self, source: &ObjectReport) -> f64 {
        let before = self.before.and_then(|report| report.find(source.kind, &source.name)).map_or(0, taken);
        taken(source).saturating_sub(before) as f64 / self.seconds.max(1e-3)
    }
}

fn taken(source: &ObjectReport) -> u64 {
    source.messages.max(source.rows_in)
}

/// The live table.
pub(super) fn table(
    line: &Line,
    report: &Report,
    rates: &Rates<'_>,
    ovens: &[OvenState],
    lasts: Option<Duration>,
) -> String {
    let seen = line.seen();
    let newest = seen.loops.values().filter_map(|s| s.back()).map(|s| s.at).max().unwrap_or_default();
    let mut text = String::new();
    let limit = lasts.map_or(String::new(), |d| format!(" for {}", Span::from_secs(d.as_secs().cast_signed())));
    writeln!(text, "\x1b[1moven line\x1b[0m{limit}   (ctrl-c stops it)\n").ok();
    writeln!(
        text,
        "  {:<8} {:>12} {:>10} {:>8}   {:<32} plant",
        "loop", "temperature", "setpoint", "power", "last 30 s"
    )
    .ok();
    for (n, (name, samples)) in seen.loops.iter().enumerate() {
        let Some(last) = samples.back() else { continue };
        let off = (last.measured - last.setpoint).abs();
        let colour = if off <= TOLERANCE { 32 } else { 33 };
        writeln!(
            text,
            "  {name:<8} \x1b[{colour}m{:>9.1} °C\x1b[0m {:>7.1} °C {:>6.1} %   {:<32} {}",
            last.measured,
            last.setpoint,
            last.power,
            sparkline(samples.iter(), last.at),
            ovens.get(n).map_or("", trouble)
        )
        .ok();
    }
    writeln!(text).ok();
    let recent = seen.events.iter().rev().take(EVENTS).collect::<Vec<_>>();
    for n in 0..EVENTS {
        match recent.get(n) {
            Some(event) => {
                let ago = newest.since(event.at).as_secs_f64().max(0.0);
                writeln!(text, "  event    {:<28} {:<10} {ago:>4.0} s ago", event.sensor, event.what).ok();
            }
            None => writeln!(text, "  event    -").ok().unwrap_or_default(),
        }
    }
    writeln!(text).ok();
    for source in report.objects.iter().filter(|o| o.kind == Kind::Source) {
        let (rate, dropped) = (rates.of(source), source.dropped_total());
        writeln!(text, "  source   {:<28} {rate:>8.0} /s {:>10} in {dropped:>6} dropped", source.name, taken(source))
            .ok();
    }
    writeln!(text, "  sensor to write, read back: {}", sensor_to_write(report)).ok();
    text
}

/// One line for where there is no terminal.
pub(super) fn one_line(line: &Line, report: &Report) -> String {
    let seen = line.seen();
    let loops = (seen.loops.iter())
        .filter_map(|(name, samples)| {
            samples.back().map(|s| format!("{name} {:.1}/{:.1} °C {:.0} %", s.measured, s.setpoint, s.power))
        })
        .collect::<Vec<_>>();
    let events = seen.counts.values().sum::<u64>();
    let Quantiles { p50, p99, .. } = quantiles(report);
    format!("{}  |  {events} events  |  sensor to write p50 {p50:.0} µs, p99 {p99:.0} µs", loops.join("  "))
}

/// What came of it.
pub(super) fn summary(line: &Line, report: &Report, played: u64) -> String {
    let seen = line.seen();
    let mut text = format!("\n{report}\n");
    for (name, samples) in &seen.loops {
        let end = samples.back().map(|s| s.at).unwrap_or_default();
        let judged = samples.iter().filter(|s| end.since(s.at) <= JUDGED);
        let worst = judged.map(|s| (s.measured - s.setpoint).abs()).fold(0.0, f64::max);
        let verdict = if worst <= TOLERANCE { "settled" } else { "not settled" };
        writeln!(text, "loop {name}: {verdict}, at most {worst:.2} °C from its setpoint in the last {JUDGED}").ok();
    }
    for (event, count) in &seen.counts {
        writeln!(text, "events {event}: {count}").ok();
    }
    for event in seen.events.iter().filter(|e| e.what == "stuck") {
        writeln!(text, "stuck sensor found: {}", event.sensor).ok();
    }
    writeln!(text, "recorded readings played over MQTT: {played}").ok();
    writeln!(text, "sensor to write, read back: {}", sensor_to_write(report)).ok();
    text
}

/// Of the sink that writes the heaters' power, as the example names it.
fn quantiles(report: &Report) -> Quantiles {
    let heaters = report.find(Kind::Sink, "heaters");
    heaters.and_then(|o| o.times.get("sensor_to_sink")).copied().unwrap_or_default()
}

fn sensor_to_write(report: &Report) -> String {
    let times = quantiles(report);
    if times.count == 0 { "no write yet".to_owned() } else { times.to_string() }
}

fn trouble(oven: &OvenState) -> &'static str {
    match oven {
        OvenState { door_open: true, .. } => "\x1b[33mdoor open\x1b[0m",
        OvenState { measured_stuck: true, .. } => "\x1b[33mcontrol sensor sticks\x1b[0m",
        OvenState { guard_stuck: true, .. } => "\x1b[33mguard sensor sticks\x1b[0m",
        OvenState { tripped: true, .. } => "\x1b[31mtripped\x1b[0m",
        _ => "",
    }
}

/// The last 30 seconds in 30 bars, from the lowest to the highest of them.
fn sparkline<'a>(samples: impl Iterator<Item = &'a Sample>, end: Timestamp) -> String {
    let mut bars = vec![None; 30];
    for sample in samples {
        let ago = end.since(sample.at).micros() / 1_000_000;
        if let Some(bar) = usize::try_from(29 - ago).ok().and_then(|n| bars.get_mut(n)) {
            *bar = Some(sample.measured);
        }
    }
    let known = bars.iter().flatten().copied();
    let (low, high) = (known.clone().fold(f64::INFINITY, f64::min), known.fold(f64::NEG_INFINITY, f64::max));
    let step = ((high - low) / 7.0).max(0.1);
    bars.iter().map(|bar| bar.map_or(' ', |v| BARS[(((v - low) / step).round() as usize).min(7)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_temperature_is_a_rising_line() {
        let samples =
            (0..30).map(|n| Sample { at: Timestamp(n * 1_000_000), setpoint: 0.0, measured: n as f64, power: 0.0 });
        let samples = samples.collect::<Vec<_>>();
        let bars = sparkline(samples.iter(), Timestamp(29_000_000)).chars().collect::<Vec<_>>();
        assert_eq!((bars[0], bars[29], bars.len()), ('▁', '█', 30));
        assert!(bars.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
