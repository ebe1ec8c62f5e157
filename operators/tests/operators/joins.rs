//! Joins by time: what comes out when, and that it is what a look at all rows at once gives, however rows and watermarks come.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use expect_test::expect;
use lineside_model::{Reason, Span, Timestamp, schema};
use lineside_operators::PlannedOperator;
use lineside_operators::join::lookup::{self, LookupSpec};
use lineside_operators::join::{self, JoinSide, JoinSpec, KEYS_LIMIT, Pick};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::kit::{Seen, restarted};

/// A row of either side: its time, its key, and a number to know it by.
#[derive(Clone, Debug)]
struct Row {
    time: Option<i64>,
    key: Option<&'static str>,
    n: i64,
}

#[derive(Clone, Debug)]
enum Event {
    Row(usize, Row),
    Watermark(i64),
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        schema::time_field("ts", true),
        Field::new("key", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), true),
        Field::new("n", DataType::Int64, false),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times = rows.iter().map(|row| row.time).collect::<TimestampMicrosecondArray>();
    let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.key).collect::<StringArray>());
    let columns = columns();
    let keys = arrow::compute::cast(&keys, columns.field(1).data_type()).expect("few words fit");
    let numbers = Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>());
    RecordBatch::try_new(columns, vec![Arc::new(times.with_timezone("UTC")), keys, numbers]).expect("they fit")
}

/// `ts, key, n` of the left and `ts_2, n_2` of the right.
fn spec(pick: Pick, earliest: Option<i64>, latest: i64) -> JoinSpec {
    let side = |name: &str, columns: [(usize, &str); 2]| JoinSide {
        name: name.to_owned(),
        schema: self::columns(),
        time: 0,
        delay: Span::ZERO,
        keys: vec![1],
        columns: columns.map(|(column, name)| (column, name.to_owned())).into(),
        alone: false,
    };
    JoinSpec {
        left: side("left", [(0, "ts"), (2, "n")]),
        right: side("right", [(0, "ts_2"), (2, "n_2")]),
        earliest: earliest.map(Span),
        latest: Span(latest),
        pick,
        keys_limit: KEYS_LIMIT,
    }
}

/// Runs events, rows of one side in batches of at most `batch_max`, saved and restored before the events numbered in `restarts`.
/// With each watermark's number of rows.
fn run(planned: &PlannedOperator, events: &[Event], batch_max: usize, restarts: &[usize]) -> (Seen, Vec<usize>) {
    let mut seen = Seen::default();
    let mut operator = (planned.build)();
    let mut waiting = [Vec::new(), Vec::new()];
    let mut counts = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let restart = restarts.contains(&n);
        for (port, rows) in waiting.iter_mut().enumerate() {
            if restart || rows.len() >= batch_max || matches!(event, Event::Watermark(_)) {
                operator.process(port, batch(&std::mem::take(rows)), &mut seen).expect("rows are no error");
            }
        }
        if restart {
            operator = restarted(planned, operator.as_ref());
        }
        match event {
            Event::Row(port, row) => waiting[*port].push(row.clone()),
            Event::Watermark(at) => {
                operator.advance(Timestamp(*at), &mut seen).expect("time is no error");
                counts.push(seen.rows.len());
            }
        }
    }
    for (port, rows) in waiting.iter().enumerate() {
        operator.process(port, batch(rows), &mut seen).expect("rows are no error");
    }
    operator.advance(Timestamp::MAX, &mut seen).expect("time is no error");
    assert_eq!(operator.open_rows(), 0, "at the end nothing is open");
    (seen, counts)
}

fn script(spec: &JoinSpec, text: &str) -> String {
    let events = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|words| !words.is_empty());
    let events = events.map(|words| match words[..] {
        ["watermark", at] => Event::Watermark(at.parse().expect("a time")),
        [side, time, key, n] => {
            let key = ["a", "b", "c"].into_iter().find(|known| *known == key);
            let row = Row { time: time.parse().ok(), key, n: n.parse().expect("a number") };
            Event::Row(usize::from(side == "right"), row)
        }
        _ => panic!("no event: {words:?}"),
    });
    let planned = join::plan(spec).expect("it can be planned");
    let (seen, counts) = run(&planned, &events.collect::<Vec<_>>(), 1, &[]);
    let rows = seen.rows.iter().enumerate().map(|(n, row)| {
        let watermark = counts.iter().filter(|count| n >= **count).count();
        format!("watermark {}: {}\n", watermark + 1, row.join(" "))
    });
    let dropped = seen.dropped.iter().map(|(reason, rows)| format!("{} {rows}\n", reason.word()));
    rows.chain(dropped).collect()
}

