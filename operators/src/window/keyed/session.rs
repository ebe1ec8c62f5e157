//! Sessions: readings of a key that follow each other without a pause, such as the time a machine runs.
//!
//! A session ends when no reading comes for longer than the gap; one that comes exactly a gap after the last still belongs to
//! it. With a longest length, a reading at or beyond it starts a new session, so that a sensor that never pauses has windows,
//! too. A reading behind the watermark joins the session that is still open around it; if there is none it is late.

use lineside_model::Span;
use serde::{Deserialize, Serialize};

use super::book::{Book, Closed};
use super::operator::{KeyWindows, Row};

/// How sessions are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sessions {
    pub(super) gap: Span,
    pub(super) max_size: Option<Span>,
}

/// The open session of a key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    slot: u32,
    start: i64,
    last: i64,
    rows: u64,
}

impl Sessions {
    /// Where the session ends if no more readings come.
    fn end(&self, start: i64, last: i64) -> i64 {
        let longest = self.max_size.map_or(i64::MAX, |size| start.saturating_add(size.micros()));
        last.saturating_add(self.gap.micros()).min(longest)
    }

    /// Whether readings from `start` to `last` are not too far apart for one session.
    fn fits(&self, start: i64, last: i64) -> bool {
        self.max_size.is_none_or(|size| last.saturating_sub(start) < size.micros())
    }

    fn close(&self, session: Session, key: u32, book: &mut Book) {
        let Session { slot, start, last, rows } = session;
        book.close(Closed { key, slot, start, end: self.end(start, last) }, rows, rows);
    }
}

impl KeyWindows for Sessions {
    type State = Option<Session>;
    const KIND: &str = "session";

    fn row(&self, state: &mut Option<Session>, row: Row, book: &mut Book) -> Option<u32> {
        if let Some(session) = state {
            if row.time.saturating_sub(session.last) <= self.gap.micros() && self.fits(session.start, row.time) {
                session.last = row.time;
                session.rows = session.rows.saturating_add(u64::from(row.kept));
                return Some(session.slot);
            }
            self.close(*session, row.key, book);
        }
        let session = Session { slot: book.open(), start: row.time, last: row.time, rows: u64::from(row.kept) };
        *state = Some(session);
        Some(session.slot)
    }

    fn late(&self, state: &mut Option<Session>, row: Row, watermark: i64, book: &mut Book) -> Option<u32> {
        let Some(session) = state else {
            let open = self.due(&Some(Session { slot: 0, start: row.time, last: row.time, rows: 0 }));
            return if open.is_some_and(|due| due > watermark) { self.row(state, row, book) } else { None };
        };
        let (start, last) = (session.start.min(row.time), session.last.max(row.time));
        // Before the session, as the last was closed when the watermark passed it; or in it.
        if session.start.saturating_sub(start) > self.gap.micros() || !self.fits(start, last) {
            return None;
        }
        // A session of a longest length ends earlier if it starts earlier; what was over by then is not opened again.
        let longer = Session { start, last, ..*session };
        if self.due(&Some(longer)).is_some_and(|due| due <= watermark) {
            return None;
        }
        *session = longer;
        session.rows = session.rows.saturating_add(u64::from(row.kept));
        Some(session.slot)
    }

    fn due(&self, state: &Option<Session>) -> Option<i64> {
        // A reading at the end of the gap is still of the session, one at the longest length is not.
        let session = state.as_ref()?;
        let longest = self.max_size.map_or(i64::MAX, |size| session.start.saturating_add(size.micros()));
        Some(session.last.saturating_add(self.gap.micros()).saturating_add(1).min(longest))
    }

    fn bounds(&self, state: &Option<Session>) -> Option<(i64, i64)> {
        state.as_ref().map(|session| (session.start, self.end(session.start, session.last)))
    }

    fn bounds_of(&self, time: i64) -> (i64, i64) {
        (time, self.end(time, time))
    }

    fn expire(&self, state: &mut Option<Session>, key: u32, book: &mut Book) {
        if let Some(session) = state.take() {
            self.close(session, key, book);
        }
    }

    fn slots(state: &mut Option<Session>) -> impl Iterator<Item = &mut u32> {
        state.iter_mut().map(|session| &mut session.slot)
    }

    fn rows(state: &Option<Session>) -> u64 {
        state.as_ref().map_or(0, |session| session.rows)
    }

    fn is_open(state: &Self::State) -> bool {
        state.is_some()
    }
}
