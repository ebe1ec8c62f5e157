//! What is checked before a pipeline runs, and what `explain` shows.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use bytes::Bytes;
use expect_test::expect;
use lineside_connectors::registry::{find, find_codec};
use lineside_model::{Problems, Reason};
use serde_json::json;

use super::{context, folder, plan, shown};

const MAP: &str = "name,table,address,type,access,min,max,unit,poll_class\n\
                   t,input,0,i16,,,,°C,fast\nsp,holding,0,u16,RW,0,400,°C,slow\nlamp,coil,3,,WO,,,,\n";

fn told(problems: &Problems) -> String {
    let hint = |hint: &Option<String>| hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let folder = |line: String| line.rsplit_once("/map.csv").map_or(line.clone(), |(_, rest)| format!("map.csv{rest}"));
    problems.0.iter().map(|p| folder(Problems(vec![p.clone()]).to_string()) + &hint(&p.hint) + "\n").collect()
}

#[test]
fn the_poll_plan_is_explained() {
    let options = json!({"url": "plc.local", "registers": "map.csv", "poll": {"fast": "100ms", "slow": "1s"}});
    expect![[r#"
        modbus://plc.local:502, 1s a request, one request at a time
        poll class fast every 100ms: 1 tag in 1 request, about 2ms of bus time (2.0 %)
          unit 1 input 0: 1 register (0 in vain), 1 tag
        poll class slow every 1s: 1 tag in 1 request, about 2ms of bus time (0.2 %)
          unit 1 holding 0: 1 register (0 in vain), 1 tag
        bus load 2.2 %, at 2ms a request, one at a time"#]]
    .assert_eq(&plan(MAP, &options).expect("good").join("\n"));
}

#[test]
fn all_mistakes_of_a_source_are_told_at_once() {
    let options = json!({
        "url": "mqtt://plc", "registers": "map.csv", "poll": {"fats": "100ms", "slow": "1us"},
        "max_registers": 200, "timeout": "0s", "base": 2,
    });
    expect![[r#"
        option "base": expects 0 or 1, found 2
        option "timeout": expects at least 1ms, found 0s
        option "max_registers": expects 1 to 125, found 200
        option "poll.slow": a poll expects a period of at least 1ms, found 1us
        option "url": unknown scheme "mqtt" in "mqtt://plc" (write modbus://host:port, such as modbus://10.0.0.7:502)
        map.csv:2:9: column "address" expects a number from 2 to 65537, found "0"
        map.csv:3:12: column "address" expects a number from 2 to 65537, found "0"
    "#]]
    .assert_eq(&told(&plan(MAP, &options).expect_err("wrong")));
    let options = json!({"url": "plc", "register": "map.csv", "poll": 5, "unit": 300});
    expect![[r#"
        option "register": unknown option "register" (did you mean "registers"?)
        option "registers" is missing (registers: The register map, a CSV file.)
        option "poll": wrong type: found integer "5"; expected a duration such as "1s", or a table of poll classes such as { fast = "100ms" }
        option "unit": invalid value: integer "300"; expected u8
    "#]].assert_eq(&told(&plan(MAP, &options).expect_err("wrong")));
}

#[test]
fn a_sink_says_what_it_may_write_and_what_it_needs() {
    let kind = find("modbus").expect("in the registry");
    let readings = lineside_model::schema::readings();
    let folder = folder(MAP);
    let options = json!({"url": "plc.local", "registers": "map.csv"});
    let planned = kind.plan_sink(&options, &readings, None, &context(&folder)).expect("good");
    assert_eq!(planned.tags, ["sp", "lamp"]);
    expect![[r#"
        modbus://plc.local:502, 1s a request, every write read back
        may write sp: unit 1 holding 0, 0 to 400 °C
        may write lamp: unit 1 coil 3, no limits"#]]
    .assert_eq(&planned.explain.join("\n"));
    let options = json!({"url": "plc.local", "registers": "maps.csv", "tolerance": -1.0});
    let input = std::sync::Arc::new(readings.project(&[0, 3]).expect("columns"));
    let wrong = kind.plan_sink(&options, &input, None, &context(&folder)).expect_err("wrong");
    expect![[r#"
        option "tolerance": expects a number of at least 0, found -1
        option "input": the input has no column "sensor"; it has: ts, quality (name it in the query: SELECT … AS sensor)
        option "input": the input has no column "value"; it has: ts, quality (name it in the query: SELECT … AS value)
        option "registers": file "maps.csv" could not be read: No such file or directory (os error 2) (paths start from the folder of the pipeline file)
    "#]].assert_eq(&told(&wrong));
}

#[test]
fn a_message_of_registers_is_read_through_the_map() {
    let map = "name,table,address,type,length,scale\nt,holding,100,i16,,0.1\nx,holding,102,f32,,\n\
               label,holding,104,string,1,\nelsewhere,holding,7,u16,,\n";
    let folder = folder(map);
    let kind = find_codec("registers").expect("in the registry");
    let options = json!({"registers": "map.csv", "start": 100});
    let (schema, make) = kind.plan_decoder(&options, &context(&folder)).expect("good");
    let names = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["sensor", "value", "text", "quality"]);
    let messages = [
        Bytes::from_static(&[0xff, 0xff, 0, 0, 0x7f, 0x80, 0, 0, b'o', b'k']),
        Bytes::from_static(&[0, 1, 0]),
        Bytes::new(),
        Bytes::from_static(&[0, 20]),
    ];
    let decoded = make().decode(&messages).expect("decodes");
    assert_eq!(shown(&decoded.rows), "t -0.1 good\nx - bad\nlabel - good\nt 2.0 good\n");
    assert_eq!(decoded.message_of_row, Some(vec![0, 0, 0, 3]));
    let bad = decoded.bad.iter().map(|(n, reason, _)| (*n, *reason)).collect::<Vec<_>>();
    assert_eq!(bad, [(1, Reason::Malformed), (2, Reason::Empty)]);
    let none: RecordBatch = make().decode(&[]).expect("no messages").rows;
    assert_eq!(none.column(1).as_primitive::<Float64Type>().len(), 0);
}
