//! Align: several sensors side by side, one row for each point of a common grid in time.
//!
//! With `period = "10s"`, `max_gap = "30s"` and `sensors = { t = "oven1.temperature", p = "oven1.power" }`:
//!
//! | ts | sensor | value | | ts | p | t | quality |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | 1 s | oven1.temperature | 180.0 | | 10 s | null | 180.0 | bad |
//! | 12 s | oven1.power | 40.0 | | 20 s | 40.0 | 180.0 | good |
//!
//! How points are filled is told at [`grid`](super::grid). A sensor that is silent for longer than `max_gap`, or has not yet
//! been heard, is null; where all are, there is no row. The quality of a row is that of its worst value, so
//! `WHERE quality = 'good'` takes complete rows of good readings only. Columns are in the order of their names.
//!
//! A row comes out when the watermark has passed its point, on a line when every sensor has been read after it or has been
//! silent for too long. At the end of the input, rows end with the last reading of all.
//!
//! Readings are taken in the order of event time; late ones are counted as `late`, those of bad quality or without a value as
//! `bad_quality`, those of other sensors as `filtered`. All rows go to one worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashMap;
use lineside_model::options::{parse_both, schema_of_both};
use lineside_model::{Error, Problem, Problems, Quality, Reason, Result, Span, Timestamp, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::derived::Derived;
use super::grid::{Fill, Grid, Track};
use crate::in_order::InOrder;
use crate::operator::{Files, InputRows};
use crate::reading::{ColumnOptions, Reading, ReadingColumns};
use crate::series::{Dropped, MOMENT};
use crate::{Emitter, Operator, OperatorKind, PlannedOperator, Port, Snapshot};

const KIND: &str = "align";
const VERSION: u32 = 1;

/// Options of `type = "align"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignOptions {
    /// The columns of the output, each with the sensor it shows: `{ temperature = "oven1.temperature" }`.
    sensors: BTreeMap<String, String>,
    /// The time between two points.
    period: Span,
    /// How far points are shifted from multiples of the period. Default "0s".
    offset: Option<Span>,
    /// How points between readings are filled: hold, linear or null. Default "hold".
    #[serde(default)]
    fill: Fill,
    /// How long a sensor may be silent and still have a value. At least the period.
    max_gap: Span,
}

/// Sensors on a common grid.
#[derive(Debug)]
struct Align {
    columns: ReadingColumns,
    output: SchemaRef,
    grid: Grid,
    /// How far the times of readings may lag behind the watermark.
    delay: Span,
    /// The column of each sensor.
    places: HashMap<String, usize>,
    state: AlignState,
    /// Readings whose time has not come.
    waiting: InOrder<Waiting>,
}

/// What is saved, besides the readings that wait.
#[derive(Debug, Serialize, Deserialize)]
struct AlignState {
    /// The sensors, in the order of the columns.
    sensors: Vec<String>,
    tracks: Vec<Track>,
    /// Rows of which not all values are known.
    rows: BTreeMap<Timestamp, Vec<Option<Derived>>>,
    /// No reading that is on time is earlier.
    watermark: Timestamp,
    /// The last reading of all.
    newest: Timestamp,
}

/// A reading without its time.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    place: usize,
    value: Option<f64>,
    quality: Quality,
}

impl Align {
    fn take(&mut self, reading: &Reading<'_>) -> Result<(), Reason> {
        let Some(&place) = self.places.get(reading.sensor) else { return Err(Reason::Filtered) };
        if reading.ts < self.state.watermark {
            return Err(Reason::Late);
        }
        self.waiting.push(reading.ts, Waiting { place, value: reading.value, quality: reading.quality });
        Ok(())
    }

