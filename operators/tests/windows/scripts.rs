//! What becomes of readings that are in order, late, far apart, between windows or without a time.

use expect_test::expect;
use lineside_model::Span;
use lineside_operators::aggregate::AggregateFunction::{
    Avg, Count, FirstValue, LastValue, Max, Min, Percentile, StddevPopulation, StddevSample, Sum,
};
use lineside_operators::window::{WindowKind, WindowSpec};

use crate::{by_sensor, check, hop, tumble};

#[test]
fn a_tumbling_window_closes_at_the_watermark_and_says_all_about_its_readings() {
    let median = Percentile { fraction: 0.5, exact: true };
    let functions = [Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue, median];
    check(
        by_sensor(tumble(10), &functions),
        "
        1  oven 20
        0  oven 40
        9.999999 oven 30
        5  door -
        10 oven 7
        watermark 9.999999
        watermark 10
        end
        ",
        expect![[r#"
            watermark 10:
              [0, 10) oven 3 3 90.0 30.0 20.0 40.0 10.0 8.16496580927726 40.0 30.0 30.0
              [0, 10) door 1 0 - - - - - - - - -
            end:
              [10, 20) oven 1 1 7.0 7.0 7.0 7.0 - 0.0 7.0 7.0 7.0
            open 0
        "#]],
    );
}

#[test]
fn a_late_reading_is_counted_and_changes_nothing() {
    check(
        by_sensor(tumble(10), &[Sum]),
        "
        1 oven 1
        watermark 10
        9 oven 100
        10 oven 2
        end
        15 oven 3
        ",
        expect![[r#"
            watermark 10:
              [0, 10) oven 1 1.0
            9 oven 100: dropped as late 1
            end:
              [10, 20) oven 1 2.0
            15 oven 3: dropped as late 1
            open 0
        "#]],
    );
}

#[test]
fn a_reading_late_for_one_hopping_window_joins_those_still_open() {
    check(
        by_sensor(hop(15, 5), &[Sum, LastValue]),
        "
        1 oven 1
        12 oven 2
        watermark 15
        6 oven 4
        3 oven 8
        restart
        11 press 16
        6 oven 32
        watermark 20
        end
        ",
        expect![[r#"
            watermark 15:
              [-10, 5) oven 1 1.0 1.0
              [-5, 10) oven 1 1.0 1.0
              [0, 15) oven 2 3.0 2.0
            3 oven 8: dropped as late 1
            watermark 20:
              [5, 20) oven 3 38.0 2.0
              [5, 20) press 1 16.0 16.0
            end:
              [10, 25) oven 1 2.0 2.0
              [10, 25) press 1 16.0 16.0
            open 0
        "#]],
    );
}

#[test]
fn months_of_silence_cost_nothing() {
    check(
        by_sensor(hop(2, 1), &[Sum]),
        "
        0 oven 1
        watermark 5
        30000000 oven 2
        watermark 40000000000
        ",
        expect![[r#"
            watermark 5:
              [-1, 1) oven 1 1.0
              [0, 2) oven 1 1.0
            watermark 40000000000:
              [29999999, 30000001) oven 1 2.0
              [30000000, 30000002) oven 1 2.0
            open 0
        "#]],
    );
}

#[test]
fn readings_before_1970_and_without_time_are_told_apart() {
    check(
        by_sensor(tumble(10), &[Sum]),
        "
        -0.000001 oven 1
        - oven 2
        -10 - 3
        1e13 oven 4
        end
        ",
        expect![[r#"
            - oven 2: dropped as no_time 1
            1e13 oven 4: dropped as too_far_ahead 1
            end:
              [-10, 0) oven 1 1.0
              [-10, 0) - 1 3.0
            open 0
        "#]],
    );
}

#[test]
fn readings_between_windows_that_do_not_touch_are_filtered() {
    check(
        by_sensor(hop(5, 10), &[Sum]),
        "
        4 oven 1
        5 oven 2
        9 oven 3
        10 oven 4
        end
        ",
        expect![[r#"
            5 oven 2: dropped as filtered 1
            9 oven 3: dropped as filtered 1
            end:
              [0, 5) oven 1 1.0
              [10, 15) oven 1 4.0
            open 0
        "#]],
    );
}

#[test]
fn a_delayed_time_column_holds_windows_open_for_the_delay() {
    let spec = WindowSpec { time_delay: Span::from_secs(60), ..by_sensor(tumble(10), &[Sum]) };
    check(
        spec,
        "
        1 oven 1
        watermark 69
        2 oven 2
        watermark 70
        3 oven 4
        ",
        expect![[r#"
            watermark 70:
              [0, 10) oven 2 3.0
            3 oven 4: dropped as late 1
            open 0
        "#]],
    );
}

#[test]
fn windows_start_at_their_offset() {
    let kind = WindowKind::Tumble { size: Span::from_secs(10), offset: Span::from_secs(-7) };
    check(
        WindowSpec { keys: vec![], ..by_sensor(kind, &[Sum]) },
        "
        2.9 oven 1
        3 press 2
        12.9 oven 3
        end
        ",
        expect![[r#"
            end:
              [-7, 3) 1 1.0
              [3, 13) 2 5.0
            open 0
        "#]],
    );
}
