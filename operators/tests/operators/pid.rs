use std::collections::HashMap;
use std::path::Path;

use expect_test::expect;
use lineside_model::{Quality, Timestamp};
use lineside_operators::control::loop_table;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{Row, Seen, batch, mistakes, plan, script};

const TABLE: &str = "table = \"loops.csv\"";
const ZONE: &str = "loop,pv,out,sp,period,kp,ki,u_min,u_max
zone1,t1,heater1,100,1s,2,0.5,0,100
";

#[test]
fn a_reading_gives_the_output_for_its_tag() {
    let planned = plan("pid", TABLE, ZONE).expect("the table is right");
    assert_eq!(
        (planned.reads.as_slice(), planned.writes.as_slice()),
        (&["t1".to_owned()][..], &["heater1".to_owned()][..])
    );
    let seen = script(
        &planned,
        "0s t1 80.0
         1s t1 90.0
         1s t9 90.0
         2s t1 98.0 uncertain
         restart
         3s t1 101.0",
    );
    expect![[r#"
        ts | sensor  | value | quality   | loop  | sp    | pv    | error | p    | i    | d
        0s | heater1 | 50.0  | good      | zone1 | 100.0 | 80.0  | 20.0  | 40.0 | 10.0 | 0.0
        1s | heater1 | 35.0  | good      | zone1 | 100.0 | 90.0  | 10.0  | 20.0 | 15.0 | 0.0
        2s | heater1 | 20.0  | uncertain | zone1 | 100.0 | 98.0  | 2.0   | 4.0  | 16.0 | 0.0
        3s | heater1 | 13.5  | good      | zone1 | 100.0 | 101.0 | -1.0  | -2.0 | 15.5 | 0.0
        dropped 1 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_bad_reading_holds_the_output_and_the_next_good_one_goes_on_without_a_kick() {
    let zone = "loop,pv,out,sp,period,kp,ki,kd,u_min,u_max
zone1,t1,heater1,100,1s,2,0.5,4,0,100
";
    let planned = plan("pid", TABLE, zone).expect("the table is right");
    let seen = script(
        &planned,
        "0s t1 80.0
         1s t1 81.0
         2s t1 81.0 bad
         3s t1 NaN
         4s t1 85.0
         5s t1 85.0
         9s t1 89.0
         10s t1 89.0",
    );
    expect![[r#"
        ts  | sensor  | value | quality | loop  | sp    | pv   | error | p    | i    | d
        0s  | heater1 | 50.0  | good    | zone1 | 100.0 | 80.0 | 20.0  | 40.0 | 10.0 | 0.0
        1s  | heater1 | 53.5  | good    | zone1 | 100.0 | 81.0 | 19.0  | 38.0 | 19.5 | -4.0
        4s  | heater1 | 57.0  | good    | zone1 | 100.0 | 85.0 | 15.0  | 30.0 | 27.0 | 0.0
        5s  | heater1 | 64.5  | good    | zone1 | 100.0 | 85.0 | 15.0  | 30.0 | 34.5 | 0.0
        9s  | heater1 | 62.0  | good    | zone1 | 100.0 | 89.0 | 11.0  | 22.0 | 40.0 | 0.0
        10s | heater1 | 67.5  | good    | zone1 | 100.0 | 89.0 | 11.0  | 22.0 | 45.5 | 0.0
        dropped 2 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_setpoint_from_a_sensor_is_awaited_and_a_bad_one_holds() {
    let zone = "loop,pv,out,sp,period,kp,u_min,u_max
zone1,t1,heater1,tag:target,1s,1,0,100
";
    let planned = plan("pid", TABLE, zone).expect("the table is right");
    let seen = script(
        &planned,
        "0s t1 80.0
         0s target 100.0
         1s t1 80.0
         2s target 90.0
         2s t1 80.0
         3s target - bad
         3s t1 80.0
         4s target 95.0 uncertain
         restart
         4s t1 80.0
         3s target 10.0
         4s t1 80.0
         5s t1 80.0",
    );
    expect![[r#"
        ts | sensor  | value | quality   | loop  | sp    | pv   | error | p    | i   | d
        1s | heater1 | 20.0  | good      | zone1 | 100.0 | 80.0 | 20.0  | 20.0 | 0.0 | 0.0
        2s | heater1 | 10.0  | good      | zone1 | 90.0  | 80.0 | 10.0  | 10.0 | 0.0 | 0.0
        4s | heater1 | 15.0  | uncertain | zone1 | 95.0  | 80.0 | 15.0  | 15.0 | 0.0 | 0.0
        5s | heater1 | 15.0  | uncertain | zone1 | 95.0  | 80.0 | 15.0  | 15.0 | 0.0 | 0.0
        dropped 2 late
        dropped 3 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn readings_faster_than_the_period_are_passed_over() {
    let zone = "loop,pv,out,sp,period,kp,ki,u_min,u_max
zone1,t1,heater1,100,1s,0,1,0,100
";
    let planned = plan("pid", TABLE, zone).expect("the table is right");
    let seen = script(
        &planned,
        "0s t1 99.0
         250ms t1 99.0
         500ms t1 99.0
         750ms t1 99.0
         1s t1 99.0
         1250ms t1 99.0
         1500ms t1 99.0
         1750ms t1 99.0
         2s t1 99.0
         2900ms t1 99.0
         4100ms t1 99.0
         4900ms t1 99.0",
    );
    expect![[r#"
        ts      | sensor  | value | quality | loop  | sp    | pv   | error | p   | i   | d
        0s      | heater1 | 1.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 1.0 | 0.0
        500ms   | heater1 | 2.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 2.0 | 0.0
        1s500ms | heater1 | 3.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 3.0 | 0.0
        2s900ms | heater1 | 4.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 4.0 | 0.0
        4s100ms | heater1 | 5.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 5.0 | 0.0
        4s900ms | heater1 | 6.0   | good    | zone1 | 100.0 | 99.0 | 1.0   | 0.0 | 6.0 | 0.0
        dropped 6 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn one_sensor_may_serve_several_loops() {
    let zones = "loop,pv,out,sp,period,kp,u_min,u_max,action
heat,t1,heater,20,1s,10,0,100,
cool,t1,chiller,25,1s,10,0,100,direct
";
    let planned = plan("pid", TABLE, zones).expect("the table is right");
    let seen = script(
        &planned,
        "0s t1 15.0
         1s t1 22.0
         2s t1 30.0
         3s t1 1e308
         4s t1 - bad",
    );
    expect![[r#"
        ts | sensor  | value | quality | loop | sp   | pv   | error | p      | i   | d
        0s | heater  | 50.0  | good    | heat | 20.0 | 15.0 | 5.0   | 50.0   | 0.0 | 0.0
        0s | chiller | 0.0   | good    | cool | 25.0 | 15.0 | -10.0 | -100.0 | 0.0 | 0.0
        1s | heater  | 0.0   | good    | heat | 20.0 | 22.0 | -2.0  | -20.0  | 0.0 | 0.0
        1s | chiller | 0.0   | good    | cool | 25.0 | 22.0 | -3.0  | -30.0  | 0.0 | 0.0
        2s | heater  | 0.0   | good    | heat | 20.0 | 30.0 | -10.0 | -100.0 | 0.0 | 0.0
        2s | chiller | 50.0  | good    | cool | 25.0 | 30.0 | 5.0   | 50.0   | 0.0 | 0.0
        dropped 1 not_finite
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_wrong_table_is_told_with_places() {
    let table = "loop,pv,out,sp,period,form,kp,ki,ti,n,tf,u_min,u_max,u0,anti_windup,tt,acton
a,t1,x,hot,1,standrad,-2,0.1,5,8,2,0,100,,clamp,,
b,,y,tag:,0s,standard,2,0.1,5,0,,10,5,,backcalc,0.1,
c,t1,z,5,1s,,2,,,,,0,100,200,none,3,
d,t1,w,5,1s,,2,-1,,,,0,,,back,,
ok,t1,v,5,1s,,2,,,,,0,100,,,,
ok,t1,v,5,1s,,2,,,,,0,100,,,,
";
    expect![[r#"
        loops.csv:1:72: unknown column "acton" (did you mean "action"?)
        loops.csv:2:12: expected a duration such as "250ms", "5s" or "1h30m", found "1"
        loops.csv:2:23: expected a gain of at least 0, found -2 (for cooling, set action to direct)
        loops.csv:2:14: unknown form "standrad" (did you mean "standard"?)
        loops.csv:2:30: the parallel form has no "ti" (set form to standard, or use ki and kd)
        loops.csv:2:8: expected a number, or a sensor such as "tag:oven1.setpoint", found "hot"
        loops.csv:2:32: a filter has either tf or n
        loops.csv:3:11: expected more than no time, found 0s
        loops.csv:3:37: expected more than u_min = 10, found 5
        loops.csv:3:25: the standard form has no "ki" (set form to parallel, or use ti and td)
        loops.csv:3:3: "pv" is empty
        loops.csv:3:6: expected a number, or a sensor such as "tag:oven1.setpoint", found "tag:"
        loops.csv:3:31: expected a number above 0, found 0
        loops.csv:3:49: expected at least the period of 1s, found 0.1 s
        loops.csv:4:26: expected a value from u_min = 0 to u_max = 100, found 200
        loops.csv:4:35: tt is used by anti_windup backcalc only
        loops.csv:5:24: "u_max" is empty
        loops.csv:5:16: expected a number of at least 0, found -1
        loops.csv:5:26: unknown anti_windup "back" (there is: clamp, backcalc, none)
        loops.csv:7:1: there is another loop "ok" (give each loop its own name)
        loops.csv:7:7: loop "ok" writes "v" already (one tag has one writer)
    "#]]
    .assert_eq(&mistakes("pid", TABLE, table));
    expect![[r#"
        option "time": the input has no column "when" (there is: ts, sensor, value, quality, received_at)
        loops.csv:1:1: column "out" is missing
        loops.csv:1:1: column "sp" is missing
        loops.csv:1:1: column "period" is missing
        loops.csv:1:1: column "kp" is missing
        loops.csv:1:1: column "u_min" is missing
        loops.csv:1:1: column "u_max" is missing
    "#]]
    .assert_eq(&mistakes("pid", "table = \"loops.csv\"\ntime = \"when\"", "loop,pv\n"));
    expect![[r#"
        loops.csv:1:1: the table has no header (the first line names the columns, such as: loop,pv,out,sp,period,form,kp,ki,kd,ti,td,n,tf,b,bias,i0,u0,u_min,u_max,rate_up,rate_down,anti_windup,tt,action)
    "#]].assert_eq(&mistakes("pid", TABLE, ""));
}

proptest! {
    #[test]
    fn any_text_is_a_table_or_is_told_wrong(cells in vec(vec("[a-z0-9.\",:# -]{0,6}", 9), 0..4), text in any::<String>()) {
        let rows = cells.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("\n");
        for text in [text, format!("loop,pv,out,sp,period,kp,ki,u_min,u_max\n{rows}")] {
            if let Err(problems) = loop_table::read(Path::new("loops.csv"), &text) {
                prop_assert!(!problems.0.is_empty());
            }
        }
    }
}

/// The seven trajectories of the reference implementation, see `tests/data/pid/README.md`: all in one loop table, their
/// setpoints and process variables as readings.
#[test]
fn every_reference_trajectory_is_met() {
    macro_rules! trajectories {
        ($($name:literal),*) => { [$(($name, include_str!(concat!("../data/pid/", $name, ".csv")))),*] };
    }
    let planned = plan("pid", TABLE, include_str!("../data/pid/loops.csv")).expect("the table is right");
    let trajectories = trajectories!(
        "chiller_direct",
        "heater_backcalc_slew",
        "heater_clamp",
        "heater_windup",
        "oven_pi_parallel",
        "oven_pid_standard",
        "servo_second_order"
    );
    let period_us =
        HashMap::from([("chiller_direct", 250_000), ("oven_pid_standard", 500_000), ("servo_second_order", 20_000)]);
    let mut exact = 0;
    for (name, text) in trajectories {
        let samples = text.lines().skip(1).map(|line| line.split(',').map(number).collect::<Vec<_>>());
        let samples = samples.collect::<Vec<_>>();
        let rows = (0i64..).zip(&samples).flat_map(|(k, sample)| {
            let ts = Timestamp(k * period_us.get(name).copied().unwrap_or(1_000_000));
            [("sp", sample[1]), ("pv", sample[2])].map(|(part, value)| Row {
                ts,
                sensor: format!("{name}.{part}"),
                value: Some(value),
                quality: Quality::Good,
                received_at: ts,
            })
        });
        let mut seen = Seen::default();
        let mut operator = (planned.build)();
        operator.process(0, batch(&rows.collect::<Vec<_>>()), &mut seen).expect("operators do not fail on rows");
        assert_eq!((seen.rows.len(), seen.dropped.len()), (samples.len(), 0), "{name}");
        for (sample, row) in samples.iter().zip(&seen.rows) {
            for (column, expected) in [(2, sample[3]), (8, sample[4]), (9, sample[5]), (10, sample[6])] {
                let found = number(&row[column]);
                let name_of_column = planned.output.field(column).name();
                assert!(
                    (found - expected).abs() <= 1e-9,
                    "{name} sample {}: {name_of_column} is {found}, expected {expected}",
                    sample[0]
                );
                exact += usize::from(found == expected);
            }
        }
    }
    assert_eq!(exact, 4 * 9900, "numbers that are equal to the last bit");
}

fn number(text: &str) -> f64 {
    text.parse().expect("the reference has numbers only")
}
