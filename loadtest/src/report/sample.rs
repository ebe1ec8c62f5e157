//! An outcome made up for tests: a closed loop with a stall in its fourteenth second, and messages that were lost in it.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::dice::{mix, unit};
use crate::outcome::{Account, Deadline, Latency, Limit, Machine, Outcome, Second, StageTime};

/// A number between 0 and 1 that looks random and is the same in every run.
fn noise(at: u64) -> f64 {
    1.0 - unit(mix(at + 1))
}

/// One measured length of time, in nanoseconds: most are near the floor, few are far above it.
fn delay(at: u64, floor_micros: f64, stalled: bool) -> u64 {
    let tail = (1.0 - noise(at)).powf(-0.35);
    let stall = if stalled { 40_000.0 * noise(at + 7) } else { 0.0 };
    ((floor_micros * tail + stall) * 1e3) as u64
}

pub(crate) fn outcome() -> Outcome {
    let streams = [("alarm", 150.0, 1_000), ("relay", 130.0, 1_000), ("setpoint", 28.0, 30)];
    let new = || Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    let mut whole: BTreeMap<&str, _> = streams.iter().map(|(name, ..)| (*name, new())).collect();
    let mut timeline = Vec::new();
    for second in 0..60 {
        let stalled = second == 13;
        let mut row = Second {
            sent: 10_000 + (noise(second) * 40.0) as u64,
            arrived: if stalled {
                7_400
            } else if second == 14 {
                12_580
            } else {
                10_000 + (noise(second + 90) * 60.0) as u64
            },
            cpu_percent: 22.0 + 3.0 * noise(second + 200) + if second == 14 { 19.0 } else { 0.0 },
            rss_bytes: 41_300_000 + 9_000 * second + if second > 13 { 2_100_000 } else { 0 },
            descriptors: 23 + u64::from(stalled),
            ..Second::default()
        };
        for (name, floor, per_second) in streams {
            let mut one = new();
            for at in 0..per_second {
                let late = delay(second * 100_000 + at + name.len() as u64 * 7_919, floor, stalled && name != "relay");
                one.record(late).unwrap();
            }
            whole.get_mut(name).unwrap().add(&one).unwrap();
            let latency = Latency::of(&one);
            row.p50.insert(name.to_owned(), latency.p50);
            row.p99.insert(name.to_owned(), latency.p99);
            row.max.insert(name.to_owned(), latency.max);
        }
        timeline.push(row);
    }
    let limit = |name: &str, wanted: &str, bound, found: &str, held| Limit {
        name: name.to_owned(),
        wanted: wanted.to_owned(),
        bound: Some(bound),
        found: found.to_owned(),
        held,
    };
    let engine = serde_json::json!({ "objects": [
        { "kind": "source", "name": "telemetry", "state": "ended", "messages": 660_000, "bytes": 41_000_000, "rows_in": 0,
          "rows_out": 659_999, "open_rows": 0, "reconnects": 0, "dropped": { "undecodable": 1 },
          "times": { "decode": { "count": 61_203, "p50": 4.2, "p99": 31, "p999": 90, "max": 412 },
                     "queue": { "count": 61_203, "p50": 0.7, "p99": 1.3, "p999": 12, "max": 86 },
                     "operators": { "count": 61_203, "p50": 1.1, "p99": 2.8, "p999": 31, "max": 167 } } },
        { "kind": "operator", "name": "loop", "rows_in": 1_800, "rows_out": 1_800, "open_rows": 0, "dropped": {} },
        { "kind": "operator", "name": "alarms", "rows_in": 659_999, "rows_out": 59_994, "open_rows": 40, "dropped": { "late": 3 } },
        { "kind": "sink", "name": "plc", "rows_in": 1_800, "rows_out": 1_800, "dropped": {},
          "times": { "response_to_write": { "count": 1_800, "p50": 11.2, "p99": 48.5, "p999": 204, "max": 1_311 },
                     "write_call": { "count": 1_800, "p50": 4.1, "p99": 12.6, "p999": 61, "max": 340 },
                     "sink_queue": { "count": 1_800, "p50": 1.6, "p99": 8.9, "p999": 42, "max": 611 },
                     "sink": { "count": 1_800, "p50": 128, "p99": 261, "p999": 1_204, "max": 14_311 },
                     "sensor_to_sink": { "count": 1_800, "p50": 143, "p99": 304, "p999": 1_250, "max": 14_402 } } },
    ] });
    Outcome {
        case: "closed-loop".to_owned(),
        goal: "Control keeps its deadline while telemetry comes in bursts".to_owned(),
        seed: 7,
        started: "2026-11-21T18:40:02Z".to_owned(),
        seconds: 60.0,
        rate: 10_000.0,
        machine: Machine {
            processor: "AMD EPYC".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.18.5".to_owned(),
            realtime: true,
            engine: "lineside 0.1.0".to_owned(),
        },
        ledgers: BTreeMap::from([
            (
                "alarms".to_owned(),
                Account {
                    expected: 60_000,
                    arrived: 59_994,
                    lost: 2,
                    dropped: BTreeMap::from([("late".to_owned(), 3), ("undecodable".to_owned(), 1)]),
                    duplicates: 0,
                    reordered: 12,
                },
            ),
            ("telemetry".to_owned(), Account { expected: 600_000, arrived: 600_000, ..Account::default() }),
        ]),
        latencies: whole.iter().map(|(name, nanos)| ((*name).to_owned(), Latency::of(nanos))).collect(),
        recoveries: BTreeMap::new(),
        timeline,
        limits: vec![
            limit("alarm p99", "at most 50 ms", 50e3, "35.9 ms", true),
            limit("alarms lost", "none", 0.0, "2", false),
            limit("setpoint p99", "at most 60 ms", 60e3, "36.1 ms", true),
        ],
        deadlines: BTreeMap::from([("setpoint".to_owned(), Deadline::of(Duration::from_millis(100), 1_800, 3))]),
        stages: StageTime::of(&engine),
        first_output: Some(143_200.0),
        engine,
    }
}
