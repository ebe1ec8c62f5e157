//! What has to come out of the engine, worked out a second time and in the plainest way from the same messages.
//!
//! The schedule of a feed is made from its seed, so it can be made twice: the feeder sends one copy, the books follow the
//! other, and the two share nothing. An answer is due when the message was due that calls for it; that of a window, when the
//! message was due that moves the watermark to its end.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::time::Duration;

use lineside_model::{Reason, Span, Timestamp};
use serde::Deserialize;

use super::windows::Windows;
use super::{Answer, Lateness, Ledger};
use crate::outcome::Account;
use crate::synthetic::{Kind, Message};

/// What the engine may say of a message that nobody can read.
const SPOILT: [Reason; 4] = [Reason::Malformed, Reason::NotUtf8, Reason::WrongType, Reason::Empty];

/// What the pipeline makes of the messages of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// Each message comes out again, by its number `n`.
    Each {},
    /// Each message above a value comes out, by its number `n`.
    Above {
        /// The value.
        limit: f64,
    },
    /// The operator `alarm` with `high` and `hysteresis`: an event when a sensor goes beyond the limit and when it is back.
    Alarm {
        /// Raised above this value.
        high: f64,
        /// How far the value must come back to clear. Default 0.
        #[serde(default)]
        hysteresis: f64,
    },
    /// A row for each sensor and window, with `window_end` and the number of messages in it as `n`.
    Windows {
        /// How long a window is.
        size: Span,
        /// How often one begins. Default: the size.
        slide: Option<Span>,
        /// The disorder that the source allows.
        disorder: Span,
    },
}

impl Expect {
    /// Whether it asks for windows that there cannot be.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            Self::Windows { size, slide, .. } => *size <= Span::ZERO || slide.is_some_and(|slide| slide <= Span::ZERO),
            Self::Each {} | Self::Above { .. } | Self::Alarm { .. } => false,
        }
    }
}

/// Tells one answer from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Number(u64),
    Event { sensor: u32, ts: Timestamp, raised: bool },
    Window { sensor: u32, end: Timestamp },
}

/// The schedule of a feed.
type Messages = Box<dyn Iterator<Item = Message> + Send>;

/// The books over what a pipeline makes of a feed.
pub struct Expected {
    expect: Expect,
    messages: Peekable<Messages>,
    /// The sensors by their names, where those do not end in their numbers.
    names: Option<HashMap<String, u32>>,
    ledger: Ledger<Key>,
    alarms: HashMap<u32, AlarmState>,
    windows: Windows,
    /// Messages that are to be left out: those that cannot be read, and those that are too late.
    spoilt: u64,
    late: u64,
    strange: u64,
}

#[derive(Debug)]
struct AlarmState {
    last: Timestamp,
    raised: bool,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").field("expect", &self.expect).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Expected {
    /// Books over these messages, in the order in which they are due.
    pub fn new(
        expect: Expect,
        messages: impl Iterator<Item = Message> + Send + 'static,
        measured_from: Duration,
    ) -> Self {
        let (size, slide, disorder) = match expect {
            Expect::Windows { size, slide, disorder } => (size, slide.unwrap_or(size), disorder),
            Expect::Each {} | Expect::Above { .. } | Expect::Alarm { .. } => (Span(1), Span(1), Span::ZERO),
        };
        let messages: Messages = Box::new(messages);
        Self {
            expect,
            messages: messages.peekable(),
            names: None,
            ledger: Ledger::new(measured_from),
            alarms: HashMap::new(),
            windows: Windows::new(size, slide, disorder),
            spoilt: 0,
            late: 0,
            strange: 0,
        }
    }

    /// With sensors of these names, by their numbers; by default a name ends in its number.
    #[must_use]
    pub fn named(mut self, names: Option<Vec<String>>) -> Self {
        self.names = names.map(|names| names.into_iter().zip(0..).collect());
        self
    }

    /// Takes in all messages that are due so long after the start.
    pub fn until(&mut self, at: Duration) {
        while let Some(message) = self.messages.next_if(|message| message.due <= at) {
            self.take(&message);
        }
    }

