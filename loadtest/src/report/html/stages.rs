//! Where the time of a reading goes in the engine, as bars: the stages of each source and of each sink laid end to end, once as half of the
//! batches took them and once as 99 of 100 did; and what part of the engine's own share of a control loop is the call that writes.
//!
//! A window is written in milliseconds, a message decoded in microseconds: on one scale most bars would be too short to be seen. So each
//! has a scale of its own, which shows what takes the time, and its numbers stand beside it.

use super::bars::{self, Bar, Group};
use crate::report::counters::{Counters, Object, Time};
use crate::report::units::count;

/// So many sources, so many sinks and so many responses are drawn; the table has all.
const MOST: usize = 8;
/// How many must be measured for there to be a p99.
const FEWEST: u64 = 100;

/// Stages of a source and of a sink in the order of the way, and the class of each that gives its colour.
const SOURCE: [(&str, &str); 4] = [("decode", "s0"), ("queue", "s4"), ("operators", "s2"), ("closing", "s3")];
const SINK: [(&str, &str); 2] = [("sink_queue", "s5"), ("sink", "s1")];
/// The whole way up to the end of a sink.
const WHOLE: &str = "sensor_to_sink";
/// The engine's own share of a control loop, what comes in it before the call that writes, and that call.
const RESPONSE: &str = "response_to_write";
const UNDIVIDED: (&str, &str) = (RESPONSE, "before");
const BEFORE: (&str, &str) = ("before write_call", "before");
const CALL: (&str, &str) = ("write_call", "call");

/// A quantile of a length of time, in microseconds.
type Quantile = fn(&Time) -> f64;
const QUANTILES: [(&str, Quantile); 2] = [("p50", |time| time.p50), ("p99", |time| time.p99)];

const TITLE: &str = "Where the time goes in the engine";
/// How to read it; the last three where there is such a thing in it.
const METHOD: &str = "Quantiles of stages do not add up exactly to the quantile of the whole: a batch that is slow at one stage need not be \
    slow at the next. Stages are counted by batches, sensor_to_sink by rows; it has the stages of the source in it.";
const CLOSING: &str = " What a window puts out is in closing.";
const SHARE: &str = " response_to_write is from the response decoded to the request handed to the socket; write_call is the last part of it.";
const FEW: &str = " Of what was counted fewer than 100 times, p99 is the greatest.";

/// The bars of what an engine has told, or nothing if it told no stages.
pub(super) fn figure(counters: &Counters) -> String {
    let (groups, left_out) = shown(counters);
    if groups.is_empty() {
        return String::new();
    }
    let note = ["each bar has a scale of its own, up to the number behind it".to_owned()].into_iter().chain(left_out);
    let note = note.collect::<Vec<_>>().join("; ");
    let classes: Vec<_> = SOURCE.into_iter().chain(SINK).chain([UNDIVIDED, BEFORE, CALL]).collect();
    let drawn = |part| groups.iter().any(|group| group.has(part));
    let shares = groups.iter().any(|group| group.what == RESPONSE);
    let few = groups.iter().any(|group| group.few);
    let told = [(CLOSING, drawn("closing")), (SHARE, shares), (FEW, few)];
    let told: String = told.into_iter().filter(|(_, is_so)| *is_so).map(|(text, _)| text).collect();
    format!(
        "<figure class=\"wide\"><figcaption>{TITLE} <small>{note}</small></figcaption>\n{}<p>{METHOD}{told}</p></figure>\n",
        bars::svg(TITLE, &groups, &classes, WHOLE)
    )
}

/// Which objects are drawn, in the order of the way, and how many are not: of many those with the greatest p99.
fn shown(counters: &Counters) -> (Vec<Group>, Vec<String>) {
    let of_kind = |kind: &'static str| counters.objects.iter().filter(move |object| object.kind == kind);
    let sources = of_kind("source").filter_map(|object| stages(object, "source", &SOURCE));
    let sinks = of_kind("sink").filter_map(|object| stages(object, "sink", &SINK));
    let responses = of_kind("sink").filter_map(response);
    let mut left_out = Vec::new();
    let groups = [("sources", sources.collect()), ("sinks", sinks.collect()), (RESPONSE, responses.collect())];
    let groups = groups.into_iter().flat_map(|(many, mut groups): (_, Vec<Group>)| {
        if groups.len() > MOST {
            left_out.push(format!("{many}: the slowest {MOST} of {}", count(groups.len() as u64)));
            let mut ends: Vec<_> = groups.iter().map(|group| group.bars[1].end()).collect();
            ends.sort_by(|a, b| b.total_cmp(a));
            let least = ends[MOST - 1];
            groups.retain(|group| group.bars[1].end() >= least);
            groups.truncate(MOST);
        }
        groups
    });
    (groups.collect(), left_out)
}

/// The stages of an object that were measured.
fn stages(object: &Object, what: &'static str, stages: &[(&'static str, &'static str)]) -> Option<Group> {
    let time = |name: &str| object.times.get(name).filter(|time| time.count > 0);
    let bar = |(quantile, of): (&'static str, Quantile)| Bar {
        quantile,
        parts: stages.iter().filter_map(|(name, class)| Some((*name, *class, of(time(name)?)))).collect(),
        whole: time(WHOLE).map(of),
    };
    let bars = QUANTILES.map(bar);
    let few = stages.iter().filter_map(|(name, _)| time(name)).any(|time| time.count < FEWEST);
    (!bars[0].parts.is_empty()).then(|| Group { name: object.name.clone(), what, few, bars })
}

