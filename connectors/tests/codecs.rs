//! Every codec against good messages and against each kind of bad one.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use expect_test::{Expect, expect};
use lineside_connectors::registry::find_codec;
use lineside_connectors::{Decoded, PlanContext};
use lineside_model::{Quality, Reason, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

fn here() -> PlanContext<'static> {
    PlanContext { name: "sensors", pipeline: "test", folder: Path::new(".") }
}

fn decode(codec: &str, options: Value, messages: &[&[u8]]) -> Decoded {
    let (schema, make) = find_codec(codec).unwrap().plan_decoder(&options, &here()).unwrap();
    let payloads = messages.iter().map(|m| Bytes::copy_from_slice(m)).collect::<Vec<_>>();
    let mut decoder = make();
    assert_eq!(decoder.schema(), schema);
    let decoded = decoder.decode(&payloads).unwrap();
    assert_eq!(decoded.rows.schema(), schema);
    let again = decoder.decode(&payloads).unwrap();
    assert_eq!((&again.rows, &again.bad), (&decoded.rows, &decoded.bad), "a decoder keeps nothing of a message");
    match &decoded.message_of_row {
        Some(origins) => assert_eq!(origins.len(), decoded.rows.num_rows()),
        None => assert_eq!(decoded.rows.num_rows(), messages.len()),
    }
    decoded
}

/// The rows as a table, where they came from, and what was bad.
fn shows(codec: &str, options: Value, messages: &[&str], expected: &Expect) {
    let messages = messages.iter().map(|m| m.as_bytes()).collect::<Vec<_>>();
    let Decoded { rows, message_of_row, bad } = decode(codec, options, &messages);
    let mut text = format!("{}\n", pretty_format_batches(&[rows]).unwrap());
    if let Some(origins) = message_of_row {
        text += &format!("from {origins:?}\n");
    }
    for (n, reason, detail) in bad {
        text += &format!("{n} {}: {detail}\n", reason.word());
    }
    expected.assert_eq(&text);
}

fn reason(codec: &str, options: Value, message: &[u8]) -> Option<Reason> {
    let decoded = decode(codec, options, &[message]);
    assert_eq!(decoded.bad.len() + decoded.rows.num_rows().min(1), 1, "a message is a row or bad");
    decoded.bad.first().map(|(_, reason, _)| *reason)
}

