use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

use lineside_loadtest::synthetic::{
    Disorder, Gaps, Kind, Message, Messages, Multiplied, Multiply, Options, Signal, Steps, Trouble,
};
use lineside_loadtest::{Trace, trace};
use lineside_model::{Span, Timestamp};

fn seconds(seconds: i64) -> Option<Span> {
    Some(Span::from_secs(seconds))
}

/// A plant where everything goes wrong.
fn troubled(seed: u64) -> Options {
    let trouble = Trouble {
        disorder: Some(Disorder { fraction: 0.1, by_max: Span::from_millis(500) }),
        duplicates: 0.02,
        gaps: Some(Gaps { every: Span::from_secs(2), lasts: Span::from_millis(300) }),
        bad: 0.01,
    };
    Options { sensors: 20, rate: 2_000.0, seed, lasts: seconds(10), trouble, ..Options::default() }
}

fn all(options: &Options) -> Vec<Message> {
    Messages::new(options).expect("good options").collect()
}

#[test]
fn the_same_seed_gives_the_same_messages_and_another_others() {
    assert_eq!(all(&troubled(1)), all(&troubled(1)));
    assert_ne!(all(&troubled(1)), all(&troubled(2)));
}

#[test]
fn sensors_tell_in_turn_at_even_intervals_and_leave_in_bursts() {
    let options = Options { sensors: 3, rate: 1_000.0, burst: Some(4), lasts: seconds(1), ..Options::default() };
    let messages = all(&options);
    assert_eq!(messages.len(), 1_000);
    for (index, message) in (0u64..).zip(&messages) {
        assert_eq!((message.number, message.kind), (index, Kind::Good));
        assert_eq!(u64::from(message.sensor), index % 3);
        assert_eq!(message.ts, Timestamp(1_000 * index as i64));
        assert_eq!(message.due, Duration::from_millis((index / 4 + 1) * 4 - 1));
    }
}

#[test]
fn readings_of_100_us_leave_together_unless_told_otherwise() {
    let messages = all(&Options { rate: 200_000.0, lasts: seconds(1), ..Options::default() });
    assert_eq!(messages.len(), 200_000);
    assert_eq!(messages.iter().map(|message| message.due).collect::<HashSet<_>>().len(), 10_000);
}

#[test]
fn a_feed_begins_when_it_is_told_to() {
    let start = Timestamp(1_767_225_600_000_000);
    let first = Messages::new(&Options::default()).expect("good options").starting(start).next().expect("without end");
    assert_eq!((first.ts, first.due), (start, Duration::ZERO));
}

#[test]
fn numbers_rise_with_due_times_whatever_goes_wrong() {
    let messages = all(&troubled(3));
    assert!(messages.is_sorted_by_key(|message| message.due));
    let fresh = messages.iter().filter(|message| message.kind != Kind::Duplicate).map(|message| message.number);
    assert!(fresh.eq(0..messages.iter().filter(|message| message.kind != Kind::Duplicate).count() as u64));
    assert!(messages.iter().all(|message| message.ts.micros() <= message.due.as_micros() as i64));
}

#[test]
fn no_reading_is_further_behind_than_the_disorder_allows() {
    let messages = all(&troubled(4));
    let (mut latest, mut behind, mut worst) = (Timestamp::MIN, 0, Span::ZERO);
    for message in &messages {
        latest = latest.max(message.ts);
        let by = latest.since(message.ts);
        worst = worst.max(by);
        behind += u32::from(by > Span::ZERO);
    }
    assert!(worst <= Span::from_millis(500) && worst > Span::from_millis(450), "{worst}");
    let share = f64::from(behind) / messages.len() as f64;
    assert!((share - 0.1).abs() < 0.02, "{share}");
}

#[test]
fn disorder_loses_no_reading() {
    let calm = Options { trouble: Trouble::default(), ..troubled(5) };
    let disorder = Some(Disorder { fraction: 0.3, by_max: Span::from_secs(3) });
    let stirred = Options { trouble: Trouble { disorder, ..Trouble::default() }, ..calm.clone() };
    let readings = |options: &Options| {
        let mut readings = all(options).iter().map(|m| (m.ts, m.sensor, m.value.to_bits())).collect::<Vec<_>>();
        readings.sort_unstable();
        readings
    };
    assert_eq!(readings(&calm), readings(&stirred));
}