/// The engine's own share of a control loop; of an engine that does not time the call, in one piece.
fn response(object: &Object) -> Option<Group> {
    let time = |name: &str| object.times.get(name).filter(|time| time.count > 0);
    let (whole, call) = (time(RESPONSE)?, time(CALL.0));
    let bar = |(quantile, of): (&'static str, Quantile)| {
        let whole = of(whole);
        let parts = match call {
            None => vec![(UNDIVIDED.0, UNDIVIDED.1, whole)],
            Some(call) => {
                // A part is no longer than the whole, but each is told to 1 %.
                let call = of(call).min(whole);
                vec![(BEFORE.0, BEFORE.1, whole - call), (CALL.0, CALL.1, call)]
            }
        };
        Bar { quantile, parts, whole: None }
    };
    let few = whole.count < FEWEST;
    Some(Group { name: object.name.clone(), what: RESPONSE, few, bars: QUANTILES.map(bar) })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::report::html::bars::{BAR, x};

    /// An object of an engine's report with these times: name, p50 and p99.
    fn object(kind: &str, name: &str, times: &[(&str, f64, f64)]) -> serde_json::Value {
        let times = times.iter().map(|(name, p50, p99)| {
            ((*name).to_owned(), serde_json::json!({ "count": 100, "p50": p50, "p99": p99, "p999": p99, "max": p99 }))
        });
        let times: serde_json::Map<_, _> = times.collect();
        serde_json::json!({ "kind": kind, "name": name, "times": times })
    }

    fn drawn(objects: &[serde_json::Value]) -> String {
        figure(&Counters::of(&serde_json::json!({ "objects": objects })))
    }

    /// What a person reads in a figure, a line each.
    fn check(figure: &str, read: &Expect) {
        let texts = figure.split("<text").skip(1).map(|text| {
            let text = text.split("</text>").next().unwrap_or_default();
            text.split('<').map(|piece| piece.split_once('>').map_or("", |(_, text)| text)).collect::<String>() + "\n"
        });
        let lines: String = texts.filter(|text| !text.ends_with(" %\n")).collect();
        read.assert_eq(&lines);
    }

    #[test]
    fn stages_are_laid_end_to_end_beside_the_whole_way() {
        let source =
            object("source", "ovens <1>", &[("decode", 4.4, 18.0), ("queue", 1.7, 9.3), ("operators", 10.4, 323.6)]);
        let sink =
            object("sink", "plc", &[("sink_queue", 1.8, 8.9), ("sink", 120.8, 13_000.0), (WHOLE, 150.0, 13_200.0)]);
        let figure = drawn(&[source, object("operator", "loop", &[]), sink]);
        check(
            &figure,
            &expect![[r#"
            decode
            queue
            operators
            sink_queue
            sink
            sensor_to_sink
            ovens &lt;1&gt;
            source
            p50
            4.4 + 1.7 + 10.4 = 16.5 µs
            p99
            18.0 + 9.3 + 324 = 351 µs
            plc
            sink
            p50
            1.8 + 121 = 123 of 150 µs
            p99
            0.009 + 13.0 = 13.0 of 13.2 ms
        "#]],
        );
        // Of 150 µs the two stages are 122.6.
        let ends = figure.matches(&format!("H{:.1}v{BAR}", x(122.6 / 150.0))).count();
        assert_eq!((ends, figure.matches("class=\"part ").count()), (1, 5 + 2 * 10));
    }

    #[test]
    fn the_call_that_writes_is_the_last_part_of_the_response() {
        let divided = object("sink", "plc", &[(RESPONSE, 11.2, 48.5), ("write_call", 4.1, 49.0)]);
        let undivided = object("sink", "other", &[(RESPONSE, 11.2, 48.5)]);
        check(
            &drawn(&[divided, undivided]),
            &expect![[r#"
            response_to_write
            before write_call
            write_call
            plc
            response_to_write
            p50
            7.1 + 4.1 = 11.2 µs
            p99
            0.0 + 48.5 = 48.5 µs
            other
            response_to_write
            p50
            11.2 µs
            p99
            48.5 µs
        "#]],
        );
    }

    #[test]
    fn of_many_the_slowest_are_drawn() {
        let sources =
            (0..100).map(|plc| object("source", &format!("plc{plc}"), &[("decode", 1.0, f64::from(plc % 50))]));
        let figure = drawn(&sources.collect::<Vec<_>>());
        assert!(figure.contains("sources: the slowest 8 of 100"));
        assert_eq!(figure.matches(">source</text>").count(), MOST);
        assert!(
            figure.contains(">plc46</text>") && figure.contains(">plc99</text>") && !figure.contains(">plc45</text>")
        );
    }

    #[test]
    fn without_stages_there_is_nothing_to_draw() {
        assert_eq!(drawn(&[object("source", "ovens", &[("poll_lateness", 40.0, 90.0)])]), "");
        assert!(!drawn(&[object("source", "ovens", &[("decode", 0.0, 0.0)])]).contains("NaN"));
    }
}
