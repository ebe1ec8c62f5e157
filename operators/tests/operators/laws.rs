//! Laws that every operator obeys, whatever it does: how its input is cut into batches and when it is stopped and started
//! again makes no difference, and what it keeps is bounded. A kind in the registry is a subject by its example; further
//! subjects are named in [`more_subjects`].

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use lineside_model::{Quality, Reason, Span, Timestamp, schema};
use lineside_operators::aggregate::AggregateFunction;
use lineside_operators::window::keyed::{self, KeyedKind, KeyedSpec};
use lineside_operators::window::{AggregateSpec, MAX_GROUPS};
use lineside_operators::{OPERATORS, OperatorKind, PlannedOperator};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use crate::kit::{OneFile, Row, Seen, batch, plan, readings, restarted};

const LOOPS: &str = "loop,pv,out,sp,period,kp,ki,kd,u_min,u_max,rate_up,anti_windup
one,oven1.temperature,oven1.power,tag:oven1.setpoint,1s,2,0.5,1,0,100,40,clamp
two,oven2.temperature,oven2.power,150,2s,2,0.5,0,0,100,,none
";
const SENSORS: [&str; 4] = ["oven1.temperature", "oven2.temperature", "oven1.setpoint", "door"];

#[derive(Clone, Debug)]
enum Event {
    Reading(Row),
    Watermark(Timestamp),
    Clock(Timestamp),
}

/// Operators under the laws beside the examples of the registry: options that take other paths.
fn more_subjects() -> Vec<(&'static str, PlannedOperator)> {
    [
        ("deadband", "percent = 5.0\nmax_series = 2"),
        ("alarm", "low = 100.0\nhigh = 180.0\nheld_for = \"3s\"\nmax_series = 2"),
        ("stale", "silent_after = \"4s\"\nunchanged_after = \"2s\"\ntolerance = 60.0\ncount_bad = true"),
        ("hysteresis", "on = 120.0\noff = 180.0\nmax_series = 2"),
        ("held_for", "above = 120.0\nbelow = 200.0\nduration = \"1500ms\""),
        ("held_for", "duration = \"5s\""),
        ("rate", "counter = true\nwraps_at = 200.0"),
        ("ewma", "alpha = 0.3\nstart = 150.0"),
        ("cusum", "target = 150.0\nk = 5.0\nh = 60.0\nreset = true"),
        ("control_chart", "rules = \"western_electric\"\nonly = [2, 3, 4]\nmean = 150.0\nsigma = 20.0"),
        ("control_chart", "baseline = 3\nestimate = \"moving_range\""),
        ("resample", "period = \"700ms\"\nmax_gap = \"3s\"\noffset = \"100ms\""),
        ("resample", "period = \"2s\"\nmax_gap = \"5s\"\nfill = \"null\""),
        ("align", "period = \"1s\"\nmax_gap = \"4s\"\nfill = \"linear\"\nsensors = { a = \"oven1.temperature\", b = \"door\" }"),
    ]
    .map(|(kind, options)| (kind, plan(kind, options, LOOPS).expect("the options are right")))
    .into_iter()
    .chain(crate::over::subjects())
    .chain(crate::rank::subjects())
    .collect()
}

/// Windows of each sensor, which queries plan and no table of a pipeline file.
fn windows_of_each_key() -> Vec<(&'static str, PlannedOperator)> {
    let span = Span::from_millis;
    let functions = [AggregateFunction::Count, AggregateFunction::Sum, AggregateFunction::LastValue];
    let aggregates =
        functions.map(|function| AggregateSpec { name: function.name().to_owned(), function, column: Some(2) });
    [
        ("session", KeyedKind::Session { gap: span(1_500), max_size: None }),
        ("session", KeyedKind::Session { gap: span(2_500), max_size: Some(span(6_000)) }),
        ("count window", KeyedKind::Count { size: 4, slide: 4, gap: None }),
        ("count window", KeyedKind::Count { size: 5, slide: 2, gap: Some(span(4_000)) }),
    ]
    .map(|(name, kind)| {
        let aggregates = aggregates.to_vec();
        let spec = KeyedSpec {
            kind,
            time: 0,
            time_delay: Span::ZERO,
            keys: vec![1],
            kept: None,
            aggregates,
            max_groups: MAX_GROUPS,
        };
        (name, keyed::plan(&spec, &readings().schema).expect("the plan is sound"))
    })
    .into()
}

