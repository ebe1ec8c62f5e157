//! How late results are: by how much the clock is past the event, or the end of the window, when the sink has its row.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use hdrhistogram::Histogram;
use lineside_model::Result;
use serde_json::{Map, Value, json};

use crate::check::{Check, counts, entries, times};
use crate::paced::EPOCH_US;
use crate::stopwatch::Stopwatch;

/// Samples of the first seconds are not counted.
const WARM_UP: Duration = Duration::from_secs(5);

/// How late results were.
#[derive(Debug)]
struct Lateness {
    watch: Arc<Stopwatch>,
    nanos: Histogram<u64>,
    count: i64,
}

impl Lateness {
    fn new(watch: &Arc<Stopwatch>) -> Self {
        // 1 ns to 1 h at three digits.
        let nanos = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        let nanos = nanos.expect("the bounds are constants that hdrhistogram accepts");
        Self { watch: Arc::clone(watch), nanos, count: 0 }
    }

    /// Results that were due at these points of event time have arrived.
    fn arrived(&mut self, due: &[i64]) {
        let now = self.watch.elapsed();
        for due in due.iter().filter_map(|due| u64::try_from(due - EPOCH_US).ok()).map(Duration::from_micros) {
            if due >= WARM_UP {
                self.nanos.saturating_record(now.saturating_sub(due).as_nanos() as u64);
            }
        }
    }

    fn tell(&self) -> Map<String, Value> {
        let micros = |quantile| self.nanos.value_at_quantile(quantile) as f64 / 1e3;
        let (p50, p99, p999, max) = (micros(0.5), micros(0.99), micros(0.999), micros(1.0));
        entries(json!({
            "checksum": { "count": self.count },
            "latency_us": { "n": self.nanos.len(), "p50": p50, "p99": p99, "p999": p999, "max": max },
        }))
    }
}

/// Of alarms: each has the time of its event in `ts`.
#[derive(Debug)]
pub(crate) struct Alarms(Lateness);

impl Alarms {
    /// By this clock.
    pub(crate) fn new(watch: &Arc<Stopwatch>) -> Self {
        Self(Lateness::new(watch))
    }
}

impl Check for Alarms {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.arrived(times(rows, "ts")?);
        self.0.count += rows.num_rows() as i64;
        Ok(())
    }

    fn tell(&self) -> Map<String, Value> {
        self.0.tell()
    }
}

/// Of windows: each is due at its `window_end`.
#[derive(Debug)]
pub(crate) struct LateWindows(Lateness);

impl LateWindows {
    /// By this clock.
    pub(crate) fn new(watch: &Arc<Stopwatch>) -> Self {
        Self(Lateness::new(watch))
    }
}

impl Check for LateWindows {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.arrived(times(rows, "window_end")?);
        self.0.count += counts(rows, "count")?.iter().sum::<i64>();
        Ok(())
    }

    fn tell(&self) -> Map<String, Value> {
        self.0.tell()
    }
}
