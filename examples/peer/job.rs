//! What is computed, over what, and the pipeline file that says so.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Tumbling windows of 1 s per sensor.
    W1,
    /// The same where the sensor is a text.
    W1s,
    /// Windows of 60 s every 1 s per sensor.
    W2,
    /// The same where the sensor is a text.
    W2s,
    /// Filter and arithmetic.
    W3,
    /// The same, where rows keep their time and sensor.
    W3r,
    /// Paced: an alarm for each event above a limit.
    W4a,
    /// Paced: tumbling windows of 10 ms per sensor.
    W4w,
    /// Paced: rows are made and nothing is computed, without the engine. What the machine's timer gives.
    W4t,
}

impl Workload {
    /// The word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W1s => "w1s",
            Self::W2 => "w2",
            Self::W2s => "w2s",
            Self::W3 => "w3",
            Self::W3r => "w3r",
            Self::W4a => "w4a",
            Self::W4w => "w4w",
            Self::W4t => "w4t",
        }
    }

    /// Whether the sensor is a text.
    pub(crate) fn has_names(self) -> bool {
        matches!(self, Self::W1s | Self::W2s)
    }

    fn sql(self) -> &'static str {
        match self {
            Self::W1 | Self::W1s => {
                "SELECT sensor, window_start, count(*) AS count, avg(value) AS avg, min(value) AS min, max(value) AS max
                 FROM TUMBLE(events, ts, INTERVAL '1' SECOND) GROUP BY sensor, window_start"
            }
            Self::W2 | Self::W2s => {
                "SELECT sensor, window_start, count(*) AS count, avg(value) AS avg, min(value) AS min, max(value) AS max
                 FROM HOP(events, ts, INTERVAL '1' SECOND, INTERVAL '60' SECOND) GROUP BY sensor, window_start"
            }
            Self::W3 => "SELECT value * 1.8 + 32 AS value FROM events WHERE value > 60",
            Self::W3r => "SELECT ts, sensor, value * 1.8 + 32 AS value FROM events WHERE value > 60",
            Self::W4a => "SELECT ts, sensor, value FROM events WHERE value > 90",
            Self::W4t => "SELECT ts, sensor, value FROM events",
            Self::W4w => {
                "SELECT sensor, window_start, window_end, count(*) AS count
                 FROM TUMBLE(events, ts, INTERVAL '10' MILLISECOND) GROUP BY sensor, window_start, window_end"
            }
        }
    }
}

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Columns that were read before the clock starts.
    Mem,
    /// A Parquet file.
    Parquet,
    /// A CSV file.
    Csv,
    /// Rows that are made at a fixed rate.
    Paced,
}

impl Input {
    /// The word on the command line, and the ending of the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Mem => "mem",
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Paced => "paced",
        }
    }
}

impl FromStr for Input {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = [Self::Mem, Self::Parquet, Self::Csv];
        let found = known.into_iter().find(|input| input.word() == word);
        found.ok_or_else(|| format!("the input is mem, parquet or csv, found \"{word}\""))
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is computed.
    pub(crate) workload: Workload,
    /// Where rows come from.
    pub(crate) input: Input,
    /// How many workers share the work.
    pub(crate) workers: usize,
    /// The file, if rows come from one.
    pub(crate) path: PathBuf,
}

impl Job {
    /// The text of the pipeline file.
    pub(crate) fn pipeline(&self) -> String {
        let source = match self.input {
            Input::Mem => "connector = \"prepared\"".to_owned(),
            Input::Paced => "connector = \"paced\"".to_owned(),
            Input::Parquet | Input::Csv => format!(
                "connector = \"file\"\npath = '{}'\ncolumns = {{ ts = {{ type = \"timestamp\", unit = \"ms\" }} }}",
                self.path.display()
            ),
        };
        // Rows of the files are out of order by less than 50 ms; paced ones are in order.
        let disorder = if self.input == Input::Paced { "0s" } else { "50ms" };
        let (workers, sql) = (self.workers, self.workload.sql());
        format!(
            "[pipeline]\nworkers = {workers}\n\n[source.events]\n{source}\ntime = {{ column = \"ts\", disorder = \"{disorder}\" }}\n\n\
             [query.results]\nsql = \"\"\"{sql}\"\"\"\n\n[sink.check]\nconnector = \"check\"\ninput = \"results\"\n"
        )
    }
}