/// Kinds that take readings as they come.
const AS_THEY_COME: [&str; 4] = ["pid", "alarm", "deadband", "stale"];

static SUBJECTS: LazyLock<Vec<(&'static str, PlannedOperator)>> = LazyLock::new(|| {
    let examples = OPERATORS.iter().map(|kind| (kind.name(), example(*kind)));
    examples.chain(more_subjects()).chain(windows_of_each_key()).collect()
});

/// Plans the one table of a kind's example.
fn example(kind: &dyn OperatorKind) -> PlannedOperator {
    let file = toml::from_str::<Value>(kind.example()).expect("an example is TOML");
    let tables = file["operator"].as_object().expect("an example has a table [operator.NAME]");
    let mut options = tables.values().next().and_then(Value::as_object).expect("it has one table").clone();
    assert_eq!(options.remove("type"), Some(Value::from(kind.name())));
    assert!(options.remove("input").is_some(), "an example names its input");
    kind.plan(&Value::Object(options), &readings(), &OneFile(LOOPS)).expect("an example can be planned")
}

fn reading(at: i64) -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        6 => (90.0..210.0).prop_map(Some),
        3 => prop::sample::select(vec![100.0, 180.0, 195.0, 200.0]).prop_map(Some),
        1 => prop::sample::select(vec![None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::MAX), Some(-0.0)]),
    ];
    let quality = prop_oneof![8 => Just(Quality::Good), 1 => Just(Quality::Uncertain), 1 => Just(Quality::Bad)];
    let early = prop_oneof![5 => Just(0), 1 => 0..3_000_000i64];
    (prop::sample::select(SENSORS.to_vec()), value, quality, early).prop_map(move |(sensor, value, quality, early)| {
        Row { ts: Timestamp(at - early), sensor: sensor.to_owned(), value, quality, received_at: Timestamp(at) }
    })
}

/// Up to a hundred events, half a second apart, some readings up to three seconds out of order.
fn events() -> impl Strategy<Value = Vec<Event>> {
    vec(0..10u8, 0..100).prop_flat_map(|kinds| {
        (0i64..)
            .zip(kinds)
            .map(|(n, kind)| {
                let at = n * 500_000;
                match kind {
                    0 => Just(Event::Watermark(Timestamp(at - 3_000_000))).boxed(),
                    1 => Just(Event::Clock(Timestamp(at))).boxed(),
                    _ => reading(at).prop_map(Event::Reading).boxed(),
                }
            })
            .collect::<Vec<_>>()
    })
}

fn in_order() -> impl Strategy<Value = Vec<Row>> {
    let row = |n| reading(n * 500_000).prop_map(|row| Row { ts: row.received_at, ..row });
    (0..60i64).prop_flat_map(move |rows| (0..rows).map(row).collect::<Vec<_>>())
}

