//! CSV files of any shape against what was written into them: every value, every bad line, every place to resume at.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use expect_test::expect;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::double::{sink, source};

type Row = (Option<i64>, Option<String>, Option<u64>);
type Counts = std::collections::BTreeMap<&'static str, u64>;

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let (n, text) = (batch["n"].as_primitive::<Int64Type>().iter(), batch["text"].as_string::<i32>().iter());
    let value = batch["value"].as_primitive::<Float64Type>().iter();
    // Floats are compared to the bit.
    n.zip(text).zip(value).map(|((n, text), value)| (n, text.map(str::to_owned), value.map(f64::to_bits))).collect()
}

async fn all(source: &mut dyn Source, from: Option<Position>, limit: usize) -> Vec<(Vec<Row>, Position)> {
    source.open(from).await.unwrap();
    let mut read = Vec::new();
    loop {
        match source.pull(limit).await.unwrap() {
            Pulled::Rows { rows, position, .. } => {
                assert!(rows.num_rows() <= limit);
                read.push((rows_of(&rows), position));
            }
            Pulled::End => return read,
            other => panic!("not from a file: {other:?}"),
        }
    }
}

fn options() -> Value {
    json!({"path": "a.csv", "columns": {"n": "int", "text": "text", "value": "float"}})
}

fn read(folder: &Path, limit: usize) -> (Vec<(Vec<Row>, Position)>, Counts) {
    let (mut source, counts) = source("file", folder, &options());
    (now(all(source.as_mut(), None, limit)), counts.all())
}

/// A line of a file: what is written, what is to be read of it, or why nothing is.
#[derive(Clone, Debug)]
enum Line {
    Row(String, Row),
    Bad(&'static str, &'static str),
    Nothing(&'static str),
}

fn number() -> impl Strategy<Value = (String, Option<u64>)> {
    let read = |text: String| {
        let value = text.parse::<f64>().unwrap();
        (text, Some(value.to_bits()))
    };
    prop_oneof![
        4 => (-100_000i64..100_000, 0usize..5).prop_map(|(n, digits)| format!("{:.digits$}", n as f64 / 1e3)).prop_map(read),
        1 => any::<f64>().prop_filter("a number", |v| v.is_finite()).prop_map(|v| format!("{v:e}")).prop_map(read),
        1 => any::<f64>().prop_filter("a number", |v| v.is_finite()).prop_map(|v| v.to_string()).prop_map(read),
        1 => "[0-9]{1,25}\\.[0-9]{0,25}".prop_map(read),
        1 => Just((String::new(), None)),
    ]
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn line() -> impl Strategy<Value = Line> {
    let text = prop_oneof![3 => "[a-z0-9. äß]{1,12}", 1 => "[a-z,\"\r\n ü]{1,8}", 1 => Just(String::new())];
    let n =
        prop_oneof![3 => (0i64..2_000_000_000_000).prop_map(Some), 1 => any::<i64>().prop_map(Some), 1 => Just(None)];
    let row =
        (n, text, any::<bool>(), number(), any::<[bool; 3]>()).prop_map(|(n, text, quoted, number, [a, b, crlf])| {
            let odd = text.contains([',', '"', '\r', '\n']);
            let written = |text: String, quoted| if quoted { quote(&text) } else { text };
            let line = [
                written(n.map_or(String::new(), |n| n.to_string()), a),
                written(text.clone(), quoted || odd),
                written(number.0, b),
            ];
            let end = if crlf { "\r\n" } else { "\n" };
            Line::Row(line.join(",") + end, (n, Some(text).filter(|text| !text.is_empty()), number.1))
        });
    let other = prop_oneof![
        Just(Line::Nothing("\n")),
        Just(Line::Nothing("  \r\n")),
        Just(Line::Bad("1,a\n", "missing_field")),
        Just(Line::Bad("1,a,2,3\n", "malformed")),
        Just(Line::Bad("1,a,2,\n", "malformed")),
        Just(Line::Bad("x,a,2\n", "wrong_type")),
        Just(Line::Bad("1.5,a,2\n", "wrong_type")),
        Just(Line::Bad("1,a,2e\n", "wrong_type")),
        Just(Line::Bad("1,a,2.5.1\n", "wrong_type")),
        Just(Line::Bad("1,a,-\n", "wrong_type")),
        Just(Line::Bad("1,a,NaN\n", "not_finite")),
        Just(Line::Bad("1,a,-inf\n", "not_finite")),
        Just(Line::Bad("1,a,1e999\n", "not_finite")),
        Just(Line::Bad("9223372036854775808,a,1\n", "not_finite")),
    ];
    prop_oneof![4 => row, 1 => other]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read_however_it_is_quoted_and_cut(
        lines in prop::collection::vec(line(), 0..40),
        limit in 1usize..20,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut text, mut rows, mut bad) = ("n,text,value\n".to_owned(), Vec::new(), Counts::new());
        for line in &lines {
            match line {
                Line::Row(line, row) => {
                    text.push_str(line);
                    rows.push(row.clone());
                }
                Line::Bad(line, reason) => {
                    text.push_str(line);
                    *bad.entry(*reason).or_default() += 1;
                }
                Line::Nothing(line) => text.push_str(line),
            }
        }
        fs::write(folder.path().join("a.csv"), text).unwrap();
        let (read, counts) = read(folder.path(), limit);
        prop_assert_eq!(read.iter().flat_map(|(rows, _)| rows.clone()).collect::<Vec<_>>(), rows.clone());
        prop_assert_eq!(counts, bad);
        let mut given = 0;
        for (batch, position) in &read {
            given += batch.len();
            let (mut again, _) = source("file", folder.path(), &options());
            let rest = now(all(again.as_mut(), Some(position.clone()), limit));
            prop_assert_eq!(rest.into_iter().flat_map(|(rows, _)| rows).collect::<Vec<_>>(), rows[given..].to_vec());
        }
    }
}

#[test]
fn a_file_of_many_parts_is_read_in_order_and_resumed_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "n,text,value\n".to_owned();
    for n in 0..60_000 {
        // Quoted line breaks all over the file, so that some lie where one part ends and the next begins.
        let line =
            if n % 7 == 3 { format!("{n},\"one\ntwo, {n}\",{n}.25\n") } else { format!("{n},sensor-{n},{n}.5\n") };
        text.push_str(if n % 5_000 == 4_999 { "not a row\n" } else { &line });
    }
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let (read, counts) = read(folder.path(), 8_192);
    let numbers = read.iter().flat_map(|(rows, _)| rows.iter().map(|row| row.0.unwrap())).collect::<Vec<_>>();
    assert_eq!(numbers, (0..60_000).filter(|n| n % 5_000 != 4_999).collect::<Vec<_>>());
    assert!(read.iter().flat_map(|(rows, _)| rows).all(|row| row.1.is_some()));
    assert_eq!(counts, Counts::from([("missing_field", 12)]));

