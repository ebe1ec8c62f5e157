//! Which rows of a key an aggregate takes in: its frame, which ends at the row itself and slides with it.
//!
//! | frame | takes in |
//! | --- | --- |
//! | `RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW` | rows at most a minute older, and all of the same time |
//! | `ROWS BETWEEN 9 PRECEDING AND CURRENT ROW` | the last ten rows |
//! | `RANGE UNBOUNDED PRECEDING`, or no frame | all up to the row, and all of its time |
//! | `ROWS UNBOUNDED PRECEDING` | all up to the row |
//!
//! Each row is added once and leaves once. A frame without end to the past keeps one running value and no rows.

use std::fmt::{self, Debug};

use arrow::array::ArrayRef;
use lineside_model::{Result, Span, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::column::{Column, Sorted, from_bytes, keep, to_bytes};
use super::{Arguments, Outcome};

/// Which rows before a row its aggregate takes in; `None`: all there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Those at most so much older, and all of the same time, also those that come after it.
    Range(Option<Span>),
    /// So many before it.
    Rows(Option<u64>),
}

impl Frame {
    /// Whether a row counts all rows of its time in.
    pub(super) fn has_peers(self) -> bool {
        matches!(self, Self::Range(_))
    }

    fn is_bounded(self) -> bool {
        !matches!(self, Self::Range(None) | Self::Rows(None))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(Some(Span::ZERO)) => write!(f, "the rows of the same time"),
            Self::Range(Some(span)) => write!(f, "the last {span}"),
            Self::Rows(Some(0)) => write!(f, "the row"),
            Self::Rows(Some(rows)) => write!(f, "the last {} rows", rows.saturating_add(1)),
            Self::Range(None) | Self::Rows(None) => write!(f, "all rows so far"),
        }
    }
}

/// One aggregate of the rows in a frame. `at` says where a row is: its time, or its number.
pub(super) trait Slide: Debug + Send + 'static {
    /// The word under which state is saved.
    const KIND: &'static str;
    /// The version of the layout of [`Slide::State`].
    const VERSION: u32;
    /// What it reads of each row.
    type Arguments: Arguments;
    /// The rows in the frame of one key, or what is known of them.
    type State: Default + Debug + Send + Serialize + DeserializeOwned;
    /// The result.
    type Value: Outcome;

    /// Takes a row in; if `leaves` is false it will never be asked to leave.
    fn add(state: &mut Self::State, at: i64, row: <Self::Arguments as Arguments>::Row<'_>, leaves: bool);

    /// Lets go of the rows before `at`.
    fn evict(state: &mut Self::State, at: i64);

    /// Whether it knows of no row.
    fn is_empty(state: &Self::State) -> bool;

    /// The result; `None` is null.
    fn value(state: &Self::State) -> Option<Self::Value>;
}

/// The frame of one key.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Framed<S> {
    /// How many rows there were.
    rows: i64,
    state: S,
}

/// An aggregate over the frames of all keys.
#[derive(Debug)]
pub(super) struct Sliding<S: Slide> {
    frame: Frame,
    keys: Vec<Framed<S::State>>,
}

impl<S: Slide> Sliding<S> {
    pub(super) fn new(frame: Frame) -> Self {
        Self { frame, keys: Vec::new() }
    }

    /// Takes a row in. What is too old for it leaves before, so that which partial results are made depends on the rows of
    /// the key alone, not on when others were forgotten.
    #[inline]
    fn add(&mut self, id: u32, time: i64, row: <S::Arguments as Arguments>::Row<'_>) {
        let key = &mut self.keys[id as usize];
        let at = if self.frame.has_peers() { time } else { key.rows };
        match self.frame {
            Frame::Range(Some(span)) => S::evict(&mut key.state, at.saturating_sub(span.micros())),
            Frame::Rows(Some(rows)) => S::evict(&mut key.state, at.saturating_sub_unsigned(rows)),
            Frame::Range(None) | Frame::Rows(None) => {}
        }
        S::add(&mut key.state, at, row, self.frame.is_bounded());
        key.rows = key.rows.saturating_add(1);
    }
}

impl<S: Slide> Column for Sliding<S> {
    fn kind(&self) -> (&'static str, u32) {
        (S::KIND, S::VERSION)
    }

    fn run(&mut self, rows: &Sorted<'_>) -> Result<ArrayRef> {
        let columns = S::Arguments::columns(rows.arguments)?;
        if self.keys.len() < rows.keys() {
            self.keys.resize_with(rows.keys(), || Framed { rows: 0, state: S::State::default() });
        }
        let mut values = S::Value::column(rows.ids.len());
        let mut start = 0;
        while start < rows.ids.len() {
            let peers = match self.frame.has_peers() {
                true => rows.times[start..].iter().take_while(|time| **time == rows.times[start]).count(),
                false => 1,
            };
            for row in start..start + peers {
                self.add(rows.ids[row], rows.times[row], S::Arguments::row(&columns, row));
            }
            for id in &rows.ids[start..start + peers] {
                S::Value::push(&mut values, S::value(&self.keys[*id as usize].state));
            }
            start += peers;
        }
        Ok(S::Value::finish(values))
    }

    fn forget(&mut self, key: usize, before: Timestamp) -> bool {
        let Some(Framed { rows, state }) = self.keys.get_mut(key) else { return true };
        if let Frame::Range(Some(span)) = self.frame {
            S::evict(state, (before - span).micros());
            S::is_empty(state)
        } else {
            *rows == 0
        }
    }

    fn retain(&mut self, keys: &[u32]) {
        keep(&mut self.keys, keys);
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.keys)
    }

    fn load(&mut self, bytes: &[u8], keys: usize) -> Result<()> {
        self.keys = from_bytes(bytes, keys, Vec::len)?;
        Ok(())
    }
}