    /// An answer came so long after the start.
    pub fn arrive(&mut self, answer: &Answer<'_>, at: Duration) {
        self.until(at);
        let Some(key) = self.key(answer) else {
            self.strange += 1;
            return;
        };
        if self.ledger.arrive(&key, at)
            && let Key::Window { sensor, end } = key
        {
            self.windows.came(sensor, end, answer.n.unwrap_or(0));
        }
    }

    /// Messages from the engine that are not the answer to anything: no JSON, or without the columns that are expected.
    pub fn strange(&self) -> u64 {
        self.strange
    }

    /// How many answers came so far.
    pub fn arrived(&self) -> u64 {
        self.ledger.arrived()
    }

    /// How many answers are still awaited.
    pub fn missing(&self) -> u64 {
        self.ledger.missing()
    }

    /// How late they were.
    pub fn lateness(&self) -> &Lateness {
        self.ledger.lateness()
    }

    /// The balance when nothing more will come. `told` is what the engine says it left out, by reason: what it was to leave
    /// out (a message that is spoilt, a reading behind its windows) is not part of it.
    pub fn account(&self, told: &BTreeMap<String, u64>) -> Account {
        let told = self.beyond_what_was_due(told);
        if matches!(self.expect, Expect::Windows { .. }) {
            // What is left out is readings; of windows none may be missing.
            return self.ledger.account(&BTreeMap::new());
        }
        self.ledger.account(&told)
    }

    /// The balance of readings in windows, where there are windows.
    pub fn readings(&self, told: &BTreeMap<String, u64>) -> Option<Account> {
        let told = self.beyond_what_was_due(told);
        matches!(self.expect, Expect::Windows { .. }).then(|| self.windows.account(&told))
    }

    fn beyond_what_was_due(&self, told: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut beyond = told.clone();
        let mut take = |reason: Reason, due: &mut u64| {
            if let Some(count) = beyond.get_mut(reason.word()) {
                let taken = (*count).min(*due);
                *count -= taken;
                *due -= taken;
            }
        };
        let (mut spoilt, mut late) = (self.spoilt, self.late);
        SPOILT.iter().for_each(|reason| take(*reason, &mut spoilt));
        take(Reason::Late, &mut late);
        beyond.retain(|_, count| *count > 0);
        beyond
    }

    fn take(&mut self, message: &Message) {
        let Message { number, due, sensor, ts, value, kind } = *message;
        if matches!(kind, Kind::Bad) {
            self.spoilt += 1;
            return;
        }
        match self.expect {
            Expect::Each {} => self.ledger.expect(Key::Number(number), sensor, due),
            Expect::Above { limit } if value > limit => self.ledger.expect(Key::Number(number), sensor, due),
            Expect::Above { .. } => {}
            Expect::Alarm { high, hysteresis } => {
                let state = self.alarms.entry(sensor).or_insert(AlarmState { last: Timestamp::MIN, raised: false });
                if ts < state.last {
                    self.late += 1;
                    return;
                }
                state.last = ts;
                let turns = if state.raised { value <= high - hysteresis } else { value > high };
                if turns {
                    state.raised = !state.raised;
                    self.ledger.expect(Key::Event { sensor, ts, raised: state.raised }, sensor, due);
                }
            }
            Expect::Windows { .. } => {
                if !self.windows.take(sensor, ts) {
                    self.late += 1;
                }
                for (sensor, end) in self.windows.close() {
                    self.ledger.expect(Key::Window { sensor, end }, sensor, due);
                }
            }
        }
    }

