//! How long it takes to catch up after a rush: until what is due is in time again.
//!
//! A second counts by what was due in it. One in which nothing came of what was due is as late as can be.

use lineside_model::Span;

use crate::outcome::Second;

/// So many seconds in a row have to be in time: one alone may be chance, and a pause of the machine later says nothing of it.
const IN_A_ROW: usize = 3;

/// How long after the end of a rush answers of a watch were late, in microseconds: until the first of three seconds in which 99 of
/// 100 of those that came were within `in_time`. `end` is the second of the timeline with which the rush is over.
pub(crate) fn recovery(timeline: &[Second], watch: &str, end: usize, in_time: Span) -> Option<f64> {
    let in_time = |second: &Second| second.p99.get(watch).is_some_and(|p99| *p99 <= in_time.micros() as f64);
    let seconds = timeline.get(end..)?.windows(IN_A_ROW).position(|seconds| seconds.iter().all(in_time))?;
    Some(seconds as f64 * 1e6)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_ends_with_the_first_of_three_seconds_in_time() {
        let second = |p99: Option<f64>| Second {
            p99: p99.map(|p99| BTreeMap::from([("copy".to_owned(), p99)])).unwrap_or_default(),
            ..Second::default()
        };
        let (fast, slow) = (Some(2e3), Some(2e6));
        let timeline = [fast, slow, slow, None, slow, fast, slow, fast, fast, fast, slow].map(second);
        let in_time = Span::from_millis(100);
        assert_eq!(recovery(&timeline, "copy", 2, in_time), Some(5e6));
        assert_eq!(recovery(&timeline, "copy", 7, in_time), Some(0.0));
        assert_eq!(recovery(&timeline, "copy", 8, in_time), None, "it never was, as far as one saw");
        assert_eq!(recovery(&timeline, "other", 2, in_time), None);
        assert_eq!(recovery(&timeline, "copy", 20, in_time), None);
    }
}
