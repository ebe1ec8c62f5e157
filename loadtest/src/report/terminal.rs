//! An outcome in the terminal: one screen that is read from its first line down, and needed only as far as something was missed.

use super::units::{digits, gibibytes, span};
use super::{tables, units};
use crate::outcome::{Machine, Outcome};

/// The outcome as lines of text.
pub fn terminal(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}\n", outcome.case, tables::verdict(outcome));
    if !outcome.goal.is_empty() {
        text += &format!("{}\n", outcome.goal);
    }
    let tables = tables::measured(outcome).into_iter().chain(tables::told(outcome));
    for table in tables.filter(|table| !table.rows.is_empty()) {
        text += &format!("\n{}", table.text());
    }
    text += &format!("\n{}\n", conditions(outcome));
    let machine = machine(&outcome.machine);
    if machine.is_empty() { text } else { text + &machine + "\n" }
}

/// How it was run, on one line.
pub(super) fn conditions(outcome: &Outcome) -> String {
    let mut parts = vec![format!("{} measured", span(outcome.seconds))];
    if outcome.rate > 0.0 {
        parts.push(format!("{} messages/s", digits(outcome.rate)));
    }
    parts.push(format!("seed {}", outcome.seed));
    if let Some(took) = outcome.first_output {
        parts.push(format!("first output {} after its start", units::micros(took)));
    }
    if !outcome.started.is_empty() {
        parts.push(format!("started {}", outcome.started));
    }
    parts.join(" · ")
}

/// What it was run on, on one line.
pub(super) fn machine(machine: &Machine) -> String {
    let cores = |cores: usize| format!("{} {}", units::count(cores as u64), if cores == 1 { "core" } else { "cores" });
    let parts = [
        machine.engine.clone(),
        machine.processor.clone(),
        if machine.cores > 0 { cores(machine.cores) } else { String::new() },
        if machine.memory_bytes > 0 { gibibytes(machine.memory_bytes) } else { String::new() },
        if machine.kernel.is_empty() { String::new() } else { format!("Linux {}", machine.kernel) },
        if machine.realtime { "real-time permitted".to_owned() } else { String::new() },
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::report::sample;

    #[test]
    fn what_was_missed_is_read_first() {
        expect![[r#"
            closed-loop: not held: 1 of 3 limits
            Control keeps its deadline while telemetry comes in bursts

            Limit             wanted         found
              ✗ alarms lost   none           2
              ✓ alarm p99     at most 50 ms  35.9 ms
              ✓ setpoint p99  at most 60 ms  36.1 ms

            Latency, from when it was due  p50  p90     p99   p99.9  p99.99     max      measured
              alarm                        192  357  15,778  37,814  39,944  40,141  µs    60,000
              relay                        166  292     657   1,502   4,657  27,329  µs    60,000
              setpoint                      36   66  19,661  34,177       –  39,617  µs     1,800

            Deadline, from when it was due  within    due  missed  per million
              setpoint                      100 ms  1,800       3        1,667

            Messages     expected  arrived  lost  dropped  duplicates  reordered
              alarms       60,000   59,994     2        4           0         12
                  dropped: late 3, undecodable 1
              telemetry   600,000  600,000     0        0           0          0

            Engine          first  last  mean  most
              CPU                        23.7  41.3  % of one core
              memory (RSS)   41.3  43.9        43.9  MB
              descriptors      23    23          24  open

            Where the time goes in the engine  p50   p99  p99.9     max      measured
              telemetry decode                 4.2  31.0   90.0     412  µs    61,203
              telemetry queue                  0.7   1.3   12.0    86.0  µs    61,203
              telemetry operators              1.1   2.8   31.0     167  µs    61,203
              plc sink_queue                   1.6   8.9   42.0     611  µs     1,800
              plc sink                         128   261  1,204  14,311  µs     1,800
              plc sensor_to_sink               143   304  1,250  14,402  µs     1,800

            Counted by the engine  kind           in      out  dropped  open  reconnects
              telemetry            source    660,000  659,999        1     0           0
                  dropped: undecodable 1
              loop                 operator    1,800    1,800        0     0           0
              alarms               operator  659,999   59,994        3    40           0
                  dropped: late 3
              plc                  sink        1,800    1,800        0     0           0

            Timed by the engine       p50   p99  p99.9    max      measured
              plc response_to_write  11.2  48.5    204  1,311  µs     1,800
              plc write_call          4.1  12.6   61.0    340  µs     1,800

            60 s measured · 10,000 messages/s · seed 7 · first output 143 ms after its start · started 2026-11-21T18:40:02Z
            lineside 0.1.0 · AMD EPYC · 2 cores · 24 GiB · Linux 6.18.5 · real-time permitted
        "#]]
        .assert_eq(&terminal(&sample::outcome()));
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let outcome = Outcome { case: "idle".to_owned(), seconds: 90.0, seed: 1, ..Outcome::default() };
        expect![[r#"
            idle: measured; nothing was to be held

            90 s measured · seed 1
        "#]]
        .assert_eq(&terminal(&outcome));
    }
}