#[test]
fn a_duplicate_follows_its_original_and_is_the_same() {
    let messages = all(&troubled(6));
    let mut count = 0;
    for pair in messages.windows(2).filter(|pair| pair[1].kind == Kind::Duplicate) {
        assert_eq!(pair[0], Message { kind: Kind::Good, ..pair[1] });
        count += 1;
    }
    let share = f64::from(count) / messages.len() as f64;
    assert!((share - 0.02).abs() < 0.005, "{share}");
    let bad = messages.iter().filter(|message| message.kind == Kind::Bad).count();
    let share = bad as f64 / messages.len() as f64;
    assert!((share - 0.01).abs() < 0.004, "{share}");
}

#[test]
fn each_sensor_has_one_gap_in_each_period() {
    let gaps = Some(Gaps { every: Span::from_secs(2), lasts: Span::from_millis(300) });
    let options = Options { trouble: Trouble { gaps, ..Trouble::default() }, ..troubled(7) };
    let mut of_sensor = BTreeMap::<u32, Vec<Timestamp>>::new();
    for message in all(&options) {
        of_sensor.entry(message.sensor).or_default().push(message.ts);
    }
    assert_eq!(of_sensor.len(), 20);
    let mut begins = HashSet::new();
    for times in of_sensor.values() {
        // 1,000 slots of 10 ms, five gaps of 30 slots each.
        assert_eq!(times.len(), 1_000 - 5 * 30);
        begins.insert(times.windows(2).find(|pair| pair[1].since(pair[0]) > Span::from_millis(10)).map(|pair| pair[0]));
    }
    assert!(begins.len() > 10, "the sensors are silent together: {begins:?}");
}

#[test]
fn a_sensor_has_its_level_noise_drift_and_steps() {
    let still = Signal { level: 100.0, spread: 10.0, noise: 0.0, decimals: 1, ..Signal::default() };
    let of = |signal| all(&Options { sensors: 2, rate: 2.0, lasts: seconds(7_200), signal, ..Options::default() });
    let values = |signal, sensor| of(signal).iter().filter(|m| m.sensor == sensor).map(|m| m.value).collect::<Vec<_>>();
    assert!(
        values(still, 0).iter().all(|value| *value == 95.0) && values(still, 1).iter().all(|value| *value == 105.0)
    );

    let noise = values(Signal { noise: 2.0, ..still }, 0);
    let mean = noise.iter().sum::<f64>() / 7_200.0;
    let deviation = (noise.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 7_200.0).sqrt();
    assert!((mean - 95.0).abs() < 0.1 && (deviation - 2.0).abs() < 0.1, "{mean} {deviation}");
    assert!(noise.iter().all(|value| (value * 10.0).fract() == 0.0));

    let drift = values(Signal { drift_per_hour: 8.0, ..still }, 0);
    assert!(drift.is_sorted() || drift.is_sorted_by(|a, b| a >= b));
    let moved = (drift[7_199] - drift[0]).abs();
    assert!(moved > 0.0 && moved <= 16.0, "{moved}");

    let steps = values(Signal { steps: Some(Steps { size: 20.0, every: Span::from_secs(60) }), ..still }, 0);
    let jumps = steps.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((118..=120).contains(&jumps), "{jumps}");
    assert!(steps.iter().all(|value| (value - 95.0).abs() <= 20.0));
}