fn wrong(codec: &str, options: Value) -> String {
    match find_codec(codec).unwrap().plan_decoder(&options, &here()) {
        Ok(_) => "nothing".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

// ---------------------------------------------------------------- reading

#[test]
fn json_readings_need_no_options() {
    shows(
        "json",
        json!({}),
        &[
            r#"{"ts":1709209800250000,"sensor":"oven1","value":181.4,"quality":"good"}"#,
            r#"{"value":3,"quality":"bad","sensor":"öl \"1\"","unit":{"x":[1]},"ts":-1}"#,
            r#" {"ts":4102444800000000, "sensor":"a", "value":1, "value":2} "#,
        ],
        &expect![[r#"
            +-----------------------------+--------+-------+---------+
            | ts                          | sensor | value | quality |
            +-----------------------------+--------+-------+---------+
            | 2024-02-29T12:30:00.250Z    | oven1  | 181.4 | good    |
            | 1969-12-31T23:59:59.999999Z | öl "1" | 3.0   | bad     |
            | 2100-01-01T00:00:00Z        | a      | 2.0   | good    |
            +-----------------------------+--------+-------+---------+
        "#]],
    );
}

#[test]
fn json_fields_have_types_paths_and_units() {
    shows(
        "json",
        json!({ "fields": {
            "ts": { "type": "timestamp", "unit": "rfc3339", "path": "head.at" },
            "seen": { "type": "timestamp", "unit": "s", "path": "head.seen", "optional": true },
            "n": "int", "on": { "type": "bool", "optional": true }, "name": { "type": "text", "optional": true },
        }}),
        &[
            r#"{"head":{"at":"2024-02-29T13:30:00+01:00","seen":1.5},"n":7,"on":true,"name":"x"}"#,
            r#"{"n":8,"on":null,"head":{"at":"2024-02-29T12:30:00Z"}}"#,
            r#"{"n":8.0,"head":{"at":"2024-02-29T12:30:00Z"}}"#,
            r#"{"n":8,"head":{"at":"2024-02-29"}}"#,
            r#"{"n":8,"head":null}"#,
            r#"{"n":8,"head":5}"#,
        ],
        &expect![[r#"
            +---+------+------+--------------------------+----------------------+
            | n | name | on   | seen                     | ts                   |
            +---+------+------+--------------------------+----------------------+
            | 7 | x    | true | 1970-01-01T00:00:01.500Z | 2024-02-29T12:30:00Z |
            | 8 |      |      |                          | 2024-02-29T12:30:00Z |
            +---+------+------+--------------------------+----------------------+
            from [0, 1]
            2 wrong_type: field "n" expects a whole number, found 8.0
            3 wrong_type: field "ts" expects a time such as 2024-03-01T12:30:00Z, found the text "2024-02-29"
            4 missing_field: field "ts" is missing or null
            5 wrong_type: expected an object, found a number
        "#]],
    );
}

#[test]
fn a_json_array_gives_many_rows_or_none() {
    shows(
        "json",
        json!({ "many": true, "fields": { "v": "float", "s": "text" } }),
        &[
            r#"[{"v":1,"s":"a"},{"v":2,"s":"b"}]"#,
            r#"[{"v":3,"s":"c"},{"s":"d"}]"#,
            r#"{"v":4,"s":"e"}"#,
            "[]",
            r#"[1]"#,
        ],
        &expect![[r#"
            +---+-----+
            | s | v   |
            +---+-----+
            | a | 1.0 |
            | b | 2.0 |
            | e | 4.0 |
            +---+-----+
            from [0, 0, 2]
            1 missing_field: field "v" is missing or null
            3 empty: the array has no elements
            4 wrong_type: expected an object, found a number
        "#]],
    );
}

#[test]
fn no_bad_json_message_becomes_a_reading() {
    let huge = format!(r#"{{"ts":1,"sensor":"a","value":"{}"}}"#, "9".repeat(262_144));
    let too_large = format!(r#"{{"ts":1,"sensor":"a","value":1,"x":"{}"}}"#, "9".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    for (message, expected) in [
        (&br#"{"ts":1,"sensor":"a","va"#[..], Reason::Malformed),
        (br#"{"ts":1,"sensor":"a","value":1} x"#, Reason::Malformed),
        (br#"{"ts":1,"sensor":"a","value":1,}"#, Reason::Malformed),
        (b"", Reason::Empty),
        (b" \n", Reason::Empty),
        (br#"{"ts":1,"sensor":"a","value":NaN}"#, Reason::Malformed),
        (br#"{"ts":1,"sensor":"a","value":-Infinity}"#, Reason::Malformed),
        (br#"{"ts":1,"sensor":"a","value":1e999}"#, Reason::NotFinite),
        (br#"{"ts":1,"sensor":"a","value":"abc"}"#, Reason::WrongType),
        (br#"{"ts":1,"sensor":"a","value":"1.5"}"#, Reason::WrongType),
        (br#"{"ts":1,"sensor":"a","value":true}"#, Reason::WrongType),
        (br#"{"ts":1,"sensor":"a","value":null}"#, Reason::MissingField),
        (br#"{"ts":1,"sensor":"a"}"#, Reason::MissingField),
        (br#"{"sensor":"a","value":1.0}"#, Reason::MissingField),
        (br#"{"ts":"yesterday","sensor":"a","value":1}"#, Reason::WrongType),
        (br#"{"ts":1.5,"sensor":"a","value":1}"#, Reason::WrongType),
        (br#"{"ts":9223372036854775808,"sensor":"a","value":1}"#, Reason::NotFinite),
        (br#"{"ts":1,"sensor":"a","value":1,"quality":"fine"}"#, Reason::WrongType),
        (br#"{"ts":1,"sensor":"a","value":[1]}"#, Reason::WrongType),
        (br#"{"ts":1,"sensor":"a","value":{"v":1}}"#, Reason::WrongType),
        (br#"[1, 2, 3]"#, Reason::WrongType),
        (br#""text""#, Reason::WrongType),
        (br#"17"#, Reason::WrongType),
        (br#"null"#, Reason::WrongType),
        (br#"{"data":{"ts":1,"sensor":"a","value":1}}"#, Reason::MissingField),
        (b"{\"ts\":1,\"sensor\":\"\xff\xfe\x80\",\"value\":1.0}", Reason::NotUtf8),
        (b"{\"ts\":1,\"sensor\":\"a\",\"value\":1.0,\"x\":\"\xff\"}", Reason::NotUtf8),
        (huge.as_bytes(), Reason::WrongType),
        (too_large.as_bytes(), Reason::TooLarge),
        (deep.as_bytes(), Reason::WrongType),
    ] {
        let shown = String::from_utf8_lossy(&message[..message.len().min(60)]);
        assert_eq!(reason("json", json!({}), message), Some(expected), "{shown}");
    }
}

#[test]
fn csv_lines_follow_the_order_of_the_columns() {
    shows(
        "csv",
        json!({}),
        &[
            "1709209800250000,oven1,181.4,good",
            "1, \"a, \"\"b\"\"\",2,",
            "1,\"a, \"\"b\"\"\",2",
            "1,a,1e3,bad\r\n",
            "1,a,1,good,x",
            "1,a,1\n2,b,2",
        ],
        &expect![[r#"
            +-----------------------------+--------+--------+---------+
            | ts                          | sensor | value  | quality |
            +-----------------------------+--------+--------+---------+
            | 2024-02-29T12:30:00.250Z    | oven1  | 181.4  | good    |
            | 1970-01-01T00:00:00.000001Z | a, "b" | 2.0    | good    |
            | 1970-01-01T00:00:00.000001Z | a      | 1000.0 | bad     |
            +-----------------------------+--------+--------+---------+
            from [0, 2, 3]
            1 malformed: 5 values for 4 columns: 1, "a, ""b""",2,
            4 malformed: 5 values for 4 columns: 1,a,1,good,x
            5 malformed: more than one line: 1,a,1 2,b,2
        "#]],
    );
}

#[test]
fn csv_columns_and_delimiter_can_be_named() {
    shows(
        "csv",
        json!({ "delimiter": ";", "columns": [
            { "name": "ts", "type": "timestamp", "unit": "ms" }, { "name": "on", "type": "bool" },
            { "name": "n", "type": "int", "optional": true },
        ]}),
        &["1500;true;-7", "1500; false ", "1500;false;", "1500.5;1;", "1500;;1", "99999999999999999999;true"],
        &expect![[r#"
            +--------------------------+-------+----+
            | ts                       | on    | n  |
            +--------------------------+-------+----+
            | 1970-01-01T00:00:01.500Z | true  | -7 |
            | 1970-01-01T00:00:01.500Z | false |    |
            | 1970-01-01T00:00:01.500Z | false |    |
            +--------------------------+-------+----+
            from [0, 1, 2]
            3 wrong_type: field "on" expects true or false, found "1"
            4 missing_field: field "on" is missing or null
            5 not_finite: field "ts" is beyond the range of its type
        "#]],
    );
}

#[test]
fn no_bad_csv_message_becomes_a_reading() {
    let huge = "9".repeat(262_144);
    for (message, expected) in [
        (&b"1;a;1.5"[..], Reason::WrongType),
        (b"", Reason::Empty),
        (b"1,a,NaN,good", Reason::NotFinite),
        (b"1,a,inf,good", Reason::NotFinite),
        (b"1,a,1e999,good", Reason::NotFinite),
        (b"1,a,abc,good", Reason::WrongType),
        (b"1,a,true,good", Reason::WrongType),
        (b"1,a,,good", Reason::MissingField),
        (b"1,a", Reason::MissingField),
        (b",a,1.5,good", Reason::MissingField),
        (b"yesterday,a,1.5,good", Reason::WrongType),
        (b"[1,1.5]", Reason::WrongType),
        (b"1,\"a,1.5,good", Reason::MissingField),
        (b"1,\xff\xfe\x80,1.0,good", Reason::NotUtf8),
        (huge.as_bytes(), Reason::NotFinite),
    ] {
        let shown = String::from_utf8_lossy(&message[..message.len().min(60)]);
        assert_eq!(reason("csv", json!({}), message), Some(expected), "{shown}");
    }
}

#[test]
fn a_plain_number_is_a_value() {
    shows(
        "number",
        json!({}),
        &["181.4", " -3 \n", "1e3", "NaN", "inf", "1e999", "abc", "true", "1,5", " ", ""],
        &expect![[r#"
            +--------+
            | value  |
            +--------+
            | 181.4  |
            | -3.0   |
            | 1000.0 |
            +--------+
            from [0, 1, 2]
            3 not_finite: field "value" is beyond the range of its type
            4 not_finite: field "value" is beyond the range of its type
            5 not_finite: field "value" is beyond the range of its type
            6 malformed: "abc" is no number
            7 malformed: "true" is no number
            8 malformed: "1,5" is no number
            9 empty: the message is only white space
            10 empty: the message has no bytes
        "#]],
    );
}

#[test]
fn a_raw_message_is_kept_as_it_is() {
    shows(
        "raw",
        json!({}),
        &["a", "", "{}"],
        &expect![[r#"
        +---------+
        | payload |
        +---------+
        | a       |
        | {}      |
        +---------+
        from [0, 2]
        1 empty: the message has no bytes
    "#]],
    );
    assert_eq!(reason("raw", json!({}), b"\xff"), Some(Reason::NotUtf8));
    assert_eq!(reason("raw", json!({ "form": "binary" }), b"\xff"), None);
    assert_eq!(reason("raw", json!({ "max_bytes": 2 }), b"abc"), Some(Reason::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_panic_a_decoder(message in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in ["json", "csv", "number", "raw"] {
            decode(codec, json!({}), &[&message]);
        }
    }

    #[test]
    fn no_text_like_ours_panics_a_decoder(message in "[\\[\\]{}\",:tsvaluenor0-9.eE+\\-\\\\u \n]{0,60}") {
        for codec in ["json", "csv", "number", "raw"] {
            decode(codec, json!({}), &[message.as_bytes()]);
        }
        decode("json", json!({ "many": true, "fields": { "s": { "type": "text", "path": "a.b", "optional": true } } }), &[message.as_bytes()]);
    }

    #[test]
    fn every_float_reads_back_exactly(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        for codec in ["json", "csv", "number"] {
            let rows = batch(vec![("value", Arc::new(Float64Array::from(vec![value])))]);
            let message = encode(codec, json!({}), &rows).remove(0).unwrap();
            let options = match codec {
                "json" => json!({ "fields": { "value": "float" } }),
                "csv" => json!({ "columns": [{ "name": "value", "type": "float" }] }),
                _ => json!({}),
            };
            let read = decode(codec, options, &[message.as_bytes()]);
            let column = read.rows.column(0).as_any().downcast_ref::<Float64Array>().unwrap();
            prop_assert_eq!(column.value(0).to_bits(), value.to_bits(), "{}: {}", codec, message);
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (codec, options, part) in [
        ("json", json!({ "fields": {} }), "no field is named"),
        ("json", json!({ "fields": { "v": "double" } }), "fields.v"),
        ("json", json!({ "fields": { "v": { "type": "float", "unit": "ms" } } }), "has no unit"),
        ("json", json!({ "fields": { "a": "float", "b": { "type": "float", "path": "a" } } }), "for another field"),
        ("json", json!({ "fields": { "a": { "type": "float", "path": "x..y" } } }), "between all dots"),
        ("json", json!({ "time": "ms" }), "only for writing"),
        ("json", json!({ "feilds": {} }), "unknown option"),
        ("csv", json!({ "delimiter": "ab" }), "one ASCII character"),
        ("csv", json!({ "columns": [] }), "no column is named"),
        ("raw", json!({ "form": "hex" }), "form"),
    ] {
        let told = wrong(codec, options);
        assert!(told.contains(part), "{part} not in: {told}");
    }
}

// ---------------------------------------------------------------- writing

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn rows() -> RecordBatch {
    let times: ArrayRef = Arc::new(
        arrow::array::TimestampMicrosecondArray::from(vec![1_709_209_800_250_000, -1])
            .with_data_type(schema::time_type()),
    );
    batch(vec![
        ("ts", times),
        ("sensor", Arc::new(StringArray::from(vec![Some("a;\"b\""), None]))),
        ("value", Arc::new(Float64Array::from(vec![181.5, f64::NAN]))),
        ("n", Arc::new(Int32Array::from(vec![Some(-7), None]))),
        ("on", Arc::new(BooleanArray::from(vec![true, false]))),
        ("quality", Quality::column([Quality::Good, Quality::Bad])),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"x"[..], b"y"]))),
    ])
}

fn encode(codec: &str, options: Value, rows: &RecordBatch) -> Vec<Option<String>> {
    let make = find_codec(codec).unwrap().plan_encoder(&options, &rows.schema(), &here()).unwrap();
    let mut out = Vec::new();
    make().encode(rows, &mut out).unwrap();
    assert_eq!(out.len(), rows.num_rows());
    out.into_iter().map(|m| m.map(|m| String::from_utf8(m.to_vec()).unwrap())).collect()
}

fn writes(codec: &str, options: Value, expected: &Expect) {
    let lines = encode(codec, options, &rows());
    expected.assert_eq(&lines.into_iter().map(|m| m.unwrap_or("-".into()) + "\n").collect::<String>());
}

#[test]
fn rows_are_written_as_json_objects() {
    writes(
        "json",
        json!({}),
        &expect![[r#"
        {"ts":1709209800250000,"sensor":"a;\"b\"","value":181.5,"n":-7,"on":true,"quality":"good","bytes":"x"}
        {"ts":-1,"sensor":null,"value":null,"n":null,"on":false,"quality":"bad","bytes":"y"}
    "#]],
    );
    writes(
        "json",
        json!({ "time": "rfc3339" }),
        &expect![[r#"
        {"ts":"2024-02-29T12:30:00.250000Z","sensor":"a;\"b\"","value":181.5,"n":-7,"on":true,"quality":"good","bytes":"x"}
        {"ts":"1969-12-31T23:59:59.999999Z","sensor":null,"value":null,"n":null,"on":false,"quality":"bad","bytes":"y"}
    "#]],
    );
}

#[test]
fn rows_are_written_as_csv_lines() {
    writes(
        "csv",
        json!({ "delimiter": ";", "time": "ms" }),
        &expect![[r#"
        1709209800250;"a;""b""";181.5;-7;true;good;x
        -1;;;;false;bad;y
    "#]],
    );
}

#[test]
fn one_column_is_written_as_a_number_or_as_it_is() {
    writes(
        "number",
        json!({}),
        &expect![[r#"
        181.5
        -
    "#]],
    );
    writes(
        "number",
        json!({ "column": "n" }),
        &expect![[r#"
        -7
        -
    "#]],
    );
    writes(
        "raw",
        json!({ "column": "sensor" }),
        &expect![[r#"
        a;"b"
        -
    "#]],
    );
    writes(
        "raw",
        json!({ "column": "bytes" }),
        &expect![[r#"
        x
        y
    "#]],
    );
}

#[test]
fn a_column_that_is_not_there_is_named_with_the_nearest() {
    for (codec, column, part) in
        [("number", "valve", "no column"), ("number", "sensor", "no number"), ("raw", "n", "neither")]
    {
        let options = json!({ "column": column });
        let planned = find_codec(codec).unwrap().plan_encoder(&options, &rows().schema(), &here());
        let Err(told) = planned else { panic!("{codec} took {column}") };
        assert!(told.to_string().contains(part), "{told}");
    }
}
