//! PID loops: readings of the controlled sensors in, outputs for the tags to be written out.
//!
//! Each row of the [loop table](super::loop_table) is a controller. Each good reading of its `pv` is one sample; the row
//! that follows from it bears the reading's time, the `out` tag as its sensor and the output as its value, so that a sink
//! can write it as it is. Rows come out in the order of the table for each reading.
//!
//! When a reading counts as a sample, and when a controller holds, is told at [`Running`].
//!
//! Each row has `ts, sensor, value, quality` as a reading does, then `loop`, `sp`, `pv`, `error` (positive: more output is
//! wanted) and the parts `p`, `i`, `d`. The quality of an output is the worse one of its process variable and setpoint:
//! good or uncertain.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashMap;
use lineside_model::options::{parse_both, schema_of_both};
use lineside_model::{Problem, Problems, Quality, Reason, Result, Span, schema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::loop_table::{self, Loop, Setpoint};
use super::pid::PidSample;
use super::running::{LoopState, Running};
use crate::operator::{Files, InputRows};
use crate::reading::{ColumnOptions, Reading, ReadingColumns};
use crate::series::Dropped;
use crate::{Emitter, Operator, OperatorKind, PlannedOperator, Port, Snapshot};

const KIND: &str = "pid";
const VERSION: u32 = 1;

/// Options of `type = "pid"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PidOptions {
    /// The loop table, a CSV file next to the pipeline file.
    table: String,
}

/// The controllers of one loop table.
#[derive(Debug)]
pub struct PidLoops {
    columns: ReadingColumns,
    output: SchemaRef,
    loops: Vec<Running>,
    /// Which loops a sensor has a part in.
    parts: HashMap<String, Vec<(usize, Part)>>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Setpoint,
    ProcessVariable,
}

impl PidLoops {
    fn new(loops: &[Loop], columns: ReadingColumns, output: SchemaRef) -> Self {
        let mut parts = HashMap::<String, Vec<(usize, Part)>>::new();
        for (n, control) in loops.iter().enumerate() {
            if let Setpoint::Sensor(sensor) = &control.sp {
                parts.entry_ref(sensor).or_default().push((n, Part::Setpoint));
            }
            parts.entry_ref(&control.pv).or_default().push((n, Part::ProcessVariable));
        }
        Self { columns, output, loops: loops.iter().map(Running::new).collect(), parts }
    }

    /// Shows a reading to every loop it has a part in; it is of use if one of them could use it.
    fn take(&mut self, reading: &Reading<'_>, out: &mut Outputs) -> Result<(), Reason> {
        let mut used = Err(Reason::Filtered);
        for (n, part) in self.parts.get(reading.sensor).into_iter().flatten() {
            let running = &mut self.loops[*n];
            let result = match part {
                Part::Setpoint => running.setpoint(reading),
                Part::ProcessVariable => running.process_variable(reading).map(|(sp, quality, sample)| {
                    out.push(reading, *n, sp, quality, sample);
                }),
            };
            used = used.or(result);
        }
        used
    }
}

impl Operator for PidLoops {
    fn process(&mut self, _port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let readings = self.columns.read(&rows)?;
        let mut outputs = Outputs::with_capacity(rows.num_rows().min(self.loops.len()));
        let mut dropped = Dropped::default();
        for row in 0..rows.num_rows() {
            dropped.note(readings.get(row).and_then(|reading| self.take(&reading, &mut outputs)));
        }
        dropped.tell(out);
        outputs.rows(&self.loops, &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::save(KIND, VERSION, &self.loops.iter().map(Running::state).collect::<Vec<_>>())
    }

    /// Loops are told apart by name: a new loop starts fresh, the state of a loop that is gone is forgotten.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let saved = snapshot.load::<Vec<LoopState>>(KIND, VERSION)?;
        let saved = saved.iter().map(|state| (state.name.as_str(), state)).collect::<HashMap<_, _>>();
        for running in &mut self.loops {
            if let Some(state) = saved.get(running.settings().name.as_str()) {
                running.resume(state);
            }
        }
        Ok(())
    }
}

/// Output rows of one batch, by column.
#[derive(Debug)]
struct Outputs {
    /// The loops, by their places in the table.
    of: Vec<usize>,
    ts: Vec<i64>,
    value: Vec<f64>,
    quality: Vec<Quality>,
    sp: Vec<f64>,
    pv: Vec<f64>,
    error: Vec<f64>,
    p: Vec<f64>,
    i: Vec<f64>,
    d: Vec<f64>,
}

