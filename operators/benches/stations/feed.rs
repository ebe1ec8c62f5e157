//! Readings as from a plant, the same in every run: every sensor sends one a second, each some time late, in batches with the watermark
//! after each. Values go up and down between 140 and 200, so that thresholds in between are passed now and then.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use criterion::{BenchmarkGroup, Throughput, measurement::WallTime};
use lineside_model::{Quality, Reason, Result, Span, Timestamp, schema};
use lineside_operators::operator::InputRows;
use lineside_operators::{Emitter, Operator, PlannedOperator, TimeColumn};

/// As many rows as a bulk source hands over.
pub(crate) const BATCH_ROWS: usize = 8192;

/// What an operator is given at a time: rows of each port, and how far time has come then.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) ports: Vec<RecordBatch>,
    pub(crate) watermark: Timestamp,
}

/// Readings of sensors that each send one a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feed {
    pub(crate) sensors: usize,
    pub(crate) rows: usize,
    pub(crate) batch_rows: usize,
    /// How late readings come at most.
    pub(crate) disorder: Span,
    /// For so long in every minute a sensor is silent.
    pub(crate) silent: Span,
}

impl Feed {
    /// A thousand sensors for some minutes, up to 50 ms late.
    pub(crate) fn of_plant() -> Self {
        Self {
            sensors: 1_000,
            rows: size(400_000),
            batch_rows: BATCH_ROWS,
            disorder: Span::from_millis(50),
            silent: Span::ZERO,
        }
    }

    /// The readings, with the watermark after each batch.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let late = self.disorder.micros();
        let readings = (0..self.rows).filter_map(|row| self.reading(row)).collect::<Vec<_>>();
        let mut newest = i64::MIN;
        let turn = |readings: &[(i64, usize, f64)]| {
            newest = readings.iter().map(|reading| reading.0).fold(newest, i64::max);
            let times = TimestampMicrosecondArray::from_iter_values(readings.iter().map(|reading| reading.0));
            let times = Arc::new(times.with_timezone("UTC"));
            let names = StringArray::from_iter_values(readings.iter().map(|reading| name(reading.1)));
            let values = Float64Array::from_iter_values(readings.iter().map(|reading| reading.2));
            let quality = Quality::column(readings.iter().map(|_| Quality::Good));
            let columns = vec![Arc::clone(&times) as _, Arc::new(names) as _, Arc::new(values) as _, quality, times];
            let rows = RecordBatch::try_new(schema::readings(), columns).expect("the columns are those of readings");
            Turn { ports: vec![rows], watermark: Timestamp(newest - late) }
        };
        readings.chunks(self.batch_rows).map(turn).collect()
    }

    /// Time, sensor and value.
    fn reading(&self, row: usize) -> Option<(i64, usize, f64)> {
        let sensor = row * 7_919 % self.sensors;
        let sent = (row * 1_000_000 / self.sensors) as i64;
        let second = row / self.sensors + sensor;
        let silent = ((second % 60) as i64) < self.silent.micros() / 1_000_000;
        // A multiplicative hash: the same numbers in every run.
        let noise = (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let early = noise as i64 % self.disorder.micros().max(1);
        let value = 145.0 + (second % 40).abs_diff(20) as f64 * 2.5 + (noise % 1_000) as f64 / 200.0;
        (!silent).then_some((sent + self.disorder.micros() - early, sensor, value))
    }
}

/// What sensor *n* is called.
pub(crate) fn name(n: usize) -> String {
    format!("line{}.oven{n}.temperature", n % 9)
}

/// So many where times are taken, and a few where only the bench is tried out, as `cargo test` does.
pub(crate) fn size(full: usize) -> usize {
    let is_timed = std::env::args().any(|argument| argument == "--bench");
    if is_timed { full } else { full.min(2 * BATCH_ROWS) }
}

/// The columns of readings, for operators that are planned by options.
pub(crate) fn input() -> InputRows {
    InputRows { schema: schema::readings(), times: vec![TimeColumn { name: schema::TS.to_owned(), delay: Span::ZERO }] }
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Output(pub(crate) Vec<RecordBatch>);

impl Emitter for Output {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.0.push(black_box(rows));
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        let is_meant = matches!(reason, Reason::Filtered | Reason::Unmatched);
        assert!(is_meant, "{rows} readings were dropped: {}", reason.word());
    }
}

/// An operator that has had these readings, and what came out of the last of them.
pub(crate) fn fed(planned: &PlannedOperator, turns: &[Turn]) -> Box<dyn Operator> {
    let mut operator = (planned.build)();
    for turn in turns {
        // Rows leave as they would for a sink, so that memory is used again.
        let mut out = Output::default();
        for (port, rows) in turn.ports.iter().enumerate() {
            operator.process(port, rows.clone(), &mut out).expect("operators do not fail on rows");
        }
        operator.advance(turn.watermark, &mut out).expect("operators do not fail on time");
    }
    operator
}

/// From the first reading to the end of the input.
pub(crate) fn run(planned: &PlannedOperator, turns: &[Turn]) {
    let mut operator = fed(planned, turns);
    operator.advance(Timestamp::MAX, &mut Output::default()).expect("operators do not fail on time");
}

/// Times a run; elements are the rows of all ports.
pub(crate) fn time(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, planned: &PlannedOperator, turns: &[Turn]) {
    let rows = turns.iter().flat_map(|turn| &turn.ports).map(RecordBatch::num_rows).sum::<usize>();
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function(name, |bencher| bencher.iter(|| run(planned, turns)));
}
