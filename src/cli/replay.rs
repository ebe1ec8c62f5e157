//! `lineside replay TRACE --to ADDRESS`: plays a recorded trace to a broker or to standard output, with exact counts.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lineside_loadtest::player::{EventTimes, Format, PlayOptions, PlayReport, Qos, Speed, Target, play_until};
use lineside_loadtest::trace::Trace;
use lineside_model::{Error, Span};

use super::Failure;

/// Play a recorded trace (CSV, CSV.gz or Parquet with ts, sensor, value) to a broker or to standard output.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trace.
    trace: PathBuf,
    /// mqtt://host:port/prefix, kafka://brokers/topic, or stdout.
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// How many times faster than recorded, or max.
    #[arg(long, default_value = "1", value_name = "N|max")]
    speed: Speed,
    /// json or csv.
    #[arg(long, default_value = "json")]
    format: Format,
    /// Event times: as recorded, shifted so that the first is now, or scaled to when each row is sent.
    #[arg(long, default_value = "recorded", value_enum)]
    times: Times,
    /// MQTT: 0 or 1.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// MQTT: the topic, with {sensor} or {path} (the sensor with / for .); default prefix/{path}.
    #[arg(long)]
    topic: Option<String>,
    /// Begin again at the end, until stopped.
    #[arg(long)]
    repeat: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Times {
    Recorded,
    Shifted,
    Scaled,
}

impl Replay {
    pub(super) fn run(self) -> Result<(), Failure> {
        let trace = Trace::open(&self.trace)?;
        let target: Target = self.to.parse()?;
        let options = PlayOptions {
            speed: self.speed,
            event_times: match self.times {
                Times::Recorded => EventTimes::Recorded,
                Times::Shifted => EventTimes::Shifted,
                Times::Scaled => EventTimes::Scaled,
            },
            repeat: self.repeat,
            format: self.format,
            qos: if self.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
            topic: self.topic,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::external("no I/O runtime was made").caused_by(e))?;
        let bar = bar();
        let played = runtime.block_on(play_until(&trace, target, &options, interrupted(), |progress| {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.rows);
        }))?;
        bar.finish_and_clear();
        tell(&played)
    }
}

fn bar() -> ProgressBar {
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("{bar:40} {pos}/{len} rows  {per_sec}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn tell(played: &PlayReport) -> Result<(), Failure> {
    let took = Span::from_micros(i64::try_from(played.elapsed.as_micros()).unwrap_or(i64::MAX));
    let rate = played.rows as f64 / played.elapsed.as_secs_f64().max(1e-6);
    let acknowledged = played.acknowledged.map_or(String::new(), |n| format!(", {n} acknowledged"));
    eprintln!(
        "{} rows, {} sent{acknowledged}, {} failed in {took} ({rate:.0} rows/s){}",
        played.rows,
        played.sent,
        played.failed,
        if played.stopped { "; stopped before the end" } else { "" }
    );
    match &played.error {
        Some(error) => Err(Failure::Failed(Error::external(error.to_string()))),
        None if played.failed > 0 => {
            Err(Failure::Failed(Error::external(format!("{} rows did not arrive", played.failed))))
        }
        None => Ok(()),
    }
}