/// Runs an operator over events: readings in batches of at most `batch_max`, saved and restored before those events whose
/// number is in `restarts`.
fn run(planned: &PlannedOperator, events: &[Event], batch_max: usize, restarts: &[usize]) -> Seen {
    let mut seen = Seen::default();
    let mut operator = (planned.build)();
    let mut waiting = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let restart = restarts.contains(&n);
        if restart || waiting.len() >= batch_max || !matches!(event, Event::Reading(_)) {
            operator.process(0, batch(&std::mem::take(&mut waiting)), &mut seen).expect("rows are no error");
        }
        if restart {
            operator = restarted(planned, operator.as_ref());
        }
        match event {
            Event::Reading(row) => waiting.push(row.clone()),
            Event::Watermark(ts) => operator.advance(*ts, &mut seen).expect("time is no error"),
            Event::Clock(ts) => operator.tick(*ts, &mut seen).expect("time is no error"),
        }
    }
    operator.process(0, batch(&waiting), &mut seen).expect("rows are no error");
    operator.advance(Timestamp::MAX, &mut seen).expect("time is no error");
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_input_is_cut_into_batches_makes_no_difference(events in events(), batch_max in 1..20usize) {
        for (kind, planned) in SUBJECTS.iter() {
            let whole = run(planned, &events, usize::MAX, &[]);
            prop_assert_eq!(&whole, &run(planned, &events, batch_max, &[]), "{} in batches of {}", kind, batch_max);
            prop_assert_eq!(&whole, &run(planned, &events, 1, &[]), "{} row by row", kind);
        }
    }

    #[test]
    fn stopping_and_starting_again_makes_no_difference(events in events(), restarts in vec(0..100usize, 1..5)) {
        for (kind, planned) in SUBJECTS.iter() {
            let whole = run(planned, &events, usize::MAX, &[]);
            prop_assert_eq!(&whole, &run(planned, &events, usize::MAX, &restarts), "{} restarted", kind);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_output(events in events()) {
        for (kind, planned) in SUBJECTS.iter() {
            prop_assert_eq!(run(planned, &events, 7, &[]), run(planned, &events, 7, &[]), "{}", kind);
        }
    }

    /// With readings in order, a watermark that is told more often tells nothing new; only the order of sensors may change.
    #[test]
    fn how_often_the_watermark_is_told_makes_no_difference(readings in in_order(), every in 1..10usize) {
        let told = |every: usize| {
            let with_watermark = readings.iter().enumerate().flat_map(|(n, row)| {
                let watermark = (n % every == 0).then_some(Event::Watermark(row.ts));
                watermark.into_iter().chain([Event::Reading(row.clone())])
            });
            let last = readings.last().map(|row| Event::Watermark(row.ts));
            with_watermark.chain(last).collect::<Vec<_>>()
        };
        for (kind, planned) in SUBJECTS.iter() {
            let [mut often, mut rarely] = [1, every].map(|every| run(planned, &told(every), usize::MAX, &[]));
            often.rows.sort();
            rarely.rows.sort();
            prop_assert_eq!(often, rarely, "{} told every {} rows", kind, every);
        }
    }

    /// Operators that take readings in the order of time: disorder within what the watermark allows changes nothing. The
    /// result is that of all readings sorted first; only which sensor is told first among equals may change.
    #[test]
    fn disorder_within_the_bound_makes_no_difference(
        readings in in_order(),
        lags in vec(0..4usize, 60),
        every in 1..10usize,
    ) {
        let mut shuffled = readings.iter().zip(lags).enumerate().map(|(n, (row, lag))| (n + lag, row)).collect::<Vec<_>>();
        shuffled.sort_by_key(|(place, _)| *place);
        // A reading is at most three places, so one and a half seconds, behind the newest one before it.
        let disorder = Span::from_millis(1_500);
        let mut newest = Timestamp::MIN;
        let mut disordered = Vec::new();
        for (n, (_, row)) in shuffled.into_iter().enumerate() {
            disordered.push(Event::Reading(row.clone()));
            newest = newest.max(row.ts);
            if n % every == 0 {
                disordered.push(Event::Watermark(newest - disorder));
            }
        }
        let mut sorted = readings.iter().cloned().map(Event::Reading).collect::<Vec<_>>();
        if let Some(last) = readings.last() {
            sorted.push(Event::Watermark(last.ts));
            disordered.push(Event::Watermark(last.ts));
        }
        for (kind, planned) in SUBJECTS.iter().filter(|(kind, _)| !AS_THEY_COME.contains(kind)) {
            let [mut sorted, mut disordered] = [&sorted, &disordered].map(|events| run(planned, events, 5, &[7]));
            // Which sensors find room is a matter of who comes first.
            if sorted.dropped.contains_key(&Reason::TooManyKeys) {
                continue;
            }
            sorted.rows.sort();
            disordered.rows.sort();
            prop_assert_eq!(sorted, disordered, "{}", kind);
        }
    }

    #[test]
    fn no_more_rows_are_dropped_than_came(events in events()) {
        let came = events.iter().filter(|event| matches!(event, Event::Reading(_))).count();
        for (kind, planned) in SUBJECTS.iter() {
            let dropped = run(planned, &events, 7, &[]).dropped.values().sum::<usize>();
            prop_assert!(dropped <= came, "{} dropped {} of {}", kind, dropped, came);
        }
    }
}

/// A wrong number here and there cannot be noticed; what an operator does of it is no matter, if only it does not panic.
#[test]
fn a_damaged_snapshot_never_panics() {
    let row = |n: i64| Row {
        ts: Timestamp(n * 700_000),
        sensor: SENSORS[n as usize % SENSORS.len()].to_owned(),
        value: Some([100.0, 185.0, 205.0, 150.0, 99.5][n as usize % 5]),
        quality: [Quality::Good, Quality::Good, Quality::Uncertain][n as usize % 3],
        received_at: Timestamp(n * 700_000),
    };
    for (kind, planned) in SUBJECTS.iter() {
        let mut operator = (planned.build)();
        operator.process(0, batch(&(0..18).map(row).collect::<Vec<_>>()), &mut Seen::default()).expect("takes rows");
        operator.advance(Timestamp(8_000_000), &mut Seen::default()).expect("advances");
        operator.tick(Timestamp(12_000_000), &mut Seen::default()).expect("ticks");
        let snapshot = operator.snapshot().expect("saves");
        let bytes = postcard::to_stdvec(&snapshot).expect("a snapshot serialises");
        let start = bytes.len() - snapshot.len();
        // Every third byte, so that it does not take long.
        for at in (start..bytes.len()).step_by(3) {
            for bit in [[1, 0x80], [2, 0x40]][at % 2] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                let Ok(damaged) = postcard::from_bytes(&damaged) else { continue };
                let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    let (mut operator, seen) = ((planned.build)(), &mut Seen::default());
                    if operator.restore(&damaged).is_ok() {
                        let _unknown = operator.process(0, batch(&(15..23).map(row).collect::<Vec<_>>()), seen);
                        let _unknown = operator.tick(Timestamp(30_000_000), seen);
                        let _unknown = operator.advance(Timestamp(14_000_000), seen);
                        let _unknown = operator.advance(Timestamp::MAX, seen);
                        let _unknown = operator.snapshot();
                    }
                }));
                assert!(told.is_ok(), "{kind}: byte {} of {} ^ {bit:#x}", at - start, snapshot.len());
            }
        }
    }
}

