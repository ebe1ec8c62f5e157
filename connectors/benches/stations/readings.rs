//! Readings as every format is given them, and what a connector wants of the engine.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lineside_connectors::{BuildContext, Meter, PlanContext};
use lineside_model::{Clock, Quality, Reason, Span, Timestamp, schema};

/// What a bulk source hands over in one turn.
pub(crate) const BATCH: usize = 8_192;

/// Time in ms, sensor, value.
pub(crate) fn reading(n: usize) -> (i64, String, f64) {
    (1_700_000_000_000 + n as i64 / 10, format!("line{}.oven3.temperature", n % 1_000), (n % 100_000) as f64 / 1e3)
}

/// The first readings as rows.
pub(crate) fn rows(count: usize) -> RecordBatch {
    let readings = (0..count).map(reading).collect::<Vec<_>>();
    let times = TimestampMicrosecondArray::from_iter_values(readings.iter().map(|reading| reading.0 * 1_000));
    let times = Arc::new(times.with_timezone("UTC"));
    let sensors = StringArray::from_iter_values(readings.iter().map(|reading| &reading.1));
    let values = Float64Array::from_iter_values(readings.iter().map(|reading| reading.2));
    let quality = Quality::column(readings.iter().map(|_| Quality::Good));
    let columns = vec![Arc::clone(&times) as _, Arc::new(sensors) as _, Arc::new(values) as _, quality, times];
    RecordBatch::try_new(schema::readings(), columns).expect("the columns are those of readings")
}

/// So many where times are taken, and a few where only the bench is tried out, as `cargo test` does.
pub(crate) fn size(full: usize) -> usize {
    let is_timed = std::env::args().any(|argument| argument == "--bench");
    if is_timed { full } else { full.min(2 * BATCH) }
}

/// Of a pipeline whose file is in this folder.
pub(crate) fn context(folder: &Path) -> PlanContext<'_> {
    PlanContext { name: "readings", pipeline: "bench", folder }
}

/// A clock that stands still, and books in which nothing may be dropped.
pub(crate) fn build() -> BuildContext {
    BuildContext { clock: Arc::new(Idle), meter: Arc::new(Idle) }
}

/// What the engine runs connectors on.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[derive(Debug)]
struct Idle;

impl Clock for Idle {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl Meter for Idle {
    fn dropped(&self, reason: Reason, count: u64) {
        panic!("{count} rows were {}", reason.word());
    }
    fn add(&self, _: &'static str, _: u64) {}
    fn time(&self, _: &'static str, _: Span) {}
}
