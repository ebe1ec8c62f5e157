//! Joins: what a row costs that looks for the pressure of its moment, for all alarms around it, for the same minute of another line, or
//! for the recipe in a table. Elements are the rows of both sides.

use criterion::Criterion;
use lineside_model::{Span, Timestamp, schema};
use lineside_operators::join::lookup::{self, LookupSpec, WAITING_LIMIT};
use lineside_operators::join::{JoinSide, JoinSpec, KEYS_LIMIT, Pick, plan};
use lineside_operators::{PlannedOperator, TimeColumn};

use crate::feed::{Feed, Turn, input, time};

/// Sensor by sensor, times within a reach.
pub(crate) fn join(pick: Pick, earliest: Option<Span>, latest: Span) -> PlannedOperator {
    let side = |name: &str, columns: &[(usize, &str)]| JoinSide {
        name: name.to_owned(),
        schema: schema::readings(),
        time: 0,
        delay: Span::ZERO,
        keys: vec![1],
        columns: columns.iter().map(|(column, name)| (*column, (*name).to_owned())).collect(),
        alone: false,
    };
    let (left, right) = (side("left", &[(0, "ts"), (1, "sensor"), (2, "value")]), side("right", &[(2, "value_2")]));
    plan(&JoinSpec { left, right, earliest, latest, pick, keys_limit: KEYS_LIMIT }).expect("the plan is sound")
}

/// The same readings from two lines, half a second after one another.
pub(crate) fn two_lines(feed: Feed) -> Vec<Turn> {
    let ahead = Feed { rows: feed.rows / 2, ..feed }.turns();
    let half = (feed.sensors / 2).div_ceil(feed.batch_rows);
    let pairs = ahead.iter().skip(half).zip(&ahead);
    let turn = |(left, right): (&Turn, &Turn)| Turn {
        ports: vec![left.ports[0].clone(), right.ports[0].clone()],
        watermark: left.watermark.min(right.watermark),
    };
    pairs.map(turn).collect()
}

/// As-of, nearest, by interval, at the same time.
pub(crate) fn of_streams(criterion: &mut Criterion) {
    let turns = two_lines(Feed::of_plant());
    let same = {
        let both = |turn: Turn| Turn { ports: vec![turn.ports[0].clone(), turn.ports[0].clone()], ..turn };
        let feed = Feed::of_plant();
        Feed { rows: feed.rows / 2, ..feed }.turns().into_iter().map(both).collect::<Vec<_>>()
    };
    let (second, zero) = (Span::from_secs(1), Span::ZERO);
    let before = Span(-second.micros());
    let mut group = criterion.benchmark_group("join");
    for (name, planned, turns) in [
        ("asof", join(Pick::Last, None, zero), &turns),
        ("nearest", join(Pick::Nearest, Some(before), second), &turns),
        ("interval", join(Pick::Every, Some(before), second), &turns),
        ("windows", join(Pick::Every, Some(zero), zero), &same),
    ] {
        time(&mut group, name, &planned, turns);
    }
    group.finish();
}

/// A table of all sensors, read once.
pub(crate) fn with_tables(criterion: &mut Criterion) {
    let feed = Feed::of_plant();
    let table = Feed { rows: feed.sensors, batch_rows: feed.sensors, ..feed }.turns();
    let planned = lookup::plan(LookupSpec {
        stream: schema::readings(),
        times: vec![TimeColumn { name: "ts".to_owned(), delay: Span::ZERO }],
        table: input().schema,
        name: "sensors".to_owned(),
        keys: vec![(1, 1)],
        stream_columns: vec![(0, "ts".to_owned()), (1, "sensor".to_owned()), (2, "value".to_owned())],
        table_columns: vec![(2, "limit".to_owned())],
        alone: false,
        waiting_limit: WAITING_LIMIT,
    });
    let rows = &table[0].ports[0];
    let empty = rows.slice(0, 0);
    let first = Turn { ports: vec![empty, rows.clone()], watermark: Timestamp::MIN };
    let turns = [first].into_iter().chain(feed.turns()).collect::<Vec<_>>();
    let mut group = criterion.benchmark_group("join");
    time(&mut group, "lookup", &planned.expect("the plan is sound"), &turns);
    group.finish();
}
