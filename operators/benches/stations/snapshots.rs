//! Saving and restoring: how long an engine with ten thousand sensors stands still for it. Elements are sensors.

use criterion::{BatchSize, Criterion, Throughput};
use lineside_model::{Span, schema};
use lineside_operators::PlannedOperator;
use lineside_operators::join::Pick;
use lineside_operators::window::keyed::{self, KeyedKind};
use lineside_operators::window::{WindowKind, plan};
use serde_json::json;

use crate::control::{loops_of, polls};
use crate::feed::{Feed, Turn, fed, size};
use crate::joins::{join, two_lines};
use crate::over::{column, mean_of_minute};
use crate::signals::operator;
use crate::windows::{keyed_windows_of, windows_of};

const SENSORS: usize = 10_000;

/// State in the middle of some seconds of readings.
pub(crate) fn states(criterion: &mut Criterion) {
    let sensors = size(SENSORS);
    let feed = Feed { sensors, rows: 8 * sensors, ..Feed::of_plant() };
    let (one, two) = (feed.turns(), two_lines(Feed { rows: 16 * sensors, ..feed }));
    let minute = Span::from_secs(60);
    let tumble = windows_of(WindowKind::Tumble { size: minute, offset: Span::ZERO });
    let hop = windows_of(WindowKind::Hop { size: minute, slide: Span::from_secs(1), offset: Span::ZERO });
    let session = keyed_windows_of(KeyedKind::Session { gap: minute, max_size: None });
    let columns = schema::readings();
    let cases: [(&str, PlannedOperator, &[Turn]); 7] = [
        ("tumble", plan(tumble, &columns).expect("the plan is sound"), &one),
        ("hop, 8 slices", plan(hop, &columns).expect("the plan is sound"), &one),
        ("session", keyed::plan(&session, &columns).expect("the plan is sound"), &one),
        ("over, 8 rows", column(mean_of_minute()), &one),
        ("ewma", operator("ewma", &json!({"half_life": "30s"}), String::new()), &one),
        ("asof join", join(Pick::Last, None, Span::ZERO), &two),
        ("pid", loops_of(sensors), &polls(sensors, 2 * sensors).turns()),
    ];
    for (name, planned, turns) in cases {
        let operator = fed(&planned, turns);
        let saved = operator.snapshot().expect("state can be saved");
        for (verb, restores) in [("snapshot", false), ("restore", true)] {
            let mut group = criterion.benchmark_group(verb);
            group.throughput(Throughput::Elements(sensors as u64));
            if restores {
                let restore = |fresh: &mut Box<dyn lineside_operators::Operator>| fresh.restore(&saved);
                group.bench_function(name, |b| b.iter_batched_ref(&planned.build, restore, BatchSize::PerIteration));
            } else {
                group.bench_function(name, |b| b.iter(|| operator.snapshot()));
            }
            group.finish();
        }
    }
}
