//! Structured log lines on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The form of a log line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `RUST_LOG` says what; by default lineside's own lines from `info` up and others' from `warn` up.
pub(super) fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,lineside=info,lineside_connectors=info,rumqttd=off"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let colour = std::io::stderr().is_terminal();
    // A second start within one process keeps the first.
    match format {
        Format::Text => lines.with_ansi(colour).try_init().ok(),
        Format::Json => lines.json().try_init().ok(),
    };
}
