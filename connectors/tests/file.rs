//! Files: what is read of good and bad ones, where reading resumes, and what a reader sees of a file that is written.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use lineside_connectors::{Gives, Position, Pulled, Sink, Source};
use lineside_model::Timestamp;
use serde_json::{Value, json};

use crate::double::{plan_sink, plan_source, rows, sink, source};

fn shows(batches: &[RecordBatch], expected: &Expect) {
    expected.assert_eq(&format!("{}\n", pretty_format_batches(batches).unwrap()));
}

async fn read_from(source: &mut dyn Source, from: Option<Position>, limit: usize) -> (Vec<RecordBatch>, Vec<Position>) {
    source.open(from).await.unwrap();
    let (mut batches, mut positions) = (Vec::new(), Vec::new());
    loop {
        match source.pull(limit).await.unwrap() {
            Pulled::Rows { rows, position, .. } => {
                assert!(rows.num_rows() <= limit);
                batches.push(rows);
                positions.push(position);
            }
            Pulled::End => break,
            other => panic!("not from a file: {other:?}"),
        }
    }
    source.close().await.unwrap();
    (batches, positions)
}

async fn read(folder: &Path, options: &Value) -> (Vec<RecordBatch>, std::collections::BTreeMap<&'static str, u64>) {
    let (mut source, counts) = source("file", folder, options);
    let (batches, _) = read_from(source.as_mut(), None, 1_000).await;
    (batches, counts.all())
}

fn schema_of(folder: &Path, options: &Value) -> SchemaRef {
    match plan_source("file", folder, options).unwrap().gives {
        Gives::Rows(schema) => schema,
        Gives::Frames(_) => panic!("a file gives rows"),
    }
}

fn problem(folder: &Path, options: &Value) -> String {
    plan_source("file", folder, options).unwrap_err().to_string()
}