#[test]
fn a_row_waits_until_no_nearer_one_can_come() {
    let text = "
        left 5 a 1
        right 3 a 2
        watermark 5
        right 5 a 3
        right 4 a 4
        watermark 6
        left 6 a 5
        left 6 b 6
        watermark 7";
    expect![[r#"
        watermark 2: 5us 1 5us 3
        watermark 3: 6us 5 5us 3
        late 1
        unmatched 1
    "#]]
    .assert_eq(&script(&spec(Pick::Last, None, 0), text));
}

#[test]
fn null_keys_have_no_partner_and_rows_without_time_no_place() {
    let text = "
        left 1 - 1
        right 1 - 2
        left - a 3
        right - a 4
        left 2 a 5
        right 2 a 6
        watermark 9
        left 2 a 7";
    let mut both = spec(Pick::Every, Some(0), 0);
    expect![[r#"
        watermark 1: 2us 5 2us 6
        no_time 2
        late 1
        unmatched 2
    "#]]
    .assert_eq(&script(&both, text));
    (both.left.alone, both.right.alone) = (true, true);
    expect![[r#"
        watermark 1: 1us 1 - -
        watermark 1: 2us 5 2us 6
        watermark 1: - - 1us 2
        no_time 2
        late 1
    "#]]
    .assert_eq(&script(&both, text));
}

#[test]
fn the_last_row_is_kept_for_so_many_keys_only() {
    let text = "
        right 1 a 1
        right 2 b 2
        right 3 c 3
        right 4 a 4
        watermark 5
        left 9 a 5
        left 9 b 6
        left 9 c 7";
    expect![[r#"
        watermark 2: 9us 5 4us 4
        watermark 2: 9us 6 2us 2
        unmatched 1
        too_many_keys 1
    "#]]
    .assert_eq(&script(&JoinSpec { keys_limit: 2, ..spec(Pick::Last, None, 0) }, text));
}

#[test]
fn what_cannot_be_joined_is_told() {
    let mut wrong = spec(Pick::First, None, 0);
    wrong.right.time = 2;
    wrong.right.keys = vec![2];
    wrong.latest = Span(i64::MAX);
    expect![[r#""n" of right is no timestamp in microseconds; "key" is Dictionary(Int8, Utf8) and "n" is Int64: they are never equal; rows cannot be more than 36,000 years apart; rows of the right would have to be kept for ever"#]].assert_eq(&join::plan(&wrong).expect_err("it is wrong").to_string());
}

/// `ts, n` of the stream and `n_2` of the table, by key.
fn lookup_spec(alone: bool, waiting_limit: usize) -> LookupSpec {
    LookupSpec {
        stream: columns(),
        times: Vec::new(),
        table: columns(),
        name: "table".to_owned(),
        keys: vec![(1, 1)],
        stream_columns: vec![(0, "ts".to_owned()), (2, "n".to_owned())],
        table_columns: vec![(2, "n_2".to_owned())],
        alone,
        waiting_limit,
    }
}

/// Runs a lookup: a batch of the stream or the whole table after the other, saved and restored before those in `restarts`.
fn look_up(planned: &PlannedOperator, batches: &[(usize, Vec<Row>)], restarts: &[usize]) -> Seen {
    let mut seen = Seen::default();
    let mut operator = (planned.build)();
    for (n, (port, rows)) in batches.iter().enumerate() {
        if restarts.contains(&n) {
            operator = restarted(planned, operator.as_ref());
        }
        operator.process(*port, batch(rows), &mut seen).expect("rows are no error");
    }
    seen
}

#[test]
fn rows_wait_for_a_table_up_to_a_limit() {
    let planned = lookup::plan(lookup_spec(false, 2)).expect("it can be planned");
    let row = |n: i64, key| Row { time: Some(n), key, n };
    let batches = [
        (0, vec![row(1, Some("a"))]),
        (0, vec![row(2, Some("b")), row(3, Some("a"))]),
        (1, vec![row(10, Some("a")), row(11, None), row(12, Some("a"))]),
        (0, vec![row(4, None), row(5, Some("a"))]),
    ];
    let seen = look_up(&planned, &batches, &[]);
    let rows = seen.rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>();
    assert_eq!(rows, ["1us 1 10", "1us 1 12", "5us 5 10", "5us 5 12"]);
    assert_eq!(seen.dropped.into_iter().collect::<Vec<_>>(), [(Reason::Overflow, 1), (Reason::Unmatched, 2)]);
}

#[test]
fn rows_that_wait_by_a_higher_limit_of_before_are_kept() {
    let row = |n: i64| Row { time: Some(n), key: Some("a"), n };
    let mut seen = Seen::default();
    let planned = |limit| lookup::plan(lookup_spec(false, limit)).expect("it can be planned");
    let mut before = (planned(3).build)();
    before.process(0, batch(&[row(1), row(2), row(3)]), &mut seen).expect("rows are no error");
    let mut operator = (planned(2).build)();
    operator.restore(&before.snapshot().expect("saves")).expect("restores");
    operator.process(0, batch(&[row(4)]), &mut seen).expect("rows are no error");
    assert_eq!((operator.open_rows(), seen.dropped.get(&Reason::Overflow)), (3, Some(&1)));
}

/// A damaged snapshot is refused, or makes a number wrong here and there.
fn damage(planned: &PlannedOperator, events: &[(usize, Row)], watermark: i64) {
    let mut operator = (planned.build)();
    for (port, row) in events {
        operator.process(*port, batch(std::slice::from_ref(row)), &mut Seen::default()).expect("takes rows");
    }
    operator.advance(Timestamp(watermark), &mut Seen::default()).expect("advances");
    let snapshot = operator.snapshot().expect("saves");
    let bytes = postcard::to_stdvec(&snapshot).expect("a snapshot serialises");
    for at in bytes.len() - snapshot.len()..bytes.len() {
        for bit in [1, 2, 0x10, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            let Ok(damaged) = postcard::from_bytes(&damaged) else { continue };
            let mut operator = (planned.build)();
            if operator.restore(&damaged).is_ok() {
                let seen = &mut Seen::default();
                for port in [0, 1] {
                    let row = Row { time: Some(watermark + 1), key: Some("a"), n: 9 };
                    let _unknown = operator.process(port, batch(&[row]), seen);
                }
                let _unknown = operator.advance(Timestamp(watermark + 9), seen);
                let _unknown = operator.advance(Timestamp::MAX, seen);
                let _unknown = (operator.open_rows(), operator.snapshot());
            }
        }
    }
}

#[test]
fn a_damaged_snapshot_never_panics() {
    let row = |time: i64, key| Row { time: Some(time), key, n: time };
    let keys = [Some("a"), Some("b"), None];
    let events = (0..12i64).map(|n| ((n % 2) as usize, row(n, keys[n as usize % 3]))).collect::<Vec<_>>();
    for (pick, earliest) in [(Pick::Every, Some(-3)), (Pick::Nearest, Some(-3)), (Pick::Last, None)] {
        let mut spec = spec(pick, earliest, 2);
        (spec.left.alone, spec.right.alone) = (true, pick == Pick::Every);
        damage(&join::plan(&spec).expect("it can be planned"), &events, 6);
    }
    damage(&lookup::plan(lookup_spec(true, 20)).expect("it can be planned"), &events, 6);
    let waiting = events.iter().filter(|(port, _)| *port == 0).cloned().collect::<Vec<_>>();
    damage(&lookup::plan(lookup_spec(true, 20)).expect("it can be planned"), &waiting, 6);
}

/// State follows the rows within reach, not all that ever came.
#[test]
fn state_is_bounded_by_time() {
    for (pick, earliest) in [(Pick::Every, Some(-10)), (Pick::Last, None)] {
        let planned = join::plan(&spec(pick, earliest, 0)).expect("it can be planned");
        let saved = |rows: i64| {
            let mut operator = (planned.build)();
            for at in 0..rows {
                let row = Row { time: Some(at), key: Some("a"), n: at % 10 };
                for port in [0, 1] {
                    operator.process(port, batch(std::slice::from_ref(&row)), &mut Seen::default()).expect("fine");
                }
                operator.advance(Timestamp(at), &mut Seen::default()).expect("fine");
            }
            operator.snapshot().expect("state can be saved").len()
        };
        let (few, many) = (saved(100), saved(20_000));
        // Numbers and times have more digits later.
        assert!(many <= few + 256, "{pick:?}: {few} bytes after 100 rows, {many} after 20,000");
    }
}

/// What a look at all rows at once gives: the pairs, rows alone as pairs with none; and why others were dropped.
fn reference(spec: &JoinSpec, events: &[Event]) -> (Vec<Vec<String>>, Vec<(Reason, usize)>) {
    let mut sides = [Vec::<Row>::new(), Vec::new()];
    let (mut late, mut no_time, mut unmatched) = (0, 0, 0);
    let mut watermark = i64::MIN;
    for event in events {
        match event {
            Event::Watermark(at) => watermark = watermark.max(*at),
            Event::Row(port, row) => {
                let delay = [spec.left.delay, spec.right.delay][*port].micros();
                match row.time {
                    None => no_time += 1,
                    Some(time) if time < watermark.saturating_sub(delay) => late += 1,
                    Some(_) => sides[*port].push(row.clone()),
                }
            }
        }
    }
    let [mut lefts, rights] = sides;
    lefts.sort_by_key(|row| row.time);
    let mut matched = vec![false; rights.len()];
    let mut rows = Vec::new();
    let text = |row: Option<&Row>| match row.and_then(|row| row.time.map(|time| (time, row.n))) {
        Some((time, n)) => [Span(time).to_string(), n.to_string()],
        None => ["-".to_owned(), "-".to_owned()],
    };
    for left in &lefts {
        let time = left.time.unwrap_or_default();
        let apart = |n: &usize| rights[*n].time.unwrap_or_default() - time;
        let reach = |n: &usize| {
            spec.earliest.is_none_or(|earliest| apart(n) >= earliest.micros()) && apart(n) <= spec.latest.micros()
        };
        let mut found = (0..rights.len()).filter(|n| left.key.is_some() && rights[*n].key == left.key && reach(n));
        let one = match spec.pick {
            Pick::Every => None,
            Pick::Last => Some(found.clone().max_by_key(apart)),
            // Of rows with the same time the one that came last.
            Pick::First => Some(found.clone().rev().min_by_key(apart)),
            Pick::Nearest => Some(found.clone().rev().min_by_key(|n| (apart(n).abs(), apart(n)))),
        };
        let mut partners = match one {
            Some(one) => one.into_iter().collect::<Vec<_>>(),
            None => found.by_ref().collect(),
        };
        partners.sort_by_key(|n| (rights[*n].time, *n));
        for n in &partners {
            matched[*n] = true;
            rows.push([text(Some(left)), text(Some(&rights[*n]))].concat());
        }
        if partners.is_empty() && spec.left.alone {
            rows.push([text(Some(left)), text(None)].concat());
        } else if partners.is_empty() {
            unmatched += 1;
        }
    }
    let lone = rights.iter().zip(&matched).filter(|(_, matched)| !**matched).map(|(row, _)| row);
    if spec.right.alone {
        rows.extend(lone.map(|row| [text(None), text(Some(row))].concat()));
    } else if spec.pick == Pick::Every {
        unmatched += lone.count();
    } else {
        unmatched += rights.iter().filter(|row| row.key.is_none()).count();
    }
    let dropped = [(Reason::NoTime, no_time), (Reason::Late, late), (Reason::Unmatched, unmatched)];
    (rows, dropped.into_iter().filter(|(_, rows)| *rows > 0).collect())
}

fn specs() -> impl Strategy<Value = JoinSpec> {
    let pick = prop::sample::select(vec![Pick::Every, Pick::Last, Pick::First, Pick::Nearest]);
    (pick, -8..8i64, 0..10i64, any::<[bool; 3]>(), 0..5i64, 0..5i64).prop_map(
        |(pick, latest, width, [unbounded, left_alone, right_alone], left_delay, right_delay)| {
            let earliest = (pick != Pick::Last || !unbounded).then_some(latest - width);
            let mut spec = spec(pick, earliest, latest);
            spec.left.alone = left_alone;
            spec.right.alone = right_alone && pick == Pick::Every;
            (spec.left.delay, spec.right.delay) = (Span(left_delay), Span(right_delay));
            spec
        },
    )
}

/// Rows around a time that goes on, some far behind, and watermarks.
fn events() -> impl Strategy<Value = Vec<Event>> {
    vec((0..12u8, 0..2usize, -6..6i64, option::weighted(0.9, prop::sample::select(vec!["a", "b"]))), 0..120).prop_map(
        |events| {
            let event = |(n, (kind, port, apart, key)): (i64, (u8, usize, i64, Option<&'static str>))| match kind {
                0 | 1 => Event::Watermark(n / 2 - 5 + apart / 2),
                2 if apart == 0 => Event::Row(port, Row { time: None, key, n }),
                _ => Event::Row(port, Row { time: Some(n / 2 + apart), key, n }),
            };
            (0i64..).zip(events).map(event).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_join_of_streams_is_a_join_of_all_their_rows(spec in specs(), events in events()) {
        let planned = join::plan(&spec).expect("it can be planned");
        let (seen, _) = run(&planned, &events, 3, &[]);
        let (mut expected, dropped) = reference(&spec, &events);
        prop_assert_eq!(seen.dropped.clone().into_iter().collect::<Vec<_>>(), dropped);
        // Rows of the right that come out alone have no place of their own in the order.
        let [of_left, mut alone] = [false, true].map(|alone| seen.rows.iter().filter(|r| (r[0] == "-") == alone).cloned().collect::<Vec<_>>());
        let at = expected.iter().position(|row| row[0] == "-").unwrap_or(expected.len());
        let mut expected_alone = expected.split_off(at);
        if spec.latest >= Span::ZERO && spec.left.delay == Span::ZERO {
            prop_assert_eq!(&of_left, &expected, "in the order of time");
        }
        let (mut of_left, mut expected) = (of_left, expected);
        of_left.sort();
        expected.sort();
        alone.sort();
        expected_alone.sort();
        prop_assert_eq!((of_left, alone), (expected, expected_alone));
    }

    #[test]
    fn batches_and_restarts_make_no_difference(
        spec in specs(), events in events(), batch_max in 1..9usize, restarts in vec(0..120usize, 0..4),
    ) {
        let planned = join::plan(&spec).expect("it can be planned");
        let whole = run(&planned, &events, usize::MAX, &[]);
        prop_assert_eq!(&whole, &run(&planned, &events, batch_max, &[]));
        prop_assert_eq!(&whole, &run(&planned, &events, usize::MAX, &restarts));
    }

    /// A row comes out no further behind the watermark told before than the event times of the output promise.
    #[test]
    fn event_times_of_the_output_keep_their_promise(spec in specs(), events in events()) {
        let planned = join::plan(&spec).expect("it can be planned");
        let (seen, counts) = run(&planned, &events, 3, &[]);
        let watermarks = events.iter().filter_map(|event| if let Event::Watermark(at) = event { Some(*at) } else { None });
        let told = watermarks.scan(i64::MIN, |most, at| { *most = at.max(*most); Some(*most) }).collect::<Vec<_>>();
        for time in &planned.times {
            let column = planned.output.index_of(&time.name).expect("a time is a column");
            for (n, row) in seen.rows.iter().enumerate().filter(|(_, row)| row[column] != "-") {
                let after = counts.iter().filter(|count| n >= **count).count();
                let Some(watermark) = after.checked_sub(1).map(|n| told[n]) else { continue };
                let at = row[column].parse::<Span>().expect("a time").micros();
                prop_assert!(at >= watermark - time.delay.micros(), "{} {at} after {watermark}", time.name);
            }
        }
    }

    #[test]
    fn a_lookup_is_the_same_however_its_stream_is_cut_and_when_it_is_restarted(
        events in events(), alone in any::<bool>(), every in 1..30usize, restarts in vec(0..120usize, 0..4),
    ) {
        let planned = lookup::plan(lookup_spec(alone, 20)).expect("it can be planned");
        let rows = events.iter().filter_map(|event| if let Event::Row(_, row) = event { Some(row.clone()) } else { None });
        let rows = rows.collect::<Vec<_>>();
        let table = |n: usize| (1, rows.iter().skip(n).take(3).cloned().collect::<Vec<_>>());
        let (mut single, mut whole) = (Vec::new(), Vec::<(usize, Vec<Row>)>::new());
        let mut expected = Seen::default();
        let mut now = None::<(usize, Vec<Row>)>;
        let mut waiting = 0;
        for (n, row) in rows.iter().enumerate() {
            if n % every == every - 1 {
                single.push(table(n));
                whole.push(table(n));
                now = Some(table(n));
            }
            single.push((0, vec![row.clone()]));
            match whole.last_mut() {
                Some((0, rows)) => rows.push(row.clone()),
                _ => whole.push((0, vec![row.clone()])),
            }
            waiting += usize::from(now.is_none());
            let Some((_, table)) = &now else { continue };
            let found = table.iter().filter(|other| row.key.is_some() && other.key == row.key).count();
            if found == 0 && !alone {
                *expected.dropped.entry(Reason::Unmatched).or_default() += 1;
            }
        }
        let seen = look_up(&planned, &single, &[]);
        prop_assert_eq!(&seen, &look_up(&planned, &whole, &[]));
        prop_assert_eq!(&seen, &look_up(&planned, &single, &restarts));
        prop_assert_eq!(seen.dropped.get(&Reason::Overflow).copied().unwrap_or_default(), waiting.max(20) - 20);
        if every == 1 {
            prop_assert_eq!(seen.dropped, expected.dropped);
        }
    }
}
