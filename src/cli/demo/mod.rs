//! `lineside demo`: a whole oven line on this machine, no server needed.
//!
//! A simulated PLC with three ovens, an embedded MQTT broker and a player of recorded sensor data stand in for the plant; the
//! engine reaches them through its real connectors over loopback. The pipeline is `examples/oven-line`, written to a folder
//! that the demo names, so that the next step is to copy it.

mod line;
mod tap;
mod view;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lineside_loadtest::broker::Broker;
use lineside_loadtest::plant::{Plant, PlantOptions};
use lineside_loadtest::player::{EventTimes, PlayOptions, Speed, Target, play_until};
use lineside_loadtest::trace;
use lineside_model::{Error, Result, Span};
use tokio::sync::oneshot;

use super::Failure;
use crate::observe::{Board, Report};
use line::Line;

/// The files of the example, as they stand in the repository.
const FILES: [(&str, &str); 3] = [
    ("oven-line.toml", include_str!("../../../examples/oven-line/oven-line.toml")),
    ("ovens.csv", include_str!("../../../examples/oven-line/ovens.csv")),
    ("loops.csv", include_str!("../../../examples/oven-line/loops.csv")),
];

/// How much faster than recorded the trace is played: its eleven months pass in about a minute, 500 readings a second.
const TRACE_SPEED: f64 = 472_000.0;

/// How often the table is drawn on a terminal, and a line is printed elsewhere.
const DRAW_EVERY: Duration = Duration::from_millis(250);
const PRINT_EVERY: Duration = Duration::from_secs(5);

/// Run an oven line on this machine: simulated PLC, embedded broker, recorded data, the real engine.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after this long, with a summary (for example 60s). Without it, run until stopped.
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<Span>,
    /// Where to put the pipeline's files.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        let folder = self.folder.unwrap_or_else(|| std::env::temp_dir().join("lineside-demo"));
        write_files(&folder)?;
        let file = folder.join(FILES[0].0);

        let broker = Broker::start(0)?;
        let plant = Plant::start(PlantOptions::default())?;
        let feed = Feed::start(broker.port())?;
        let address = |name: &str| match name {
            "PLC" => Some(format!("127.0.0.1:{}", plant.port())),
            "BROKER" => Some(format!("mqtt://127.0.0.1:{}", broker.port())),
            _ => std::env::var(name).ok(),
        };
        let mut plan = super::plan_with(&file, &address)?;
        plan.report_every = Span::ZERO;
        let line = Line::default();
        line.watch(&mut plan)?;

        super::print(&format!(
            "oven line: Modbus PLC on 127.0.0.1:{}, MQTT broker on 127.0.0.1:{}\n\
             its pipeline file: {} (copy that folder to start your own)\n\n",
            plant.port(),
            broker.port(),
            file.display()
        ))?;
        let lasts = self.lasts.map(Span::to_std);
        // The plant outlives the engine, which writes until it has stopped.
        let (shown, seen) = (&line, &plant);
        let ended = super::run::drive(plan, |board, stop| async move {
            // Whoever no longer looks ends the demo.
            show(shown, &board, seen, lasts).await.ok();
            stop.stop();
        });
        let played = feed.stop();
        let report = ended.map_err(|(_, error)| Failure::Failed(error))?;
        super::print(&view::summary(&line, &report, played?))
    }
}

fn write_files(folder: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| {
        Error::external(format!("cannot write the demo's files to {}", folder.display())).caused_by(e)
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    FILES.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text)).map_err(cannot)
}

/// Shows the line until the time is up, or for ever.
async fn show(line: &Line, board: &Board, plant: &Plant, lasts: Option<Duration>) -> std::io::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(if terminal { DRAW_EVERY } else { PRINT_EVERY });
    ticks.tick().await;
    let over = async {
        match lasts {
            Some(lasts) => tokio::time::sleep(lasts).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut screen = view::Screen::default();
    // Reports of the last second, for rates.
    let mut recent = VecDeque::<Report>::new();
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            _ = ticks.tick() => {
                if terminal {
                    let report = board.report();
                    let span = DRAW_EVERY * u32::try_from(recent.len()).unwrap_or(1);
                    let rates = view::Rates { before: recent.front(), seconds: span.as_secs_f64() };
                    screen.draw(&view::table(line, &report, &rates, &plant.state(), lasts))?;
                    recent.push_back(report);
                    if recent.len() > 4 {
                        recent.pop_front();
                    }
                } else {
                    writeln!(std::io::stdout().lock(), "{}", view::one_line(line, &board.report()))?;
                }
            }
        }
    }
}

/// The recorded sensors, played to the broker beside everything else.
struct Feed {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<u64>>,
}

impl Feed {
    fn start(port: u16) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let target: Target = format!("mqtt://127.0.0.1:{port}/plant").parse()?;
        let options = PlayOptions {
            speed: Speed::Times(TRACE_SPEED),
            event_times: EventTimes::Scaled,
            repeat: true,
            ..PlayOptions::default()
        };
        let thread = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
                let stopped = async {
                    // Dropping the sender stops the feed as well.
                    stopped.await.ok();
                };
                let report = runtime.block_on(play_until(&trace::nab(), target, &options, stopped, |_| {}))?;
                Ok(report.acknowledged.unwrap_or(report.sent))
            })
            .map_err(no_thread)?;
        Ok(Self { stop, thread })
    }

    /// Stops it; how many readings the broker has acknowledged.
    fn stop(self) -> Result<u64> {
        self.stop.send(()).ok();
        self.thread.join().unwrap_or_else(|_| Err(Error::internal("the feed panicked")))
    }
}

fn no_thread(error: std::io::Error) -> Error {
    Error::external("the feed got no thread").caused_by(error)
}
