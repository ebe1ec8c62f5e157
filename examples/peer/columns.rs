//! The prepared data: raw columns, and files for the engine's own reader.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use lineside_model::schema::time_field;

use crate::job::{Input, Workload};

const METRICS: [&str; 4] = ["temp", "humidity", "current", "vibration"];

/// The folder that the data lie in.
#[derive(Debug)]
pub(crate) struct Data(PathBuf);

impl Data {
    /// `$PEERS_DIR/data`.
    pub(crate) fn folder() -> Result<Self, String> {
        let peers = std::env::var_os("PEERS_DIR").map(PathBuf::from);
        let peers = peers.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/lineside-peers")));
        peers.map(|peers| Self(peers.join("data"))).ok_or_else(|| "set PEERS_DIR".to_owned())
    }

    /// The file of a workload.
    pub(crate) fn file(&self, workload: Workload, input: Input) -> PathBuf {
        let names = if workload.has_names() { "s" } else { "" };
        self.0.join(format!("{}{names}.{}", set(workload), input.word()))
    }

    /// The first `count` rows of a workload, in one piece, with event time as the engine has it.
    pub(crate) fn rows(&self, workload: Workload, count: usize) -> Result<RecordBatch, Box<dyn std::error::Error>> {
        let set = set(workload);
        let ts = self.raw(&format!("{set}.raw.ts"), count, |ms| i64::from_le_bytes(ms) * 1_000)?;
        let sensor = self.raw(&format!("{set}.raw.sensor"), count, i32::from_le_bytes)?;
        let value = self.raw(&format!("{set}.raw.value"), count, f64::from_le_bytes)?;
        let sensor: ArrayRef = if workload.has_names() {
            Arc::new(StringArray::from_iter_values(sensor.into_iter().map(name)))
        } else {
            Arc::new(Int32Array::from(sensor))
        };
        let schema = Schema::new(vec![
            time_field("ts", false),
            Field::new("sensor", sensor.data_type().clone(), false),
            Field::new("value", DataType::Float64, false),
        ]);
        let ts = TimestampMicrosecondArray::from(ts).with_timezone("UTC");
        Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ts), sensor, Arc::new(Float64Array::from(value))])?)
    }

    fn raw<T, const BYTES: usize>(
        &self,
        name: &str,
        count: usize,
        read: impl Fn([u8; BYTES]) -> T,
    ) -> Result<Vec<T>, String> {
        let path = self.0.join(name);
        let wrong = |error| format!("{}: {error}", path.display());
        let mut bytes = Vec::with_capacity(count * BYTES);
        File::open(&path).map_err(wrong)?.take((count * BYTES) as u64).read_to_end(&mut bytes).map_err(wrong)?;
        let (cells, _) = bytes.as_chunks::<BYTES>();
        if cells.len() < count {
            return Err(format!("{} has {} rows, {count} were asked for", path.display(), cells.len()));
        }
        Ok(cells.iter().map(|cell| read(*cell)).collect())
    }
}

fn set(workload: Workload) -> &'static str {
    if matches!(workload, Workload::W2 | Workload::W2s) { "d2" } else { "d1" }
}

/// The name of a sensor in the data sets that have names.
fn name(sensor: i32) -> String {
    let metric = METRICS[sensor.unsigned_abs() as usize % METRICS.len()];
    format!("line{}.oven{}.zone{}.{metric}", sensor / 100, sensor / 20 % 5, sensor / 4 % 5)
}

/// The number of the sensor of this name.
pub(crate) fn number(name: &str) -> Option<i64> {
    let mut parts = name.split('.');
    let mut place = |prefix| parts.next()?.strip_prefix(prefix)?.parse::<i64>().ok();
    let (line, oven, zone) = (place("line")?, place("oven")?, place("zone")?);
    let metric = parts.next()?;
    Some(line * 100 + oven * 20 + zone * 4 + METRICS.iter().position(|m| *m == metric)? as i64)
}