    /// Takes the readings whose turn has come, and puts out the rows that are complete then.
    fn catch_up(&mut self, dropped: &mut Dropped, out: &mut dyn Emitter) -> Result<()> {
        let watermark = self.state.watermark;
        while let Some((ts, Waiting { place, value, quality })) = self.waiting.pop(watermark) {
            self.follow(place, ts);
            self.grid.take(&mut self.state.tracks[place], ts, value, quality);
            self.state.newest = self.state.newest.max(ts);
            dropped.note(value.map(|_| ()).ok_or(Reason::BadQuality));
        }
        let ended = watermark == Timestamp::MAX;
        let now = if ended { self.state.newest + MOMENT } else { watermark };
        for place in 0..self.state.tracks.len() {
            self.follow(place, now);
        }
        let AlignState { tracks, rows, .. } = &mut self.state;
        let mut complete = Complete::new(tracks.len());
        while let Some(row) = rows.first_entry()
            && (ended || tracks.iter().all(|track| self.grid.knows(track, *row.key(), watermark)))
        {
            let (at, values) = row.remove_entry();
            complete.push(at, &values);
        }
        complete.rows(&self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    /// Notes the points of one sensor that are known by `now`.
    fn follow(&mut self, place: usize, now: Timestamp) {
        let AlignState { tracks, rows, .. } = &mut self.state;
        let width = tracks.len();
        while self.grid.due(&tracks[place]).is_some_and(|due| due <= now) {
            self.grid.elapsed(&mut tracks[place], |at, value| {
                if value.value.is_some() {
                    rows.entry(at).or_insert_with(|| vec![None; width])[place] = Some(value);
                }
            });
        }
    }
}

impl Operator for Align {
    fn process(&mut self, _port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let readings = self.columns.read(&rows)?;
        let mut dropped = Dropped::default();
        for row in 0..rows.num_rows() {
            dropped.note(readings.get(row).and_then(|reading| self.take(&reading)));
        }
        self.catch_up(&mut dropped, out)?;
        dropped.tell(out);
        Ok(())
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let ended = watermark == Timestamp::MAX;
        self.state.watermark = if ended { watermark } else { self.state.watermark.max(watermark - self.delay) };
        let mut dropped = Dropped::default();
        self.catch_up(&mut dropped, out)?;
        dropped.tell(out);
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::save(KIND, VERSION, &(&self.state, self.waiting.waiting()))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let (state, waiting) = snapshot.load::<(AlignState, Vec<(Timestamp, Waiting)>)>(KIND, VERSION)?;
        let width = self.state.sensors.len();
        if state.sensors != self.state.sensors
            || state.tracks.len() != width
            || state.rows.values().any(|row| row.len() != width)
            || waiting.iter().any(|(_, waiting)| waiting.place >= width)
        {
            return Err(Error::user("saved state of align is of other sensors")
                .hint("the pipeline was changed since the state was saved; start it with an empty state directory"));
        }
        self.state = state;
        self.waiting = InOrder::default();
        for (ts, waiting) in waiting {
            self.waiting.push(ts, waiting);
        }
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        self.waiting.len() as u64
    }
}

/// Rows that are complete, by column.
struct Complete {
    ts: Vec<i64>,
    values: Vec<Vec<Option<f64>>>,
    quality: Vec<Quality>,
}

impl Complete {
    fn new(width: usize) -> Self {
        Self { ts: Vec::new(), values: vec![Vec::new(); width], quality: Vec::new() }
    }

    fn push(&mut self, at: Timestamp, row: &[Option<Derived>]) {
        self.ts.push(at.micros());
        for (column, value) in self.values.iter_mut().zip(row) {
            column.push(value.and_then(|value| value.value));
        }
        let worst = row.iter().map(|value| value.map_or(Quality::Bad, |value| value.quality)).max();
        self.quality.push(worst.unwrap_or(Quality::Bad));
    }

    fn rows(self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        if self.ts.is_empty() {
            return Ok(None);
        }
        let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC"));
        let values = self.values.into_iter().map(|column| -> ArrayRef { Arc::new(Float64Array::from(column)) });
        let columns = [ts].into_iter().chain(values).chain([Quality::column(self.quality)]).collect();
        Ok(Some(RecordBatch::try_new(SchemaRef::clone(schema), columns)?))
    }
}

/// The kind `align`.
#[derive(Debug)]
pub struct AlignKind;

impl OperatorKind for AlignKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "puts several sensors side by side, one row for each point of a common grid in time"
    }