    fn key(&self, answer: &Answer<'_>) -> Option<Key> {
        let sensor = || answer.sensor.as_ref()?.number(self.names.as_ref());
        Some(match self.expect {
            Expect::Each {} | Expect::Above { .. } => Key::Number(answer.n?),
            Expect::Alarm { .. } => {
                let raised = match answer.event.as_deref()? {
                    "raised" => true,
                    "cleared" => false,
                    _ => return None,
                };
                Key::Event { sensor: sensor()?, ts: Timestamp(answer.ts?), raised }
            }
            Expect::Windows { .. } => Key::Window { sensor: sensor()?, end: Timestamp(answer.window_end?) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sensor;

    const MS: Duration = Duration::from_millis(1);

    /// Messages of two sensors in turn, one a millisecond, with values 0, 1, 2 and so on.
    fn messages(count: u64) -> impl Iterator<Item = Message> + Send {
        (0..count).map(|number| Message {
            number,
            due: MS * number as u32,
            sensor: (number % 2) as u32,
            ts: Timestamp(number as i64 * 1_000),
            value: number as f64,
            kind: if number == 5 { Kind::Bad } else { Kind::Good },
        })
    }

    fn books(expect: Expect, count: u64) -> Expected {
        Expected::new(expect, messages(count), Duration::ZERO)
    }

    fn balance(books: &mut Expected, told: &[(&str, u64)]) -> (u64, u64, u64, u64) {
        books.until(Duration::MAX);
        let told = told.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        let account = books.account(&told);
        (account.expected, account.arrived, account.lost, account.dropped.values().sum())
    }

    fn number(n: u64) -> Answer<'static> {
        Answer { n: Some(n), ..Answer::default() }
    }

    #[test]
    fn a_message_that_nobody_can_read_is_not_expected() {
        let mut books = books(Expect::Each {}, 10);
        (0..10).filter(|n| *n != 5).for_each(|n| books.arrive(&number(n), MS * 20));
        assert_eq!(balance(&mut books, &[("not_utf8", 1)]), (9, 9, 0, 0));
    }

    #[test]
    fn only_what_is_above_the_limit_is_expected() {
        let mut books = books(Expect::Above { limit: 6.0 }, 10);
        [7, 8].into_iter().for_each(|n| books.arrive(&number(n), MS * 20));
        assert_eq!(balance(&mut books, &[("malformed", 1)]), (3, 2, 1, 0));
        books.arrive(&Answer::default(), MS * 20);
        assert_eq!(books.strange(), 1);
    }

    #[test]
    fn an_alarm_is_raised_and_cleared() {
        let values = [1.0, 9.0, 9.5, 8.5, 7.0, 9.0];
        let messages = values.into_iter().enumerate().map(|(at, value)| Message {
            number: at as u64,
            ts: Timestamp(at as i64),
            value,
            ..Message::default()
        });
        let mut books = Expected::new(Expect::Alarm { high: 8.0, hysteresis: 1.0 }, messages, Duration::ZERO);
        for (ts, event) in [(1, "raised"), (4, "cleared"), (5, "raised")] {
            let event = Some(event.into());
            books.arrive(&Answer { sensor: Some(Sensor::Number(0)), ts: Some(ts), event, ..Answer::default() }, MS);
        }
        assert_eq!(balance(&mut books, &[]), (3, 3, 0, 0));
    }

    #[test]
    fn a_window_is_due_with_the_message_that_closes_it() {
        let expect = Expect::Windows { size: Span::from_millis(10), slide: None, disorder: Span::from_millis(2) };
        let mut books = books(expect, 25);
        let window = |sensor, n| Answer {
            sensor: Some(Sensor::Number(sensor)),
            window_end: Some(10_000),
            n: Some(n),
            ..Answer::default()
        };
        // Message 12 closes the window; its answers came 3 ms and 4 ms later. One reading of the second sensor is missing.
        books.arrive(&window(0, 5), MS * 15);
        books.arrive(&window(1, 3), MS * 16);
        assert_eq!(balance(&mut books, &[("malformed", 1)]), (4, 2, 2, 0));
        let latency = books.lateness().latency();
        assert!((latency.max - 4_000.0).abs() < 5.0, "{} µs", latency.max);
        let readings = books.readings(&BTreeMap::new()).expect("there are windows");
        assert_eq!((readings.expected, readings.arrived, readings.lost), (19, 8, 11));
    }
}
