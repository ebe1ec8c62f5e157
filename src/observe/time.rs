//! What holds time back: for each operator its oldest open window and the input it waits for, for each source the sensor that
//! holds its watermark and those that do not take part. The table `system.watermarks` and the reports are made of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lineside_model::Timestamp;
use serde::Serialize;

/// What one sensor is to the watermark of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorState {
    /// The watermark waits for it.
    Holds,
    /// Nothing came from it for too long; nobody waits for it.
    Silent,
    /// Its readings are too far behind those of most others; nobody waits for it.
    Behind,
    /// Its clock is too far ahead; its readings are in quarantine.
    Ahead,
}

impl SensorState {
    /// The word in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
        }
    }
}

/// One sensor of a source in which each has a time of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SensorTime {
    /// Its name.
    pub sensor: String,
    /// What it is to the watermark.
    pub state: SensorState,
    /// Its newest event time.
    pub newest: Timestamp,
    /// The clock when it was heard last.
    pub heard_at: Timestamp,
}

/// A window that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OpenWindow {
    /// The moment at which it closes once the watermark is there.
    pub end: Timestamp,
    /// Its first moment.
    pub start: Timestamp,
}

/// What one meter was told about time.
#[derive(Debug)]
pub struct HeldTime {
    /// The oldest open window of each worker.
    windows: Mutex<BTreeMap<usize, OpenWindow>>,
    workers: AtomicUsize,
    /// The input of an operator, by port, whose watermark is the least.
    held_by: AtomicUsize,
    sensors: Mutex<Vec<SensorTime>>,
    heard_at: AtomicI64,
}

impl Default for HeldTime {
    fn default() -> Self {
        Self {
            windows: Mutex::default(),
            workers: AtomicUsize::new(0),
            held_by: AtomicUsize::new(0),
            sensors: Mutex::default(),
            heard_at: AtomicI64::new(i64::MIN),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What was told is as good after a panic elsewhere as before.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HeldTime {
    /// A number for one worker's copy of an operator.
    pub fn join(&self) -> usize {
        self.workers.fetch_add(1, Relaxed)
    }

    /// The oldest open window of one worker's copy is another one now, or there is none.
    pub fn set_window(&self, worker: usize, window: Option<OpenWindow>) {
        match window {
            Some(window) => locked(&self.windows).insert(worker, window),
            None => locked(&self.windows).remove(&worker),
        };
    }

    /// The oldest window that is open on any worker.
    pub fn window(&self) -> Option<OpenWindow> {
        locked(&self.windows).values().min().copied()
    }

    /// The operator waits for its input of this number.
    pub fn set_held_by(&self, port: usize) {
        self.held_by.store(port, Relaxed);
    }

    /// The input that the operator waits for.
    pub fn held_by(&self) -> usize {
        self.held_by.load(Relaxed)
    }

    /// What a source knows of its sensors, and when rows came last.
    pub fn set_sensors(&self, sensors: Vec<SensorTime>) {
        *locked(&self.sensors) = sensors;
    }

    /// The sensor that holds the watermark of a source, and those that do not take part.
    pub fn sensors(&self) -> Vec<SensorTime> {
        locked(&self.sensors).clone()
    }

    /// Rows of a source came last at this time of the clock.
    pub fn set_heard_at(&self, at: Timestamp) {
        self.heard_at.store(at.0, Relaxed);
    }

    /// When rows of a source came last.
    pub fn heard_at(&self) -> Option<Timestamp> {
        Some(Timestamp(self.heard_at.load(Relaxed))).filter(|at| *at > Timestamp::MIN)
    }
}
