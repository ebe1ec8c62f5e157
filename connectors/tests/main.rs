//! Every connector against a real peer, every codec against good and bad messages.

#![expect(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]
#![expect(clippy::needless_pass_by_value, reason = "options are written in place, as json!(…)")]

mod codecs;
mod mqtt;