    let (before, position) = (read[..3].iter().map(|(rows, _)| rows.len()).sum::<usize>(), read[2].1.clone());
    let (mut again, _) = source("file", folder.path(), &options());
    let rest = now(all(again.as_mut(), Some(position), 1_000));
    let rest = rest.into_iter().flat_map(|(rows, _)| rows).map(|row| row.0.unwrap()).collect::<Vec<_>>();
    assert_eq!(rest, numbers[before..]);
}

#[test]
fn a_bad_line_is_counted_once_also_when_it_was_read_ahead_twice() {
    let folder = tempfile::tempdir().unwrap();
    let text = (0..1_000).map(|n| if n % 100 == 50 { "bad\n".to_owned() } else { format!("{n},a,1\n") });
    fs::write(folder.path().join("a.csv"), "n,text,value\n".to_owned() + &text.collect::<String>()).unwrap();
    let (mut source, counts) = source("file", folder.path(), &options());
    now(async {
        source.open(None).await.unwrap();
        for limit in [100, 10, 200, 5].into_iter().cycle() {
            if matches!(source.pull(limit).await.unwrap(), Pulled::End) {
                break;
            }
        }
    });
    assert_eq!(counts.all(), Counts::from([("missing_field", 10)]));
}

#[test]
fn times_and_qualities_are_those_of_messages_and_one_out_of_range_costs_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = "s,ms,text,zone,quality\n\
        1.5,1500,2026-01-31 12:00:00.25,2026-01-31T13:00:00+01:00,good\n\
        ,-1,2026-01-31,,\n\
        9999999999999,1,2026-01-31,2026-01-31T13:00:00Z,bad\n\
        1,9999999999999999,2026-01-31,2026-01-31T13:00:00Z,bad\n\
        1,1,yesterday,2026-01-31T13:00:00Z,bad\n\
        1,1,2026-01-31,2026-01-31,bad\n\
        1,1,2026-01-31,2026-01-31T13:00:00Z,perfect\n";
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let time = |unit| json!({"type": "timestamp", "unit": unit});
    let columns =
        json!({"s": time("s"), "ms": time("ms"), "text": "timestamp", "zone": time("rfc3339"), "quality": "quality"});
    let (mut source, counts) = source("file", folder.path(), &json!({"path": "a.csv", "columns": columns}));
    let rows = now(async {
        source.open(None).await.unwrap();
        let rows = crate::double::rows(source.as_mut(), 100).await.0;
        assert!(matches!(source.pull(100).await.unwrap(), Pulled::End));
        rows
    });
    expect![[r#"
        +--------------------------+--------------------------+--------------------------+----------------------+---------+
        | s                        | ms                       | text                     | zone                 | quality |
        +--------------------------+--------------------------+--------------------------+----------------------+---------+
        | 1970-01-01T00:00:01.500Z | 1970-01-01T00:00:01.500Z | 2026-01-31T12:00:00.250Z | 2026-01-31T12:00:00Z | good    |
        |                          | 1969-12-31T23:59:59.999Z | 2026-01-31T00:00:00Z     |                      | good    |
        +--------------------------+--------------------------+--------------------------+----------------------+---------+
    "#]].assert_eq(&format!("{}\n", arrow::util::pretty::pretty_format_batches(&[rows]).unwrap()));
    expect![[r#"{"not_finite": 2, "wrong_type": 3}"#]].assert_eq(&format!("{:?}", counts.all()));
}

#[test]
fn json_lines_have_the_same_types() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"ts\":\"2026-01-31T13:00:00+01:00\",\"ms\":1500,\"quality\":\"bad\"}\n{\"ts\":\"2026-01-31\"}\n\
        {\"quality\":\"perfect\"}\n{\"ms\":9223372036854775807}\n{\"ms\":null}\n";
    fs::write(folder.path().join("a.jsonl"), lines).unwrap();
    let time = |unit| json!({"type": "timestamp", "unit": unit});
    let columns = json!({"ts": time("rfc3339"), "ms": time("ms"), "quality": "quality"});
    let (mut source, counts) = source("file", folder.path(), &json!({"path": "a.jsonl", "columns": columns}));
    let rows = now(async {
        source.open(None).await.unwrap();
        crate::double::rows(source.as_mut(), 100).await.0
    });
    expect![[r#"
        +--------------------------+---------+----------------------+
        | ms                       | quality | ts                   |
        +--------------------------+---------+----------------------+
        | 1970-01-01T00:00:01.500Z | bad     | 2026-01-31T12:00:00Z |
        |                          | good    |                      |
        +--------------------------+---------+----------------------+
    "#]]
    .assert_eq(&format!("{}\n", arrow::util::pretty::pretty_format_batches(&[rows]).unwrap()));
    expect![[r#"{"wrong_type": 3}"#]].assert_eq(&format!("{:?}", counts.all()));
}

#[test]
fn a_number_in_parquet_that_is_no_time_costs_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("whole", Arc::new(Int64Array::from(vec![Some(1), Some(i64::MAX), None]))),
        ("part", Arc::new(Float64Array::from(vec![Some(1.25), Some(2.0), Some(-0.5)]))),
    ];
    let written = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "a.parquet"}), &written.schema());
    let typed = json!({"whole": {"type": "timestamp", "unit": "ms"}, "part": {"type": "timestamp", "unit": "s"}});
    let (rows, counts) = now(async {
        out.open().await.unwrap();
        out.write(&written, Timestamp::default()).await.unwrap();
        out.close().await.unwrap();
        let (mut source, counts) = source("file", folder.path(), &json!({"path": "a.parquet", "columns": typed}));
        source.open(None).await.unwrap();
        (crate::double::rows(source.as_mut(), 100).await.0, counts)
    });
    expect![[r#"
        +--------------------------+--------------------------+
        | whole                    | part                     |
        +--------------------------+--------------------------+
        | 1970-01-01T00:00:00.001Z | 1970-01-01T00:00:01.250Z |
        |                          | 1969-12-31T23:59:59.500Z |
        +--------------------------+--------------------------+
    "#]]
    .assert_eq(&format!("{}\n", arrow::util::pretty::pretty_format_batches(&[rows]).unwrap()));
    expect![[r#"{"wrong_type": 1}"#]].assert_eq(&format!("{:?}", counts.all()));
}
