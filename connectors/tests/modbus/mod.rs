//! The Modbus source and sink against a PLC that misbehaves on request, and against the server of `tokio-modbus`.

mod plan;
mod plc;
mod sink;
mod source;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lineside_connectors::registry::find;
use lineside_connectors::{BuildContext, Meter, PlanContext, Pulled, Source};
use lineside_model::{Clock, Problems, Reason, Result, Span, Timestamp};
use serde_json::{Value, json};

/// A clock that moves a microsecond each time it is read.
#[derive(Debug, Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.lock().expect("not poisoned").get(name).copied().unwrap_or(0)
    }
}

impl Meter for Counts {
    fn dropped(&self, reason: Reason, count: u64) {
        self.add(reason.word(), count);
    }
    fn add(&self, name: &'static str, count: u64) {
        *self.0.lock().expect("not poisoned").entry(name).or_default() += count;
    }
    fn time(&self, name: &'static str, _: Span) {
        self.add(name, 1);
    }
}

/// A folder with a register map `map.csv`.
pub(crate) fn folder(map: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("map.csv"), map).expect("written");
    folder
}

pub(crate) fn context(folder: &tempfile::TempDir) -> PlanContext<'_> {
    PlanContext { name: "plc", pipeline: "line", folder: folder.path() }
}

pub(crate) fn build() -> (BuildContext, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let meter: Arc<dyn Meter> = Arc::clone(&counts) as _;
    (BuildContext { clock: Arc::new(Ticking::default()), meter }, counts)
}

fn with(address: SocketAddr, more: &Value) -> Value {
    let mut options = json!({"url": address.to_string(), "registers": "map.csv"});
    for (name, value) in more.as_object().expect("a table") {
        options[name] = value.clone();
    }
    options
}

/// A source that is open.
pub(crate) async fn source(address: SocketAddr, map: &str, more: &Value) -> (Box<dyn Source>, Arc<Counts>) {
    let folder = folder(map);
    let kind = find("modbus").expect("in the registry");
    let planned = kind.plan_source(&with(address, more), &context(&folder)).expect("good options");
    let (context, counts) = build();
    let mut source = (planned.build)(&context);
    source.open(None).await.expect("the peer listens");
    (source, counts)
}

/// A sink that is open.
pub(crate) async fn sink(
    address: SocketAddr,
    map: &str,
    more: &Value,
) -> (Box<dyn lineside_connectors::Sink>, Arc<Counts>) {
    let folder = folder(map);
    let kind = find("modbus").expect("in the registry");
    let input = lineside_model::schema::readings();
    let planned = kind.plan_sink(&with(address, more), &input, None, &context(&folder)).expect("good options");
    let (context, counts) = build();
    let mut sink = (planned.build)(&context);
    sink.open().await.expect("the peer listens");
    (sink, counts)
}

/// What planning a source says.
pub(crate) fn plan(map: &str, options: &Value) -> Result<Vec<String>, Problems> {
    let folder = folder(map);
    let kind = find("modbus").expect("in the registry");
    kind.plan_source(options, &context(&folder)).map(|planned| planned.explain)
}

/// The next rows.
pub(crate) async fn pull(source: &mut dyn Source) -> Result<RecordBatch> {
    match source.pull(64).await? {
        Pulled::Rows { rows, .. } => Ok(rows),
        other => panic!("expected rows, found {other:?}"),
    }
}

/// The readings of a batch, one a line: sensor, value, quality.
pub(crate) fn shown(rows: &RecordBatch) -> String {
    let options = FormatOptions::default().with_null("-");
    let columns = ["sensor", "value", "quality"].map(|name| rows.column_by_name(name).expect("the column"));
    let columns = columns.map(|column| ArrayFormatter::try_new(column, &options).expect("printable"));
    let line = |n| columns.each_ref().map(|column| column.value(n).to_string()).join(" ") + "\n";
    (0..rows.num_rows()).map(line).collect()
}
