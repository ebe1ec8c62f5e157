//! Wired operators: which worker has which nodes, who hands to whom, and the worker itself.
//!
//! A [`Layout`] says what runs together: objects of the plan that are connected form a component, a component has one or more
//! workers, and each worker owns a copy of the component's operators for its share of the keys. A [`Worker`] is a
//! single-threaded state machine: it is given one message and pushes it through its operators by function calls until nothing
//! follows. Lanes drive it in production, a seeded simulator drives it in tests; it is the same code.

mod exchange;
mod gathering;
mod layout;
mod message;
mod slot;
mod wiring;
mod worker;

pub use exchange::Exchange;
pub use layout::{Component, Layout, Sharing, Stage};
pub use message::{Barrier, Batch, Ending, Handover, Message, Watermark};
pub use worker::{Outbox, Worker};
