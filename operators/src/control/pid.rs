//! The PID controller itself: one sample in, one output, no time and no rows.
//!
//! The discrete form is positional. At each sample, a fixed time `Ts` apart, with `s = +1` for reverse action (heating: too
//! cold means more) and `s = −1` for direct action (cooling):
//!
//! ```text
//! e = s·(sp − pv)
//! P = Kp·s·(b·sp − pv)                                  b weighs the setpoint: below 1, a step of it kicks less
//! D = Tf/(Tf+Ts)·D' − Kd/(Tf+Ts)·s·(pv − pv')           on the measurement, so a setpoint step never kicks it; filtered
//! I = I' + Ki·Ts·e
//! v = P + I + D + bias
//! u = v clamped to [u_min, u_max], then slewed to within −rate_down·Ts … +rate_up·Ts of the last u
//! ```
//!
//! Anti-windup works with the `u` that is really put out: see [`AntiWindup`]. `D` is 0 at the first sample. The values are
//! expected to be finite; what to do with bad ones is decided by the caller, who can [hold](Pid::hold).

use serde::{Deserialize, Serialize};

/// Which way the output acts on the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// More output raises the measured value: heating.
    Reverse,
    /// More output lowers the measured value: cooling.
    Direct,
}

/// What keeps the integral from running away while the output is at a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AntiWindup {
    /// Nothing.
    None,
    /// Conditional integration: the integral stands still while integrating would drive further into the limit.
    Clamp,
    /// Back-calculation: the integral is led back by what was cut off.
    BackCalc {
        /// Tracking time in seconds: how fast it is led back.
        tt_s: f64,
    },
}

/// Settings of one controller. Times in seconds, rates per second; gains in output units per unit of the measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PidParams {
    /// Ts, the time between samples.
    pub ts_s: f64,
    /// Kp.
    pub kp: f64,
    /// Ki, per second.
    pub ki: f64,
    /// Kd, seconds.
    pub kd: f64,
    /// Tf, the time constant of the filter on the derivative; 0: none.
    pub tf_s: f64,
    /// b, the weight of the setpoint in the proportional part.
    pub b: f64,
    /// Added to the output: the output that holds the process where it usually stands.
    pub bias: f64,
    /// Least output.
    pub u_min: f64,
    /// Greatest output.
    pub u_max: f64,
    /// Fastest rise of the output; infinite: any.
    pub rate_up: f64,
    /// Fastest fall of the output; infinite: any.
    pub rate_down: f64,
    /// What keeps the integral from running away.
    pub anti_windup: AntiWindup,
    /// Which way the output acts.
    pub action: Action,
    /// The integral before the first sample.
    pub i0: f64,
    /// The output before the first sample, from which it is slewed.
    pub u0: f64,
}

/// What a controller remembers from one sample to the next, and what has to be saved to go on later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PidState {
    i: f64,
    d: f64,
    pv: Option<f64>,
    u: f64,
}

/// One sample of a controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PidSample {
    /// Control error; with direct action the sign is turned, so that a positive error always asks for more output.
    pub e: f64,
    /// Proportional part.
    pub p: f64,
    /// Integral part as it is kept, after anti-windup.
    pub i: f64,
    /// Derivative part.
    pub d: f64,
    /// Output before clamp and slew.
    pub v: f64,
    /// Output.
    pub u: f64,
}

/// A PID controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Pid {
    params: PidParams,
    state: PidState,
}

impl Pid {
    /// A controller before its first sample.
    pub fn new(params: PidParams) -> Self {
        Self { params, state: PidState { i: params.i0, d: 0.0, pv: None, u: params.u0 } }
    }

    /// Takes a sample. The order of the operations is part of the contract: results are compared bit by bit.
    pub fn step(&mut self, sp: f64, pv: f64) -> PidSample {
        let PidParams { ts_s: ts, kp, ki, kd, tf_s: tf, .. } = self.params;
        let state = &mut self.state;
        let s = match self.params.action {
            Action::Reverse => 1.0,
            Action::Direct => -1.0,
        };
        let e = s * (sp - pv);
        let p = kp * s * (self.params.b * sp - pv);
        if let Some(before) = state.pv {
            state.d = tf / (tf + ts) * state.d - kd / (tf + ts) * s * (pv - before);
        }
        let i = state.i + ki * ts * e;
        let v = p + i + state.d + self.params.bias;
        let clamped = v.max(self.params.u_min).min(self.params.u_max);
        let u = clamped.max(state.u - self.params.rate_down * ts).min(state.u + self.params.rate_up * ts);
        let deeper = (v > u && ki * e > 0.0) || (v < u && ki * e < 0.0);
        state.i = match self.params.anti_windup {
            AntiWindup::Clamp if deeper => state.i,
            AntiWindup::None | AntiWindup::Clamp => i,
            AntiWindup::BackCalc { tt_s } => i + ts / tt_s * (u - v),
        };
        state.pv = Some(pv);
        state.u = u;
        PidSample { e, p, i: state.i, d: state.d, v, u }
    }

    /// The measurement was lost. Integral and output stay; the derivative starts anew with the next sample, so that what
    /// the process did meanwhile does not kick it. The integral is deliberately not recomputed to keep the output where it
    /// was: if the process ran away meanwhile, the proportional part must act at once.
    pub fn hold(&mut self) {
        self.state.pv = None;
        self.state.d = 0.0;
    }

    /// What has to be saved.
    pub fn state(&self) -> PidState {
        self.state
    }

    /// Goes on from a saved state. If the limits are narrower than they were, the output starts from the nearer one, so that
    /// the slew limit cannot keep it outside.
    pub fn resume(&mut self, state: PidState) {
        self.state = PidState { u: state.u.max(self.params.u_min).min(self.params.u_max), ..state };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kp 2, Ki 0.5, Kd 1, Tf 1, Ts 1, output 0..2.
    const PAPER: PidParams = PidParams {
        ts_s: 1.0,
        kp: 2.0,
        ki: 0.5,
        kd: 1.0,
        tf_s: 1.0,
        b: 1.0,
        bias: 0.0,
        u_min: 0.0,
        u_max: 2.0,
        rate_up: f64::INFINITY,
        rate_down: f64::INFINITY,
        anti_windup: AntiWindup::Clamp,
        action: Action::Reverse,
        i0: 0.0,
        u0: 0.0,
    };

    /// Two samples that can be followed on paper.
    #[test]
    fn a_saturated_controller_does_not_integrate() {
        let mut pid = Pid::new(PAPER);
        assert_eq!(pid.step(1.0, 0.0), PidSample { e: 1.0, p: 2.0, i: 0.0, d: 0.0, v: 2.5, u: 2.0 });
        assert_eq!(pid.step(1.0, 0.5), PidSample { e: 0.5, p: 1.0, i: 0.25, d: -0.25, v: 1.0, u: 1.0 });
    }

    #[test]
    fn a_resumed_controller_keeps_to_limits_that_were_narrowed() {
        let mut pid = Pid::new(PAPER);
        assert_eq!(pid.step(1.0, 0.0).u, 2.0);
        let mut narrower = Pid::new(PidParams { u_max: 1.0, rate_down: 0.1, ..PAPER });
        narrower.resume(pid.state());
        assert_eq!(narrower.step(1.0, 0.0).u, 1.0);
    }
}