#[test]
fn nothing_comes_of_nothing() {
    for (kind, planned) in SUBJECTS.iter() {
        assert_eq!(run(planned, &[], 1, &[]), Seen::default(), "{kind}");
    }
}

#[test]
fn output_has_the_planned_columns_and_its_times_are_among_them() {
    for (kind, planned) in SUBJECTS.iter() {
        for time in &planned.times {
            let field = planned.output.field_with_name(&time.name).expect("a time column is a column");
            assert_eq!(field.data_type(), &schema::time_type(), "{kind}");
        }
    }
}

/// With room for two sensors, what is saved does not grow with further ones.
#[test]
fn state_is_bounded_when_sensors_are_not() {
    let saved = |planned: &PlannedOperator, sensors: i64| {
        let rows = (0..sensors).map(|n| Row {
            ts: Timestamp(n),
            sensor: format!("sensor{n:06}"),
            value: Some(500.0),
            quality: Quality::Good,
            received_at: Timestamp(n),
        });
        let mut operator = (planned.build)();
        operator.process(0, batch(&rows.collect::<Vec<_>>()), &mut Seen::default()).expect("rows are no error");
        operator.snapshot().expect("state can be saved").len()
    };
    for kind in OPERATORS {
        let keyed = kind.options().pointer("/properties/max_series").is_some();
        let planned = if keyed {
            let options = match kind.name() {
                "deadband" => "band = 1.0\nmax_series = 2",
                "alarm" => "high = 1.0\nmax_series = 2",
                "stale" => "silent_after = \"1s\"\nmax_series = 2",
                "hysteresis" => "on = 400.0\noff = 300.0\nmax_series = 2",
                "held_for" => "above = 400.0\nduration = \"1s\"\nmax_series = 2",
                "rate" => "over = \"1s\"\nmax_series = 2",
                "ewma" => "alpha = 0.5\nmax_series = 2",
                "cusum" => "target = 1.0\nk = 0.5\nh = 5.0\nmax_series = 2",
                "control_chart" => "baseline = 2\nmax_series = 2",
                "resample" => "period = \"1s\"\nmax_gap = \"1s\"\nmax_series = 2",
                other => unreachable!("add options with max_series = 2 for {other}"),
            };
            plan(kind.name(), options, LOOPS).expect("the options are right")
        } else {
            example(*kind)
        };
        assert_eq!(saved(&planned, 3), saved(&planned, 3_000), "{}", kind.name());
    }
}

#[test]
fn every_kind_says_what_it_is() {
    for kind in OPERATORS {
        assert!(!kind.about().is_empty() && !kind.about().ends_with('.'), "{}", kind.name());
        let options = kind.options();
        let properties = options.pointer("/properties").and_then(Value::as_object).expect("options are a table");
        for (name, property) in properties {
            assert!(property.get("description").is_some(), "{}: option {name} is not described", kind.name());
        }
    }
}