    fn example(&self) -> &'static str {
        r#"[operator.oven1]
type = "align"
input = "plc"
period = "1s"
max_gap = "10s"
sensors = { temperature = "oven1.temperature", setpoint = "oven1.setpoint" }
"#
    }

    fn options(&self) -> schemars::Schema {
        schema_of_both::<AlignOptions, ColumnOptions>()
    }

    fn plan(&self, options: &Value, input: &InputRows, _files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let (own, shared) = parse_both::<AlignOptions, ColumnOptions>(options)?;
        let AlignOptions { sensors, period, offset, fill, max_gap } = own;
        let mut problems = check(&sensors);
        let grid = Grid::new(period, offset, fill, max_gap).map_err(|more| problems.0.extend(more.0)).ok();
        let columns = ReadingColumns::find(shared.names(), &input.schema);
        let columns = columns.map_err(|more| problems.0.extend(more.0)).ok();
        let delay = columns.as_ref().and_then(|columns| {
            let delay = input.delay(columns.time());
            if delay.is_none() {
                problems.push(columns.no_event_time());
            }
            delay
        });
        let (Some(grid), Some(columns), Some(delay), true) = (grid, columns, delay, problems.0.is_empty()) else {
            return Err(problems);
        };
        let values = sensors.keys().map(|name| Field::new(name, DataType::Float64, true));
        let quality = Field::new(schema::QUALITY, Quality::data_type(), false);
        let fields = [schema::time_field(schema::TS, false)].into_iter().chain(values).chain([quality]);
        let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let points = max_gap.micros() / period.micros() + 1;
        let bound = format!("state: at most {points} points of {} sensors", sensors.len());
        let reads = sensors.values().cloned().collect::<Vec<_>>();
        let (time, schema) = (columns.time().to_owned(), SchemaRef::clone(&output));
        let read = reads.clone();
        let mut planned = PlannedOperator::new(output, move || {
            Box::new(Align {
                columns: columns.clone(),
                output: SchemaRef::clone(&schema),
                grid,
                delay,
                places: reads.iter().cloned().zip(0..).collect(),
                state: AlignState {
                    sensors: reads.clone(),
                    tracks: vec![Track::default(); reads.len()],
                    rows: BTreeMap::new(),
                    watermark: Timestamp::MIN,
                    newest: Timestamp::MIN,
                },
                waiting: InOrder::default(),
            })
        })
        .explained(bound)
        .explained(format!("order: by \"{time}\"; a row waits until the watermark has reached it"))
        .timed(schema::TS, grid.lag())
        .reading(read);
        planned.explain.extend(grid.explain());
        Ok(planned)
    }
}

fn check(sensors: &BTreeMap<String, String>) -> Problems {
    let mut problems = Problems::default();
    if sensors.is_empty() {
        let problem = Problem::option("sensors", "there is no sensor to align");
        problems.push(problem.hint("name columns and their sensors: { temperature = \"oven1.temperature\" }"));
    }
    for taken in [schema::TS, schema::QUALITY].into_iter().filter(|name| sensors.contains_key(*name)) {
        problems.push(Problem::option("sensors", format!("the output has a column \"{taken}\" already")));
    }
    let mut seen = HashMap::new();
    for (column, sensor) in sensors {
        if let Some(first) = seen.insert(sensor, column) {
            let told = format!("sensor \"{sensor}\" has two columns, \"{first}\" and \"{column}\"");
            problems.push(Problem::option("sensors", told).hint("one is enough; rename in a query"));
        }
    }
    problems
}
