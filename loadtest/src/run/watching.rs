//! One thing that is watched, and how its books are closed when the engine has told what it left out.

use std::collections::BTreeMap;

use lineside_model::{Reason, Span};
use serde_json::Value;

use crate::case::READINGS;
use crate::outcome::{Deadline, Limit, Outcome};
use crate::watch::{Shared, Subscriber};

/// Something that is watched.
pub(super) struct Watching {
    pub(super) name: String,
    /// The sources and steps on its way; all if the case does not say.
    pub(super) through: Option<Vec<String>>,
    pub(super) deadline: Option<Span>,
    pub(super) books: Shared,
    pub(super) subscriber: Subscriber,
}

impl Watching {
    /// Closes its books against what the engine says of itself, and tells what came of it.
    pub(super) fn close(&self, outcome: &mut Outcome) {
        let told = left_out(&outcome.engine, self.through.as_deref());
        let books = self.books.books();
        let name = &self.name;
        outcome.latencies.insert(name.clone(), books.lateness().latency());
        let account = books.account(&told);
        if let Some(deadline) = self.deadline {
            // What never came missed it too.
            let never = account.expected - account.arrived;
            let (came, late) = books.lateness().later_than(deadline.to_std());
            let met = Deadline::of(deadline.to_std(), came + never, late + never);
            outcome.deadlines.insert(name.clone(), met);
        }
        outcome.ledgers.insert(name.clone(), account);
        if let Some(readings) = books.readings(&told) {
            outcome.ledgers.insert(format!("{name} {READINGS}"), readings);
        }
        if books.strange() > 0 {
            outcome.limits.push(Limit {
                name: format!("{name}, messages that are no answer"),
                wanted: "at most 0".to_owned(),
                bound: Some(0.0),
                found: books.strange().to_string(),
                held: false,
            });
        }
    }
}

/// What the engine says it left out, by reason. What a query was to filter is not left out, and windows that are open at the
/// end are not expected.
fn left_out(report: &Value, through: Option<&[String]>) -> BTreeMap<String, u64> {
    let meant = [Reason::Filtered.word(), Reason::Open.word()];
    let mut told = BTreeMap::new();
    let objects = report["objects"].as_array().into_iter().flatten().filter(|object| {
        let name = object["name"].as_str().unwrap_or_default();
        through.is_none_or(|through| through.iter().any(|one| one == name))
    });
    let dropped = objects.filter_map(|object| object["dropped"].as_object()).flatten();
    for (reason, count) in dropped.filter(|(reason, _)| !meant.contains(&reason.as_str())) {
        *told.entry(reason.clone()).or_default() += count.as_u64().unwrap_or(0);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_filters_is_not_left_out() {
        let report = serde_json::json!({"objects": [
            {"name": "plant", "dropped": {"malformed": 3, "overflow": 2}},
            {"name": "averages/window", "dropped": {"late": 1, "open_at_stop": 20}},
            {"name": "hot", "dropped": {"filtered": 500, "malformed": 1}},
        ]});
        let all = BTreeMap::from([("malformed".to_owned(), 4), ("overflow".to_owned(), 2), ("late".to_owned(), 1)]);
        assert_eq!(left_out(&report, None), all);
        let one = ["averages/window".to_owned()];
        assert_eq!(left_out(&report, Some(&one)), BTreeMap::from([("late".to_owned(), 1)]));
        assert!(left_out(&report, Some(&[])).is_empty());
    }
}
