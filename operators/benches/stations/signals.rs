//! Signals: what it costs to follow each sensor by itself, for an event, a smoothed value or a control chart.

use std::path::PathBuf;

use criterion::Criterion;
use lineside_operators::operator::Files;
use lineside_operators::{PlannedOperator, registry};
use serde_json::{Value, json};

use crate::feed::{Feed, input, name, time};

/// The one file there is, whatever name is asked for.
#[derive(Debug)]
pub(crate) struct OneFile(pub(crate) String);

impl Files for OneFile {
    fn read(&self, _name: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// An operator with options as in a pipeline file.
pub(crate) fn operator(kind: &str, options: &Value, file: String) -> PlannedOperator {
    let kind = registry::find(kind).expect("it is in the registry");
    kind.plan(options, &input(), &OneFile(file)).expect("the options are right")
}

/// All operators that follow sensors; those that look at a few sensors pass over the rest of a thousand.
pub(crate) fn operators(criterion: &mut Criterion) {
    let turns = Feed::of_plant().turns();
    let mut group = criterion.benchmark_group("signal");
    for (kind, options) in [
        ("deadband", json!({"band": 2.0})),
        ("hysteresis", json!({"on": 180.0, "off": 160.0})),
        ("held_for", json!({"above": 180.0, "duration": "5s"})),
        ("rate", json!({"per": "1m", "over": "10s"})),
        ("ewma", json!({"half_life": "30s"})),
        ("cusum", json!({"target": 170.0, "sigma": 10.0, "k": 0.5, "h": 5.0})),
        ("control_chart", json!({"rules": "nelson", "mean": 170.0, "sigma": 15.0})),
        ("alarm", json!({"high": 185.0, "hysteresis": 5.0, "held_for": "3s", "priority": "high"})),
        ("stale", json!({"silent_after": "5s", "unchanged_after": "2m", "tolerance": 0.01})),
        ("resample", json!({"period": "1s", "fill": "linear", "max_gap": "10s"})),
        ("align", json!({"period": "1s", "max_gap": "10s", "sensors": {"one": name(1), "two": name(2)}})),
    ] {
        time(&mut group, kind, &operator(kind, &options, String::new()), &turns);
    }
    group.finish();
}
