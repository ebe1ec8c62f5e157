//! Windows of time, counted naively: how many messages of each sensor are in each, and when they have to come out.

use std::collections::{BTreeMap, HashMap};

use lineside_model::{Span, Timestamp};

use crate::outcome::Account;

/// Windows that are open, and those that came out and are awaited.
#[derive(Debug)]
pub(crate) struct Windows {
    size: i64,
    slide: i64,
    disorder: i64,
    watermark: i64,
    /// By their end, then by sensor, how many messages.
    open: BTreeMap<i64, BTreeMap<u32, u64>>,
    awaited: HashMap<(u32, i64), u64>,
    expected: u64,
    arrived: u64,
    too_many: u64,
}

impl Windows {
    pub(crate) fn new(size: Span, slide: Span, disorder: Span) -> Self {
        Self {
            size: size.micros().max(1),
            slide: slide.micros().max(1),
            disorder: disorder.micros(),
            watermark: i64::MIN,
            open: BTreeMap::new(),
            awaited: HashMap::new(),
            expected: 0,
            arrived: 0,
            too_many: 0,
        }
    }

    /// Counts a message into its windows and moves the watermark; whether it was in time for any of them.
    pub(crate) fn take(&mut self, sensor: u32, ts: Timestamp) -> bool {
        let ts = ts.micros();
        let mut in_time = false;
        // The first window that ends behind it, and those that begin before it.
        let mut start = ts.div_euclid(self.slide) * self.slide;
        while start + self.size > ts {
            let end = start + self.size;
            if end > self.watermark {
                *self.open.entry(end).or_default().entry(sensor).or_default() += 1;
                in_time = true;
            }
            start -= self.slide;
        }
        self.watermark = self.watermark.max(ts - self.disorder);
        in_time
    }

    /// Those that the watermark has closed: sensor and end.
    pub(crate) fn close(&mut self) -> Vec<(u32, Timestamp)> {
        let mut closed = Vec::new();
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() <= self.watermark) {
            let (end, sensors) = first.remove_entry();
            for (sensor, count) in sensors {
                self.expected += count;
                self.awaited.insert((sensor, end), count);
                closed.push((sensor, Timestamp(end)));
            }
        }
        closed
    }

    /// A window came out with so many messages in it.
    pub(crate) fn came(&mut self, sensor: u32, end: Timestamp, count: u64) {
        let wanted = self.awaited.remove(&(sensor, end.micros())).unwrap_or(0);
        self.arrived += wanted.min(count);
        self.too_many += count.saturating_sub(wanted);
    }

    /// The balance of messages in windows; one that is in several windows counts in each.
    pub(crate) fn account(&self, told: &BTreeMap<String, u64>) -> Account {
        let missing = self.expected - self.arrived;
        Account {
            expected: self.expected,
            arrived: self.arrived,
            lost: missing.saturating_sub(told.values().sum()),
            dropped: told.clone(),
            duplicates: self.too_many,
            reordered: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn a_window_comes_out_when_the_watermark_reaches_its_end() {
        let mut windows = Windows::new(Span(S), Span(S), Span(S / 10));
        assert!(windows.take(1, Timestamp(0)));
        assert!(windows.take(2, Timestamp(S - 1)));
        assert!(windows.take(1, Timestamp(S + S / 10 - 1)));
        assert!(windows.close().is_empty());
        assert!(windows.take(1, Timestamp(S + S / 10)));
        assert_eq!(windows.close(), [(1, Timestamp(S)), (2, Timestamp(S))]);
        assert!(!windows.take(1, Timestamp(S - 1)), "it is behind its window");
    }

    #[test]
    fn a_message_is_in_each_window_that_overlaps_it() {
        let mut windows = Windows::new(Span(3 * S), Span(S), Span::ZERO);
        windows.take(1, Timestamp(10 * S));
        windows.take(1, Timestamp(13 * S));
        assert_eq!(windows.close(), [(1, Timestamp(11 * S)), (1, Timestamp(12 * S)), (1, Timestamp(13 * S))]);
    }

    #[test]
    fn messages_that_are_missing_in_a_window_are_told() {
        let mut windows = Windows::new(Span(S), Span(S), Span::ZERO);
        for micros in 0..5 {
            windows.take(1, Timestamp(micros));
        }
        windows.take(1, Timestamp(S));
        assert_eq!(windows.close().len(), 1);
        windows.came(1, Timestamp(S), 3);
        let account = windows.account(&BTreeMap::from([("overflow".to_owned(), 1)]));
        assert_eq!((account.expected, account.arrived, account.lost), (5, 3, 1));
    }
}
