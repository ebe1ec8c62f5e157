//! Every connector against a real peer, every codec against good and bad messages.

#![expect(clippy::needless_pass_by_value, reason = "options are written in place, as json!(…)")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]

mod codecs;
mod csv_file;
mod double;
mod file;
mod kafka;
mod modbus;
mod mqtt;
