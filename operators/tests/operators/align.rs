use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn sensors_stand_side_by_side() {
    let planned = plan(
        "align",
        "period = \"10s\"\nmax_gap = \"30s\"\nsensors = { t = \"oven1.temperature\", p = \"oven1.power\" }",
        "",
    )
    .expect("the options are right");
    let seen = script(
        &planned,
        "1s oven1.temperature 180
         12s oven1.power 40
         14s door 1
         24s oven1.temperature 190
         35s oven1.power 50
         watermark 35s
         end",
    );
    expect![[r#"
        ts  | p    | t     | quality
        10s | -    | 180.0 | bad
        20s | 40.0 | 180.0 | good
        30s | 40.0 | 190.0 | good
        dropped 1 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn on_a_line_a_row_waits_for_the_slowest_sensor() {
    let planned = plan("align", "period = \"10s\"\nmax_gap = \"30s\"\nsensors = { t = \"oven1.temperature\", p = \"oven1.power\" }\nfill = \"linear\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "1s oven1.temperature 180
         5s oven1.power 40
         24s oven1.temperature 190
         watermark 24s
         35s oven1.power 50
         restart
         watermark 35s
         36s oven1.temperature 200
         95s oven1.power 10
         watermark 95s
         end",
    );
    expect![[r#"
        ts  | p                  | t                  | quality
        10s | 41.66666666666667  | 183.91304347826087 | good
        20s | 45.0               | 188.2608695652174  | good
        30s | 48.333333333333336 | 195.0              | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_silent_sensor_is_null_and_where_all_are_there_is_no_row() {
    let planned = plan(
        "align",
        "period = \"10s\"\nmax_gap = \"30s\"\nsensors = { t = \"oven1.temperature\", p = \"oven1.power\" }",
        "",
    )
    .expect("the options are right");
    let seen = script(
        &planned,
        "0s oven1.temperature 1
         20s oven1.power 2
         watermark 200s
         201s oven1.power 3
         210s oven1.power 4
         end",
    );
    expect![[r#"
        ts    | p   | t   | quality
        0s    | -   | 1.0 | bad
        10s   | -   | 1.0 | bad
        20s   | 2.0 | 1.0 | good
        30s   | 2.0 | 1.0 | good
        40s   | 2.0 | -   | bad
        50s   | 2.0 | -   | bad
        3m30s | 4.0 | -   | bad
    "#]]
    .assert_eq(&seen);
}

#[test]
fn quality_is_that_of_the_worst_value() {
    let planned = plan(
        "align",
        "period = \"10s\"\nmax_gap = \"30s\"\nsensors = { t = \"oven1.temperature\", p = \"oven1.power\" }",
        "",
    )
    .expect("the options are right");
    let seen = script(
        &planned,
        "0s oven1.temperature 1
         0s oven1.power 2 uncertain
         5s oven1.power 3
         15s oven1.power 3 bad
         16s oven1.temperature -
         12s oven1.power 5
         watermark 15s
         12s oven1.power 6
         21s oven1.power 7
         end",
    );
    expect![[r#"
        ts  | p   | t   | quality
        0s  | 2.0 | 1.0 | uncertain
        10s | 3.0 | 1.0 | good
        20s | 5.0 | 1.0 | uncertain
        dropped 1 late
        dropped 2 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "sensors": there is no sensor to align (name columns and their sensors: { temperature = "oven1.temperature" })
    "#]].assert_eq(&mistakes("align", "period = \"10s\"\nmax_gap = \"30s\"\nsensors = {}", ""));
    expect![[r#"
        option "sensors": the output has a column "ts" already
        option "sensors": the output has a column "quality" already
        option "sensors": sensor "a" has two columns, "ts" and "x" (one is enough; rename in a query)
    "#]]
    .assert_eq(&mistakes(
        "align",
        "period = \"10s\"\nmax_gap = \"30s\"\nsensors = { ts = \"a\", quality = \"b\", x = \"a\" }",
        "",
    ));
    expect![[r#"
        option "max_gap": expected at least the period of 1m, found 30s
        option "time": column "received_at" is no event time, so rows cannot be put in order by it (take the time column of a source, or window_start; lineside explain lists the event times)
    "#]].assert_eq(&mistakes("align", "period = \"1m\"\nmax_gap = \"30s\"\ntime = \"received_at\"\nsensors = { x = \"a\" }", ""));
    expect![[r#"
        option "sensor": unknown option "sensor" (did you mean "sensors"?)
        option "sensors" is missing (sensors: The columns of the output, each with the sensor it shows: `{ temperature = "oven1.temperature" }`.)
    "#]].assert_eq(&mistakes("align", "period = \"1m\"\nmax_gap = \"2m\"\nsensor = { x = \"a\" }", ""));
}
