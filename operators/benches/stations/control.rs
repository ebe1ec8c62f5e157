//! PID loops: what a reading costs from the process variable to the output row, with one loop, a hundred and ten thousand.
//!
//! Readings come as from a poll, each loop once, so the case of one loop is that of one row by itself: nearly all of it is the making
//! of a batch. The last case is one loop that looks for its sensor among a thousand others.

use std::fmt::Write;

use criterion::Criterion;
use lineside_model::Span;
use lineside_operators::PlannedOperator;
use serde_json::json;

use crate::feed::{BATCH_ROWS, Feed, name, size, time};
use crate::signals::operator;

/// A loop for each of the first `loops` sensors.
pub(crate) fn loops_of(loops: usize) -> PlannedOperator {
    let mut table = "loop,pv,out,sp,period,kp,ki,kd,tf,u_min,u_max\n".to_owned();
    for n in 0..loops {
        let pv = name(n);
        writeln!(table, "zone{n},{pv},oven{n}.power,170,1s,2.0,0.05,4,2,0,100").expect("a string takes all");
    }
    operator("pid", &json!({"table": "loops.csv"}), table)
}

/// Polls of so many sensors, in order.
pub(crate) fn polls(sensors: usize, rows: usize) -> Feed {
    Feed { sensors, rows, batch_rows: sensors.min(BATCH_ROWS), disorder: Span::ZERO, silent: Span::ZERO }
}

/// Every reading is a sample of a loop.
pub(crate) fn loops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pid");
    for (loops, rows) in [(1, 2_000), (100, 100_000), (10_000, 400_000)] {
        let turns = polls(loops, size(rows)).turns();
        time(&mut group, &loops.to_string(), &loops_of(loops), &turns);
    }
    time(&mut group, "1 among 1000 sensors", &loops_of(1), &polls(1_000, size(400_000)).turns());
    group.finish();
}
