//! Queries over text tables: what comes out, and what is refused and where.

mod aggregates;
mod harness;
mod joins;
mod keyed;
mod over;
mod refused;
mod select;
mod signals;
mod time_windows;
mod windows;
