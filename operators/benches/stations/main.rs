//! What a reading costs at each station that computes: windows of each kind, `OVER`, signals, loops, joins, and what it costs to save
//! and restore their state. Elements are readings, or keys where state is saved, so a rate of 10 Melem/s is 100 ns for each.
//!
//! `cargo bench -p lineside-operators --bench stations -- join` runs one station; `benches/baseline` has the medians of all of them and
//! says how a change moves them. What the window core does with more sensors and with more overlap is in `benches/windows.rs`.

mod control;
mod feed;
mod joins;
mod over;
mod signals;
mod snapshots;
mod windows;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = stations;
    config = Criterion::default().sample_size(10);
    targets = windows::kinds, over::frames, over::ranks, signals::operators, control::loops, joins::of_streams, joins::with_tables,
        snapshots::states
}
criterion_main!(stations);
