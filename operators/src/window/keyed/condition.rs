//! Windows that start and stop on a condition: a batch of a furnace, a cycle of a press, the time a value is too high.
//!
//! A window starts with the first reading of a key for which the start condition holds. With a stop condition it lasts up to and
//! with the reading for which that holds; a reading for which both hold, while no window is open, is a window by itself. Without
//! a stop condition it lasts while the start condition holds, and the first reading for which it does not is outside. Readings
//! outside windows are counted as filtered. With a longest length, a window is cut there, and the next reading for which the start
//! condition holds starts another. A condition that is null does not hold. Late readings are counted and dropped.

use lineside_model::Span;
use serde::{Deserialize, Serialize};

use super::book::{Book, Closed};
use super::operator::{KeyWindows, Row};

/// How windows are made; the conditions themselves are columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    /// Whether there is a condition that stops; otherwise a window lasts while the start condition holds.
    pub(super) stops: bool,
    pub(super) max_size: Option<Span>,
}

/// The open window of a key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    slot: u32,
    start: i64,
    rows: u64,
}

impl Conditions {
    fn close(window: Open, key: u32, end: i64, book: &mut Book) {
        let Open { slot, start, rows } = window;
        book.close(Closed { key, slot, start, end }, rows, rows);
    }
}

impl KeyWindows for Conditions {
    type State = Option<Open>;
    const KIND: &str = "state window";

    fn row(&self, state: &mut Option<Open>, row: Row, book: &mut Book) -> Option<u32> {
        if self.due(state).is_some_and(|end| end <= row.time) {
            self.expire(state, row.key, book);
        }
        if !self.stops && !row.start {
            if let Some(window) = state.take() {
                Self::close(window, row.key, row.time, book);
            }
            return None;
        }
        if state.is_none() && row.start {
            *state = Some(Open { slot: book.open(), start: row.time, rows: 0 });
        }
        let window = state.as_mut()?;
        window.rows = window.rows.saturating_add(u64::from(row.kept));
        let window = *window;
        if self.stops && row.stop {
            *state = None;
            Self::close(window, row.key, row.time, book);
        }
        Some(window.slot)
    }

    fn due(&self, state: &Option<Open>) -> Option<i64> {
        Some(state.as_ref()?.start.saturating_add(self.max_size?.micros()))
    }

    fn bounds(&self, state: &Option<Open>) -> Option<(i64, i64)> {
        Some((state.as_ref()?.start, self.due(state)?))
    }

    fn expire(&self, state: &mut Option<Open>, key: u32, book: &mut Book) {
        if let Some(end) = self.due(state)
            && let Some(window) = state.take()
        {
            Self::close(window, key, end, book);
        }
    }

    fn slots(state: &mut Option<Open>) -> impl Iterator<Item = &mut u32> {
        state.iter_mut().map(|window| &mut window.slot)
    }

    fn rows(state: &Option<Open>) -> u64 {
        state.as_ref().map_or(0, |window| window.rows)
    }

    fn is_open(state: &Self::State) -> bool {
        state.is_some()
    }
}
