//! One control loop at work: which readings are samples, and when the controller holds.
//!
//! *When a sample counts.* A controller is made for one sample every `period`, in event time, and takes that many: readings
//! may come up to half a period early or any time late, but those that come faster on average are passed over
//! (`filtered`). A reading not newer than the last sample is `late`.
//!
//! *When it holds.* While the process variable or the setpoint is missing or bad (`bad_quality`), nothing is put out and
//! nothing is integrated: the output stays as it was last written, and the fail-safe of the output decides for how long
//! that is good enough. It goes on with the first good sample, also after a gap of more than three periods, from the same
//! integral and output and without a kick of the derivative; up to three periods, a gap is bridged as one sample. A
//! setpoint that comes from a sensor is good until that sensor sends a bad value.
//!
//! A value so large that the arithmetic overflows counts as `not_finite`, and the controller holds as well.

use lineside_model::{Quality, Reason, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::loop_table::{Loop, Setpoint};
use super::pid::{Pid, PidSample, PidState};
use crate::reading::Reading;

/// A gap of more periods than this is an outage.
const BRIDGED_PERIODS: i64 = 3;

/// One loop at work.
#[derive(Debug)]
pub struct Running {
    control: Loop,
    pid: Pid,
    sp: Option<(f64, Quality)>,
    sp_at: Option<Timestamp>,
    pv_at: Option<Timestamp>,
    /// When the next sample is expected.
    due: Option<Timestamp>,
}

/// What is saved of a loop.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoopState {
    /// The name of the loop.
    pub name: String,
    pid: PidState,
    sp: Option<(f64, Quality)>,
    sp_at: Option<Timestamp>,
    pv_at: Option<Timestamp>,
    due: Option<Timestamp>,
}

impl Running {
    /// A loop before its first sample.
    pub fn new(control: &Loop) -> Self {
        let sp = match control.sp {
            Setpoint::Fixed(value) => Some((value, Quality::Good)),
            Setpoint::Sensor(_) => None,
        };
        let pid = Pid::new(control.params);
        Self { control: control.clone(), pid, sp, sp_at: None, pv_at: None, due: None }
    }

    /// What it was made for.
    pub fn settings(&self) -> &Loop {
        &self.control
    }

    /// Takes a reading of the setpoint.
    ///
    /// # Errors
    /// Why it is of no use; a bad one makes the loop hold.
    pub fn setpoint(&mut self, reading: &Reading<'_>) -> Result<(), Reason> {
        if self.sp_at.is_some_and(|last| reading.ts < last) {
            return Err(Reason::Late);
        }
        self.sp_at = Some(reading.ts);
        self.sp = reading.value.map(|value| (value, reading.quality));
        self.sp.map(|_| ()).ok_or(Reason::BadQuality)
    }

    /// Takes a reading of the process variable: the setpoint that counts, the quality of both, what the controller says.
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn process_variable(&mut self, reading: &Reading<'_>) -> Result<(f64, Quality, PidSample), Reason> {
        if self.pv_at.is_some_and(|last| reading.ts <= last) {
            return Err(Reason::Late);
        }
        let (Some(pv), Some((sp, sp_quality))) = (reading.value, self.sp) else {
            self.pid.hold();
            return Err(Reason::BadQuality);
        };
        let half = Span(self.control.period.micros() / 2);
        let due = self.due.unwrap_or(reading.ts);
        if reading.ts < due - half {
            return Err(Reason::Filtered);
        }
        if self.pv_at.is_some_and(|last| self.is_outage(reading.ts.since(last))) {
            self.pid.hold();
        }
        let before = self.pid.state();
        let sample = self.pid.step(sp, pv);
        if !(sample.v.is_finite() && sample.i.is_finite()) {
            self.pid.resume(before);
            self.pid.hold();
            return Err(Reason::NotFinite);
        }
        self.pv_at = Some(reading.ts);
        self.due = Some(due.clamp(reading.ts - half, reading.ts + half) + self.control.period);
        Ok((sp, reading.quality.max(sp_quality), sample))
    }

    fn is_outage(&self, gap: Span) -> bool {
        gap.micros() > self.control.period.micros().saturating_mul(BRIDGED_PERIODS)
    }

    /// What has to be saved.
    pub fn state(&self) -> LoopState {
        LoopState {
            name: self.control.name.clone(),
            pid: self.pid.state(),
            sp: self.sp,
            sp_at: self.sp_at,
            pv_at: self.pv_at,
            due: self.due,
        }
    }

    /// Goes on from a saved state. A setpoint that is a number is the one of the table, not the saved one.
    pub fn resume(&mut self, state: &LoopState) {
        self.pid.resume(state.pid);
        if matches!(self.control.sp, Setpoint::Sensor(_)) {
            (self.sp, self.sp_at) = (state.sp, state.sp_at);
        }
        (self.pv_at, self.due) = (state.pv_at, state.due);
    }
}