#[test]
fn options_out_of_range_are_named() {
    let gap = Gaps { every: Span::from_secs(1), lasts: Span::from_secs(1) };
    for (options, name) in [
        (Options { sensors: 0, ..Options::default() }, "sensors"),
        (Options { rate: f64::NAN, ..Options::default() }, "rate"),
        (Options { burst: Some(0), ..Options::default() }, "burst"),
        (Options { lasts: seconds(-1), ..Options::default() }, "lasts"),
        (Options { signal: Signal { decimals: 40, ..Signal::default() }, ..Options::default() }, "decimals"),
        (Options { trouble: Trouble { bad: 1.5, ..Trouble::default() }, ..Options::default() }, "trouble.bad"),
        (Options { trouble: Trouble { gaps: Some(gap), ..Trouble::default() }, ..Options::default() }, "gap"),
    ] {
        let error = Messages::new(&options).expect_err("out of range").to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn options_are_read_from_a_file_and_unknown_ones_refused() {
    let text = r#"{"sensors": 5, "rate": 50.0, "signal": {"steps": {"size": 2.0, "every": "30s"}},
                   "trouble": {"disorder": {"fraction": 0.5, "by_max": "2s"}, "duplicates": 0.25}}"#;
    let options = serde_json::from_str::<Options>(text).expect("good options");
    assert_eq!(options.signal.steps, Some(Steps { size: 2.0, every: Span::from_secs(30) }));
    assert_eq!((options.trouble.duplicates, options.seed), (0.25, 1));
    let error = serde_json::from_str::<Options>(r#"{"sensor": 5}"#).expect_err("no such option").to_string();
    assert!(error.contains("unknown field `sensor`"), "{error}");
}

fn multiply(copies: u32, speed: f64, repeat: bool) -> Multiply {
    let columns = trace::Columns::default();
    Multiply { file: "minutes".to_owned(), columns, copies, speed: Some(speed), rate: None, repeat }
}

/// Readings of two sensors a minute apart; the third is late, the fourth has no value.
fn minutes() -> Trace {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"ts,sensor,value\n0,a,1\n120000000,b,2\n60000000,a,3\n180000000,a,\n180000000,b,4\n")
        .expect("written");
    let (_file, path) = file.keep().expect("kept");
    Trace::open(path).expect("it opens")
}

#[test]
fn a_trace_is_multiplied_in_sensors_and_speed_and_keeps_its_disorder() {
    let messages = Multiplied::new(&minutes(), &multiply(2, 60.0, false)).expect("a good trace");
    assert_eq!((messages.names(), messages.left_out()), (["a", "b", "a.1", "b.1"].map(str::to_owned).to_vec(), 1));
    let told = messages.map(|m| (m.number, m.due.as_secs(), m.sensor, m.ts.micros() / 1_000_000, m.value));
    let expected = [
        (0, 0, 0, 0, 1.0),
        (1, 0, 2, 0, 1.0),
        (2, 2, 1, 2, 2.0),
        (3, 2, 3, 2, 2.0),
        (4, 2, 0, 1, 3.0),
        (5, 2, 2, 1, 3.0),
        (6, 3, 1, 3, 4.0),
        (7, 3, 3, 3, 4.0),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn a_trace_that_repeats_goes_on_in_time() {
    let messages = Multiplied::new(&minutes(), &multiply(1, 60.0, true)).expect("a good trace");
    let times = messages.starting(Timestamp(5_000_000)).map(|m| m.ts.micros() as f64 / 1e6).take(9).collect::<Vec<_>>();
    // 180 s and a mean interval of 45 s are one pass of 3.75 s.
    assert_eq!(times, [5.0, 7.0, 6.0, 8.0, 8.75, 10.75, 9.75, 11.75, 12.5]);
}

#[test]
fn a_trace_is_played_at_the_rate_one_asks_for() {
    let options = Multiply { file: "nab".to_owned(), ..multiply(50, 1.0, true) };
    let messages = Multiplied::new(&trace::nab(), &options).expect("a good trace").at_rate(100_000.0);
    assert!((messages.rate() - 100_000.0).abs() < 1e-6);
    let passes = 3 * 29_962 * 50;
    let (mut last, mut sensors) = (Duration::ZERO, HashMap::<u32, u64>::new());
    for message in messages.take(passes) {
        assert!(message.due >= last);
        last = message.due;
        *sensors.entry(message.sensor).or_default() += 1;
    }
    assert_eq!((sensors.len(), sensors[&0] + sensors[&1], sensors[&98] + sensors[&99]), (100, 3 * 29_962, 3 * 29_962));
    let rate = passes as f64 / last.as_secs_f64();
    assert!((rate / 100_000.0 - 1.0).abs() < 0.01, "{rate}");
}