fn readings(first: i64, count: i64) -> RecordBatch {
    let numbers = || first..first + count;
    let ts = TimestampMicrosecondArray::from_iter_values(numbers().map(|n| n * 1_500_000)).with_timezone("UTC");
    let sensor = StringArray::from_iter_values(numbers().map(|n| format!("s{}", n % 3)));
    let value = numbers().map(|n| (n % 5 != 4).then_some(n as f64 / 2.0)).collect::<Float64Array>();
    let columns: [(&str, ArrayRef, bool); 3] =
        [("ts", Arc::new(ts), false), ("sensor", Arc::new(sensor), false), ("value", Arc::new(value), true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

async fn write(sink: &mut dyn Sink, rows: &RecordBatch) {
    sink.write(rows, Timestamp::default()).await.unwrap();
}

#[tokio::test]
async fn a_csv_file_is_read_with_the_types_it_has() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.csv"),
        "ts,sensor,value,n,on\n2026-01-31 12:00:00,oven1,181.5,3,true\n2026-01-31T12:00:00.25Z,\"oven, left\",,4,false",
    )
    .unwrap();
    let (batches, counts) = read(folder.path(), &json!({"path": "a.csv"})).await;
    shows(
        &batches,
        &expect![[r#"
        +--------------------------+------------+-------+---+-------+
        | ts                       | sensor     | value | n | on    |
        +--------------------------+------------+-------+---+-------+
        | 2026-01-31T12:00:00Z     | oven1      | 181.5 | 3 | true  |
        | 2026-01-31T12:00:00.250Z | oven, left |       | 4 | false |
        +--------------------------+------------+-------+---+-------+
    "#]],
    );
    assert!(counts.is_empty(), "{counts:?}");
}

#[tokio::test]
async fn bad_lines_are_counted_by_reason_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = b"ts,sensor,value\n".to_vec();
    let mut jsonl = Vec::new();
    for n in 0..3_000 {
        match n {
            700 => csv.extend(b"700,s,abc\n"),
            701 => csv.extend(b"701,s\n"),
            702 => csv.extend(b"702,s,1,2,3\n"),
            703 => csv.extend(b"703,s\xff,1\n"),
            704 => csv.extend(b"704,s,NaN\n"),
            705 => csv.extend(b"705,\"s,1\n"),
            706 => csv.extend(b"\n"),
            _ => csv.extend(format!("{n},s,{n}.5\n").bytes()),
        }
        match n {
            700 => jsonl.extend(b"{\"ts\": 700, \"sensor\": \"s\", \"value\": \"abc\"}\n"),
            701 => jsonl.extend(b"{\"ts\": 701, \"sensor\n"),
            702 => jsonl.extend(b"17\n"),
            703 => jsonl.extend(b"{\"ts\": 703, \"sensor\": \"s\xff\", \"value\": 1}\n"),
            704 => jsonl.extend(b"\n"),
            _ => jsonl.extend(format!("{{\"ts\": {n}, \"sensor\": \"s\", \"value\": {n}.5}}\n").bytes()),
        }
    }
    fs::write(folder.path().join("a.csv"), csv).unwrap();
    fs::write(folder.path().join("a.jsonl"), jsonl).unwrap();
    let columns = json!({"ts": {"type": "timestamp", "unit": "s"}, "sensor": "text", "value": "float"});

    let (batches, counts) = read(folder.path(), &json!({"path": "a.csv", "columns": columns})).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_993);
    expect![[r#"{"malformed": 1, "missing_field": 1, "not_finite": 1, "not_utf8": 1, "wrong_type": 2}"#]]
        .assert_eq(&format!("{counts:?}"));

    let (batches, counts) = read(folder.path(), &json!({"path": "a.jsonl", "columns": columns})).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_995);
    expect![[r#"{"malformed": 2, "not_utf8": 1, "wrong_type": 1}"#]].assert_eq(&format!("{counts:?}"));
}

#[tokio::test]
async fn files_of_a_pattern_are_read_in_the_order_of_their_names_and_resumed_to_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |from: i64, to: i64| (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>();
    fs::write(folder.path().join("day-2.jsonl"), lines(50, 80)).unwrap();
    fs::write(folder.path().join("day-1.jsonl"), lines(0, 50)).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines(80, 100).as_bytes()).unwrap();
    fs::write(folder.path().join("day-3.jsonl.gz"), packed.finish().unwrap()).unwrap();
    let options = json!({"path": "day-*", "format": "jsonl"});
    let numbers = |batches: &[RecordBatch]| {
        let column = |batch: &RecordBatch| batch["n"].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
        batches.iter().flat_map(column).collect::<Vec<_>>()
    };

    let (mut first, _) = source("file", folder.path(), &options);
    let (batches, positions) = read_from(first.as_mut(), None, 7).await;
    assert_eq!(numbers(&batches), (0..100).collect::<Vec<_>>());

    for (n, position) in positions.iter().enumerate() {
        let (mut again, _) = source("file", folder.path(), &options);
        let (rest, _) = read_from(again.as_mut(), Some(position.clone()), 7).await;
        assert_eq!(numbers(&rest), numbers(&batches[n + 1..]), "after batch {n}");
    }
}

#[tokio::test]
async fn a_limit_that_shrinks_is_kept_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jsonl"), (0..100).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>()).unwrap();
    let (mut source, _) = source("file", folder.path(), &json!({"path": "a.jsonl"}));
    source.open(None).await.unwrap();
    let mut total = 0;
    for limit in [20, 20, 3, 5, 50].into_iter().cycle() {
        match source.pull(limit).await.unwrap() {
            Pulled::Rows { rows, .. } => {
                assert!(rows.num_rows() <= limit);
                total += rows.num_rows();
            }
            _ => break,
        }
    }
    assert_eq!(total, 100);
}

#[tokio::test]
async fn parquet_goes_round_and_numbers_become_times() {
    let folder = tempfile::tempdir().unwrap();
    let written = readings(0, 10_000);
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "a.parquet"}), &written.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &written.slice(0, 4_000)).await;
    out.flush().await.unwrap();
    write(out.as_mut(), &written.slice(4_000, 6_000)).await;
    assert!(!folder.path().join("a.parquet").exists());
    out.close().await.unwrap();

    let options = json!({"path": "a.parquet"});
    let (mut source1, _) = source("file", folder.path(), &options);
    let (batches, positions) = read_from(source1.as_mut(), None, 3_000).await;
    let whole = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(whole.columns(), written.columns());
    let (mut again, _) = source("file", folder.path(), &options);
    let (rest, _) = read_from(again.as_mut(), Some(positions[1].clone()), 3_000).await;
    assert_eq!(rest.iter().map(RecordBatch::num_rows).sum::<usize>(), 4_000);

    let numbers = RecordBatch::try_from_iter([("ts", Arc::new(Int64Array::from(vec![1_500])) as ArrayRef)]).unwrap();
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "n.parquet"}), &numbers.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &numbers).await;
    out.close().await.unwrap();
    let typed = json!({"path": "n.parquet", "columns": {"ts": {"type": "timestamp", "unit": "ms"}}});
    assert_eq!(*schema_of(folder.path(), &typed).field(0).data_type(), lineside_model::schema::time_type());
    let (batches, _) = read(folder.path(), &typed).await;
    shows(
        &batches,
        &expect![[r#"
        +--------------------------+
        | ts                       |
        +--------------------------+
        | 1970-01-01T00:00:01.500Z |
        +--------------------------+
    "#]],
    );
    expect![[
        r#"option "columns.ts": the column holds numbers: name their unit, such as { type = "timestamp", unit = "ms" }"#
    ]]
    .assert_eq(&problem(folder.path(), &json!({"path": "n.parquet", "columns": {"ts": "timestamp"}})));
}

#[tokio::test]
async fn a_growing_file_is_followed_through_half_lines_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.csv");
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("n\n1\n2\n");
    let options = json!({"path": "live.csv", "follow": true, "columns": {"n": "int"}});
    let (mut source1, _) = source("file", folder.path(), &options);
    source1.open(None).await.unwrap();
    let next = |rows: RecordBatch| rows["n"].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    assert_eq!(next(rows(source1.as_mut(), 100).await.0), [1, 2]);

    // Half a line is not a row; the wait for the rest loses nothing when it is given up.
    append("34");
    assert!(futures::FutureExt::now_or_never(source1.pull(100)).is_none());
    append("5\n");
    assert_eq!(next(rows(source1.as_mut(), 100).await.0), [345]);

    append("6\n");
    fs::rename(&path, folder.path().join("live.csv.1")).unwrap();
    append("n\n7\n");
    let (got, _) = rows(source1.as_mut(), 100).await;
    assert_eq!(next(got), [6]);
    let (got, position) = rows(source1.as_mut(), 100).await;
    assert_eq!(next(got), [7]);
    source1.close().await.unwrap();

    // Another process goes on behind what was read, and nothing comes twice.
    append("8\n");
    let (mut again, _) = source("file", folder.path(), &options);
    again.open(Some(position)).await.unwrap();
    assert_eq!(next(rows(again.as_mut(), 100).await.0), [8]);

    // The file is cut and written anew.
    fs::write(&path, "n\n9\n").unwrap();
    assert_eq!(next(rows(again.as_mut(), 100).await.0), [9]);
}

