//! The names of what a Modbus connector counts.

/// Polls of a class that were handed over.
pub(crate) const POLLS: &str = "polls";
/// Requests that were answered, or given up.
pub(crate) const REQUESTS: &str = "requests";
/// Requests without an answer in time.
pub(crate) const TIMEOUTS: &str = "timeouts";
/// Answers that came after their request had timed out, and were thrown away.
pub(crate) const LATE_ANSWERS: &str = "late_answers";
/// Due times of a poll that were skipped.
pub(crate) const OVERRUNS: &str = "overruns";
/// Connections dropped because the two ends were out of step.
pub(crate) const RESYNCS: &str = "resyncs";
/// Connections that the other end closed, or that went silent.
pub(crate) const DISCONNECTS: &str = "disconnects";
/// Blocks that a device refused and that are asked for in two parts from then on.
pub(crate) const SPLITS: &str = "splits";
/// Values that were NaN or infinite.
pub(crate) const NOT_FINITE: &str = "not_finite";
/// How late a poll was started, as a histogram.
pub(crate) const POLL_LATENESS: &str = "poll_lateness";
/// From a response to the request that it led to: the newest reading behind a setpoint was decoded -> the first write request of
/// its batch was handed to the socket, as a histogram. The engine's own share of a control loop.
pub(crate) const RESPONSE_TO_WRITE: &str = "response_to_write";
/// The part of it that is the system's: the call that hands that request to the socket, which over loopback carries it to the other
/// end as well.
pub(crate) const WRITE_CALL: &str = "write_call";
/// Writes left out because the register held the value already, after an interrupted write.
pub(crate) const ALREADY_WRITTEN: &str = "already_written";

/// Exceptions that devices answered; also counted by code, see [`exception`].
pub(crate) const EXCEPTIONS: &str = "exceptions";

/// Exceptions, by their code.
pub(crate) fn exception(code: u8) -> &'static str {
    match code {
        1 => "exception_1",
        2 => "exception_2",
        3 => "exception_3",
        4 => "exception_4",
        5 => "exception_5",
        6 => "exception_6",
        7 => "exception_7",
        8 => "exception_8",
        10 => "exception_10",
        11 => "exception_11",
        _ => "exception_other",
    }
}
