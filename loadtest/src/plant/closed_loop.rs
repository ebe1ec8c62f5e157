//! The demo in simulated time: the example's loop table holds the three ovens where it should, whatever the noise.

use std::collections::HashMap;

use lineside_model::Timestamp;

use super::line::Line;
use super::script::{Script, Trouble};
use super::{OvenState, PlantOptions};

/// The example polls temperatures this often.
const POLL_S: f64 = 0.1;
/// The windows of the example; the first poll after its end closes one.
const WINDOW_S: f64 = 1.0;

/// One row of the loop table: a PI controller in standard form with conditional integration.
struct Loop {
    sp: f64,
    kp: f64,
    ti: f64,
    bias: f64,
    integral: f64,
}

impl Loop {
    fn all() -> Vec<Self> {
        let mut lines = include_str!("../../../examples/oven-line/loops.csv").lines().map(|line| line.split(','));
        let header = lines.next().expect("a header").collect::<Vec<_>>();
        lines
            .map(|cells| {
                let row = header.iter().copied().zip(cells).collect::<HashMap<_, _>>();
                assert_eq!((row["form"], row["period"], row["anti_windup"]), ("standard", "1s", "clamp"));
                let number = |name: &str| row[name].parse::<f64>().expect("a number");
                Self { sp: number("sp"), kp: number("kp"), ti: number("ti"), bias: number("bias"), integral: 0.0 }
            })
            .collect()
    }

    fn step(&mut self, pv: f64) -> f64 {
        let error = self.sp - pv;
        let integral = self.integral + self.kp / self.ti * WINDOW_S * error;
        let wanted = self.kp * error + integral + self.bias;
        let output = wanted.clamp(0.0, 100.0);
        if (wanted - output) * error <= 0.0 {
            self.integral = integral;
        }
        output
    }
}

/// Runs the line for so many seconds, engine included; tells the state of the ovens at each poll.
fn run(seed: u64, first_poll_s: f64, seconds: f64, mut see: impl FnMut(f64, &[OvenState])) {
    let scale = PlantOptions::default().time_scale;
    let mut line = Line::new(scale, f64::INFINITY, seed, Script::every_minute(seed));
    let mut loops = Loop::all();
    let mut sums = vec![(0.0, 0.0); loops.len()];
    let mut window = f64::NEG_INFINITY;
    let polls = ((seconds - first_poll_s) / POLL_S) as u32;
    for poll in 0..polls {
        let t = first_poll_s + f64::from(poll) * POLL_S;
        line.advance(t);
        let ovens = line.state();
        see(t, &ovens);
        if (t / WINDOW_S).floor() > window && window.is_finite() {
            for (n, (sum, count)) in sums.iter_mut().enumerate() {
                let power = (loops[n].step(*sum / *count) * 10.0).round() as u16;
                line.write_holdings(100 * n as u16 + 2, &[power], Timestamp(0)).expect("within limits");
                (*sum, *count) = (0.0, 0.0);
            }
        }
        window = (t / WINDOW_S).floor();
        for ((sum, count), oven) in sums.iter_mut().zip(&ovens) {
            *sum += oven.measured;
            *count += 1.0;
        }
    }
}

#[test]
fn all_three_loops_stay_within_2_degrees_for_the_last_20_seconds() {
    for seed in 1..=10 {
        for first_poll_s in [0.3, 1.05, 3.97] {
            let mut worst = 0.0f64;
            run(seed, first_poll_s, 60.0, |t, ovens| {
                for oven in ovens.iter().filter(|_| t >= 40.0) {
                    worst = worst.max((oven.measured - oven.setpoint).abs());
                }
            });
            assert!(worst < 1.8, "seed {seed}, first poll at {first_poll_s} s: {worst:.2} °C off");
        }
    }
}

#[test]
fn the_loops_have_settled_before_the_door_opens_and_recover_after_it_closes() {
    run(1, 1.05, 60.0, |t, ovens| {
        for (n, oven) in ovens.iter().enumerate() {
            let off = (oven.temperature - oven.setpoint).abs();
            let disturbed = n == 1 && (20.0..35.0).contains(&t);
            assert!(t < 18.0 || disturbed || off < 1.5, "oven {n} at {t:.1} s is {off:.2} °C off");
            assert!(oven.temperature < 225.0, "oven {n} at {t:.1} s would raise an alarm");
        }
    });
}

#[test]
fn later_minutes_end_calm_as_well() {
    for seed in 1..=10 {
        let script = Script::every_minute(seed);
        run(seed, 1.05, 600.0, |t, ovens| {
            for (n, oven) in ovens.iter().enumerate().filter(|_| t % 60.0 >= 40.0) {
                assert!(!script.during(n, Trouble::DoorOpens, t) && !oven.guard_stuck);
                let off = (oven.measured - oven.setpoint).abs();
                assert!(off < 2.0, "seed {seed}: oven {n} at {t:.1} s is {off:.2} °C off");
            }
        });
    }
}