#[tokio::test]
async fn a_followed_file_may_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"path": "later.jsonl", "follow": true, "only_columns": true, "columns": {"n": "int"}});
    let (mut source, _) = source("file", folder.path(), &options);
    source.open(None).await.unwrap();
    assert!(futures::FutureExt::now_or_never(source.pull(100)).is_none());
    fs::write(folder.path().join("later.jsonl"), "{\"n\":1,\"x\":2}\n").unwrap();
    assert_eq!(rows(source.as_mut(), 100).await.0.num_columns(), 1);
}

#[test]
fn what_cannot_be_read_is_told_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "ts,value\n1,2\n").unwrap();
    for (options, expected) in [
        (json!({"path": "nowhere.csv"}), expect![[r#"option "path": there is no file "nowhere.csv""#]]),
        (json!({"path": "a.dat"}), expect![[r#"option "path": the name "a.dat" does not tell the format"#]]),
        (
            json!({"path": "*/a.csv", "follow": true}),
            expect![[
                r#"option "path": a * may stand only in the name of the file, not in that of a folder; option "follow": only a single csv or jsonl file that is not compressed can be followed"#
            ]],
        ),
        (
            json!({"path": "a.csv", "columns": {"valve": "float"}}),
            expect![[r#"option "columns.valve": there is no column "valve" in the file"#]],
        ),
        (
            json!({"path": "a.csv", "columns": {"value": "flaot"}}),
            expect![[
                r#"option "columns.value": unknown variant "flaot"; expected one of "float", "int", "bool", "text", "timestamp", "quality""#
            ]],
        ),
    ] {
        expected.assert_eq(&problem(folder.path(), &options));
    }
}

#[tokio::test]
async fn a_written_file_appears_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let rows = readings(0, 3);
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "a.csv"}), &rows.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &rows).await;
    out.flush().await.unwrap();
    assert!(!folder.path().join("a.csv").exists());
    assert!(folder.path().join("a.csv.partial").exists());
    out.close().await.unwrap();
    assert!(!folder.path().join("a.csv.partial").exists());
    expect![[r#"
        ts,sensor,value
        1970-01-01T00:00:00Z,s0,0.0
        1970-01-01T00:00:01.500Z,s1,0.5
        1970-01-01T00:00:03Z,s2,1.0
    "#]]
    .assert_eq(&fs::read_to_string(folder.path().join("a.csv")).unwrap());

    let (mut out, _) = sink("file", folder.path(), &json!({"path": "b.jsonl", "time": "us"}), &rows.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &readings(3, 2)).await;
    out.close().await.unwrap();
    expect![[r#"
        {"ts":4500000,"sensor":"s0","value":1.5}
        {"ts":6000000,"sensor":"s1","value":null}
    "#]]
    .assert_eq(&fs::read_to_string(folder.path().join("b.jsonl")).unwrap());
}

#[tokio::test]
async fn files_are_numbered_when_they_are_rotated_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"path": "a.jsonl", "rotate_bytes": "1kB"});
    for start in [0, 100] {
        let (mut out, _) = sink("file", folder.path(), &options, &readings(0, 1).schema());
        out.open().await.unwrap();
        for n in (start..start + 100).step_by(10) {
            write(out.as_mut(), &readings(n, 10)).await;
        }
        out.close().await.unwrap();
    }
    let mut lines = 0;
    for n in 1.. {
        let Ok(text) = fs::read_to_string(folder.path().join(format!("a-{n:04}.jsonl"))) else { break };
        lines += text.lines().count();
    }
    assert_eq!(lines, 200);
}

#[tokio::test]
async fn appending_cuts_a_torn_line_and_what_a_killed_run_left_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let rows = readings(0, 1);
    fs::write(folder.path().join("log.csv"), "ts,sensor,value\nold,s,1\n2026-01-").unwrap();
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "log.csv", "append": true}), &rows.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &rows).await;
    let expected = "ts,sensor,value\nold,s,1\n1970-01-01T00:00:00Z,s0,0.0\n";
    assert_eq!(fs::read_to_string(folder.path().join("log.csv")).unwrap(), expected);
    out.close().await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("log.csv")).unwrap(), expected);

    fs::write(folder.path().join("a.jsonl.partial"), "{\"n\":1}\n{\"n\":").unwrap();
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "a.jsonl"}), &rows.schema());
    out.open().await.unwrap();
    out.close().await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("a.interrupted-0001.jsonl")).unwrap(), "{\"n\":1}\n");
    assert_eq!(fs::read_to_string(folder.path().join("a.jsonl")).unwrap(), "");
}

#[tokio::test]
async fn a_full_disk_is_an_error_to_try_again_and_keeps_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("log.csv")).unwrap();
    let rows = readings(0, 1);
    let (mut out, _) = sink("file", folder.path(), &json!({"path": "log.csv", "append": true}), &rows.schema());
    out.open().await.unwrap();
    write(out.as_mut(), &rows).await;
    for _ in 0..2 {
        let error = out.flush().await.unwrap_err();
        assert!(error.is_retryable());
        expect!["cannot write file \"log.csv\": No space left on device (os error 28)"].assert_eq(&error.to_string());
        out.close().await.unwrap();
        out.open().await.unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_told_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let told = |options| plan_sink("file", folder.path(), &options, &readings(0, 1).schema()).unwrap_err().to_string();
    expect![[r#"option "path": the folder of "out/a.csv" is not there"#]]
        .assert_eq(&told(json!({"path": "out/a.csv"})));
    expect![[r#"option "append": a parquet file cannot be appended to; option "time": a parquet file has a type for times; leave out time; option "rotate_every": must be more than 0s"#]]
        .assert_eq(&told(json!({"path": "a.parquet", "append": true, "time": "us", "rotate_every": "0s"})));
}
