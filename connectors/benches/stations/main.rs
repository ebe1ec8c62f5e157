//! What a row costs on its way in and out: bytes to rows and rows to bytes in each format, files read and written, setpoints written
//! to a device. Elements are rows, so a rate of 10 Melem/s is 100 ns for each.
//!
//! `cargo bench -p lineside-connectors --bench stations -- decode` runs one station; `benches/baseline` has the medians of all of them
//! and says how a change moves them.

mod devices;
mod files;
mod messages;
mod readings;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = stations;
    config = Criterion::default().sample_size(10);
    targets = messages::decoding, messages::encoding, files::parsing, files::writing, devices::registers, devices::setpoints
}
criterion_main!(stations);
