//! Windows of each kind over the same readings: what it costs to ask for the last minute, for the shift so far, for a batch in the
//! oven, for the last sixty parts.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use criterion::Criterion;
use lineside_model::Span;
use lineside_operators::aggregate::AggregateFunction::{Avg, Count, Max, Min};
use lineside_operators::window::keyed::{self, KeyedKind, KeyedSpec};
use lineside_operators::window::{AggregateSpec, Calendar, MAX_GROUPS, WindowKind, WindowSpec, plan};

use crate::feed::{Feed, Turn, time};

const MINUTE: Span = Span::from_secs(60);
const TEN_SECONDS: Span = Span::from_secs(10);
/// The column that says whether a batch is in the oven.
const RUNNING: usize = 5;

/// Count, avg, min and max of the value.
pub(crate) fn aggregates() -> Vec<AggregateSpec> {
    let of_value = |(function, name): (_, &str)| AggregateSpec { function, column: Some(2), name: name.to_owned() };
    let count = AggregateSpec { function: Count, column: None, name: "count".to_owned() };
    [count].into_iter().chain([(Avg, "avg"), (Min, "min"), (Max, "max")].map(of_value)).collect()
}

/// Windows of each sensor.
pub(crate) fn windows_of(kind: WindowKind) -> WindowSpec {
    let aggregates = aggregates();
    WindowSpec { kind, time: 0, time_delay: Span::ZERO, keys: vec![1], aggregates, max_groups: MAX_GROUPS }
}

/// Windows that each sensor has for itself.
pub(crate) fn keyed_windows_of(kind: KeyedKind) -> KeyedSpec {
    let aggregates = aggregates();
    KeyedSpec { kind, time: 0, time_delay: Span::ZERO, keys: vec![1], kept: None, aggregates, max_groups: MAX_GROUPS }
}

/// Adds whether a batch is in the oven.
fn with_running(turn: &Turn) -> Turn {
    let with = |rows: &RecordBatch| {
        let values = rows.column(2).as_primitive::<Float64Type>().values();
        let running = values.iter().map(|value| Some(*value > 165.0)).collect::<BooleanArray>();
        let fields = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
        let field = Field::new("running", DataType::Boolean, false);
        let schema = Schema::new(fields.into_iter().chain([field]).collect::<Vec<_>>());
        let columns = rows.columns().iter().cloned().chain([Arc::new(running) as _]).collect();
        RecordBatch::try_new(Arc::new(schema), columns).expect("the columns are those of the schema")
    };
    Turn { ports: turn.ports.iter().map(with).collect(), watermark: turn.watermark }
}

/// Tumbling, hopping, cumulating, by shifts; sessions, counts, conditions.
pub(crate) fn kinds(criterion: &mut Criterion) {
    let feed = Feed { silent: Span::from_secs(5), ..Feed::of_plant() };
    let turns = feed.turns().iter().map(with_running).collect::<Vec<_>>();
    let columns = turns[0].ports[0].schema();
    let mut group = criterion.benchmark_group("window");
    let shifts = Calendar::of_shifts("early 06:00-14:00, late 14:00-22:00, night 22:00-06:00", "Europe/Berlin");
    for (name, kind) in [
        ("tumble", WindowKind::Tumble { size: MINUTE, offset: Span::ZERO }),
        ("hop", WindowKind::Hop { size: MINUTE, slide: TEN_SECONDS, offset: Span::ZERO }),
        ("cumulate", WindowKind::Cumulate { size: MINUTE, step: TEN_SECONDS, offset: Span::ZERO }),
        ("shift", WindowKind::Calendar(Arc::new(shifts.expect("the shifts are right")))),
    ] {
        time(&mut group, name, &plan(windows_of(kind), &columns).expect("the plan is sound"), &turns);
    }
    for (name, kind) in [
        ("session", KeyedKind::Session { gap: Span::from_secs(3), max_size: None }),
        ("count", KeyedKind::Count { size: 60, slide: 60, gap: None }),
        ("count, sliding", KeyedKind::Count { size: 60, slide: 10, gap: None }),
        ("condition", KeyedKind::Condition { start: RUNNING, stop: None, max_size: None }),
    ] {
        let planned = keyed::plan(&keyed_windows_of(kind), &columns).expect("the plan is sound");
        time(&mut group, name, &planned, &turns);
    }
    group.finish();
}