impl Outputs {
    fn with_capacity(rows: usize) -> Self {
        let numbers = || Vec::with_capacity(rows);
        Self {
            of: Vec::with_capacity(rows),
            ts: Vec::with_capacity(rows),
            value: numbers(),
            quality: Vec::with_capacity(rows),
            sp: numbers(),
            pv: numbers(),
            error: numbers(),
            p: numbers(),
            i: numbers(),
            d: numbers(),
        }
    }

    fn push(&mut self, reading: &Reading<'_>, of: usize, sp: f64, quality: Quality, sample: PidSample) {
        self.of.push(of);
        self.ts.push(reading.ts.micros());
        self.value.push(sample.u);
        self.quality.push(quality);
        self.sp.push(sp);
        self.pv.extend(reading.value);
        self.error.push(sample.e);
        self.p.push(sample.p);
        self.i.push(sample.i);
        self.d.push(sample.d);
    }

    fn schema() -> SchemaRef {
        let number = |name: &str| Field::new(name, DataType::Float64, false);
        Arc::new(Schema::new(vec![
            schema::time_field(schema::TS, false),
            Field::new(schema::SENSOR, DataType::Utf8, false),
            number(schema::VALUE),
            Field::new(schema::QUALITY, Quality::data_type(), false),
            Field::new("loop", DataType::Utf8, false),
            number("sp"),
            number("pv"),
            number("error"),
            number("p"),
            number("i"),
            number("d"),
        ]))
    }

    fn rows(self, loops: &[Running], schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        if self.ts.is_empty() {
            return Ok(None);
        }
        let number = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let text = |of: fn(&Loop) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.of.iter().map(|&n| of(loops[n].settings()))))
        };
        let (tags, names) = (text(|control| &control.out), text(|control| &control.name));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC")),
            tags,
            number(self.value),
            Quality::column(self.quality),
            names,
            number(self.sp),
            number(self.pv),
            number(self.error),
            number(self.p),
            number(self.i),
            number(self.d),
        ];
        Ok(Some(RecordBatch::try_new(SchemaRef::clone(schema), columns)?))
    }
}

/// The kind `pid`.
#[derive(Debug)]
pub struct PidKind;

impl OperatorKind for PidKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "controls many loops from one CSV table: process variables in, outputs for tags out"
    }

    fn example(&self) -> &'static str {
        r#"[operator.loops]
type = "pid"
input = "averages"
table = "loops.csv"
"#
    }

    fn options(&self) -> schemars::Schema {
        schema_of_both::<PidOptions, ColumnOptions>()
    }

    fn plan(&self, options: &Value, input: &InputRows, files: &dyn Files) -> Result<PlannedOperator, Problems> {
        let (options, shared) = parse_both::<PidOptions, ColumnOptions>(options)?;
        let mut problems = Problems::default();
        let columns =
            ReadingColumns::find(shared.names(), &input.schema).map_err(|more| problems.0.extend(more.0)).ok();
        let loops = match files.read(&options.table) {
            Ok(text) => loop_table::read(&files.path(&options.table), &text),
            Err(message) => Err(Problem::option("table", message).into()),
        };
        let loops = loops.map_err(|more| problems.0.extend(more.0)).ok();
        let (Some(columns), Some(loops)) = (columns, loops) else { return Err(problems) };
        let mut reads = loops.iter().map(|l| l.pv.clone()).collect::<Vec<_>>();
        reads.extend(loops.iter().filter_map(|l| match &l.sp {
            Setpoint::Sensor(sensor) => Some(sensor.clone()),
            Setpoint::Fixed(_) => None,
        }));
        reads.sort();
        reads.dedup();
        let writes = loops.iter().map(|l| l.out.clone()).collect::<Vec<_>>();
        let lines = loops.iter().map(explain).collect::<Vec<_>>();
        let output = Outputs::schema();
        let schema = SchemaRef::clone(&output);
        let mut planned = PlannedOperator::new(output, move || {
            Box::new(PidLoops::new(&loops, columns.clone(), SchemaRef::clone(&schema)))
        })
        .timed(schema::TS, Span::ZERO)
        .reading(reads)
        .writing(writes);
        planned.explain.extend(lines);
        Ok(planned)
    }
}

fn explain(control: &Loop) -> String {
    let Loop { name, pv, out, sp, period, .. } = control;
    let sp = match sp {
        Setpoint::Fixed(value) => value.to_string(),
        Setpoint::Sensor(sensor) => format!("\"{sensor}\""),
    };
    format!("loop {name}: \"{pv}\" to {sp} by \"{out}\" every {period}")
}
