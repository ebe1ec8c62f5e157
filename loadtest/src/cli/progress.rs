//! How far a run is: one line over itself on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};

use lineside_loadtest::report::units::{count, micros};
use lineside_loadtest::run::Progress;

/// Where no one looks all the time, so often a line is printed, in seconds.
const LINE_EVERY: u64 = 5;

/// Tells what the last second brought.
pub(super) fn tell(progress: Progress<'_>) {
    let Progress { second, seconds, last } = progress;
    let terminal = std::io::stderr().is_terminal();
    if !terminal && !second.is_multiple_of(LINE_EVERY) && second != seconds {
        return;
    }
    let latencies = last.p99.iter().map(|(name, p99)| format!(", {name} p99 {}", micros(*p99))).collect::<String>();
    let line = format!(
        "{second} of {seconds} s: {} sent, {} arrived{latencies}, engine {:.0} % of a core, {:.1} MB",
        count(last.sent),
        count(last.arrived),
        last.cpu_percent,
        last.rss_bytes as f64 / 1e6
    );
    let (before, after) = match (terminal, second == seconds) {
        (true, true) => ("\r\x1b[K", "\n"),
        (true, false) => ("\r\x1b[K", ""),
        (false, _) => ("", "\n"),
    };
    // If standard error is closed nobody looks.
    write!(std::io::stderr(), "{before}{line}{after}").ok();
}
