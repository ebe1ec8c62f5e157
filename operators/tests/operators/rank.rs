//! Ranks within windows: complete windows come out ranked, and the best are kept where only they are asked for.

use std::collections::BTreeMap;

use expect_test::expect;
use lineside_model::{Quality, Reason, Span, Timestamp, schema};
use lineside_operators::PlannedOperator;
use lineside_operators::over::rank::{RankFunction, RankOrder, RankSpec, plan};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{Row, Seen, batch, restarted, script};

const TS: usize = 0;
const SENSOR: usize = 1;
const VALUE: usize = 2;

/// Ranks by the greatest value, of rows that are equal in these columns; their time stands for that of a window.
fn ranks(partition: &[usize], best: Option<(usize, u64)>) -> PlannedOperator {
    let spec = RankSpec {
        partition: partition.to_vec(),
        times: vec![(TS, Span::ZERO)],
        order: vec![RankOrder { column: VALUE, descending: true, nulls_first: false }],
        passed_on: 3,
        ranks: vec![
            (RankFunction::RowNumber, "number".to_owned()),
            (RankFunction::Rank, "rank".to_owned()),
            (RankFunction::DenseRank, "dense".to_owned()),
        ],
        best,
    };
    plan(&spec, &schema::readings()).expect("the plan is sound")
}

/// For the laws.
pub(crate) fn subjects() -> Vec<(&'static str, PlannedOperator)> {
    vec![("rank", ranks(&[TS, SENSOR], None)), ("best of a window", ranks(&[TS], Some((2, 1))))]
}

#[test]
fn a_window_comes_out_ranked_when_the_watermark_is_behind_it() {
    expect![[r#"
        ts | sensor | value | number | rank | dense
        1s | door   | 30.0  | 1      | 1    | 1
        1s | press  | 30.0  | 2      | 1    | 1
        1s | lamp   | 20.0  | 3      | 3    | 2
        1s | oven   | 10.0  | 4      | 4    | 3
        1s | belt   | -     | 5      | 5    | 4
        2s | oven   | 5.0   | 1      | 1    | 1
        2s | door   | 5.0   | 2      | 1    | 1
        dropped 1 late
    "#]]
    .assert_eq(&script(
        &ranks(&[TS], None),
        "
        1s oven 10
        1s door 30
        2s oven 5
        1s press 30
        1s belt -
        watermark 1s
        restart
        1s lamp 20
        watermark 1.5s
        1s late 99
        2s door 5
        end
        ",
    ));
}

#[test]
fn only_the_best_are_kept() {
    let planned = ranks(&[TS], Some((0, 2)));
    let mut operator = (planned.build)();
    let mut seen = Seen::default();
    let row = |n: i64| Row {
        ts: Timestamp(0),
        sensor: format!("s{n}"),
        value: Some((n * 7919 % 5000) as f64),
        quality: Quality::Good,
        received_at: Timestamp(n),
    };
    for n in 0..5_000 {
        operator.process(0, batch(&[row(n)]), &mut seen).expect("takes rows");
        assert!(operator.open_rows() <= 1_030);
    }
    operator.advance(Timestamp(1), &mut seen).expect("advances");
    let values = seen.rows.iter().map(|row| (row[2].as_str(), row[3].as_str())).collect::<Vec<_>>();
    assert_eq!(values, [("4999.0", "1"), ("4998.0", "2")]);
    assert_eq!(seen.dropped, BTreeMap::from([(Reason::Filtered, 4_998)]));
    expect![[r#"
        a window's rows are put out when the watermark has passed ts
        rows of windows that were put out are dropped and counted as late
        state: rows up to number 2 of each ts, and as many again and 1024 before they are looked through"#]]
    .assert_eq(&planned.explain.join("\n"));
}

#[test]
fn ranks_need_a_window() {
    let spec = RankSpec {
        partition: vec![SENSOR],
        times: Vec::new(),
        order: Vec::new(),
        passed_on: 3,
        ranks: Vec::new(),
        best: None,
    };
    let problem = plan(&spec, &schema::readings()).expect_err("no window").0.remove(0);
    assert_eq!(problem.message, "a rank is complete with its window, and there is none");
}

/// A row of the reference: window, sensor, value.
type Plain = (i64, u8, Option<i8>);

/// What comes out of rows in the order of arrival: by window, by sensor, the greatest value first.
fn expected(rows: &[Plain], best: Option<(usize, u64)>) -> Vec<Vec<String>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|(window, sensor, value)| (*window, *sensor, value.is_none(), -i16::from(value.unwrap_or(0))));
    let mut out = Vec::new();
    for (n, row) in sorted.iter().enumerate() {
        let part = sorted.iter().enumerate().filter(|(_, other)| (other.0, other.1) == (row.0, row.1));
        let before = part.filter(|(m, _)| *m < n).map(|(_, other)| other.2).collect::<Vec<_>>();
        let better = before.iter().filter(|value| **value != row.2).collect::<Vec<_>>();
        let different = better.iter().collect::<std::collections::BTreeSet<_>>().len();
        let ranks = [before.len() + 1, better.len() + 1, different + 1];
        if best.is_none_or(|(by, best)| ranks[by] as u64 <= best) {
            let value = row.2.map_or("-".to_owned(), |value| format!("{value}.0"));
            let cells = [Span(row.0).to_string(), row.1.to_string(), value];
            out.push(cells.into_iter().chain(ranks.map(|rank| rank.to_string())).collect());
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rank_is_what_its_definition_says(
        rows in vec((0..4i64, 0..3u8, prop::option::of(-3..4i8)), 0..80),
        best in prop::option::of((0..3usize, 0..4u64)), cut in 1..9usize, restart in 0..20usize,
    ) {
        let planned = ranks(&[TS, SENSOR], best);
        let mut operator = (planned.build)();
        let mut seen = Seen::default();
        for (n, rows) in rows.chunks(cut).enumerate() {
            if n == restart {
                operator = restarted(&planned, operator.as_ref());
            }
            let row = |(ts, sensor, value): &Plain| Row {
                ts: Timestamp(*ts), sensor: sensor.to_string(), value: value.map(f64::from), quality: Quality::Good,
                received_at: Timestamp(*ts),
            };
            operator.process(0, batch(&rows.iter().map(row).collect::<Vec<_>>()), &mut seen).expect("takes rows");
            operator.advance(Timestamp::MIN, &mut seen).expect("advances");
        }
        operator.advance(Timestamp::MAX, &mut seen).expect("ends");
        let expected = expected(&rows, best);
        prop_assert_eq!(seen.dropped.values().sum::<usize>(), rows.len() - expected.len());
        prop_assert_eq!(operator.open_rows(), 0);
        prop_assert_eq!(seen.rows, expected);
    }
}
