//! The sink: writes what the map allows, once, and says what became of each row.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lineside_connectors::{Outcome, Sink};
use lineside_model::{Quality, Reason, Result, Timestamp, schema};
use serde_json::json;

use super::plc::{Asked, Fault, Plc};
use super::sink;

const MAP: &str = "name,unit_id,table,address,type,scale,access,min,max\n\
                   sp,1,holding,0,u16,0.1,RW,0,400\nmode,1,holding,1,u16,,RW,,\nfar,1,holding,9,f32,,RW,,\n\
                   on,1,coil,0,,,RW,,\nblind,1,holding,20,u16,,WO,,\ntemp,1,input,0,i16,,RO,,\nother,2,holding,0,u16,,RW,,\n";

async fn plc() -> Plc {
    let plc = Plc::start().await;
    for (table, start, count) in [(4, 0, 2), (4, 9, 2), (4, 20, 1), (0, 0, 1)] {
        plc.put(1, table, start, &vec![0; count]);
    }
    plc.put(2, 4, 0, &[0]);
    plc
}

/// Readings as a control query gives them.
fn rows(commands: &[(&str, f64)]) -> RecordBatch {
    let times = Arc::new(TimestampMicrosecondArray::from_value(1, commands.len()).with_timezone("UTC"));
    let names = StringArray::from_iter_values(commands.iter().map(|(name, _)| name));
    let values = commands.iter().map(|(_, value)| Some(*value)).collect::<Float64Array>();
    let quality = Quality::column(commands.iter().map(|_| Quality::Good));
    let columns = vec![Arc::clone(&times) as _, Arc::new(names) as _, Arc::new(values) as _, quality, times as _];
    RecordBatch::try_new(schema::readings(), columns).expect("the columns of readings")
}

async fn write(sink: &mut dyn Sink, commands: &[(&str, f64)]) -> Result<Outcome> {
    sink.write(&rows(commands), Timestamp(0)).await
}

fn reasons(outcome: &Outcome) -> Vec<(Reason, usize)> {
    outcome.rejected.iter().map(|(reason, rows, _)| (*reason, *rows)).collect()
}

fn writes(plc: &Plc) -> Vec<Asked> {
    plc.take_log().into_iter().filter(|Asked(_, function, ..)| *function > 4).collect()
}

#[tokio::test]
async fn a_batch_is_written_with_few_requests_and_read_back() {
    let plc = plc().await;
    let (mut sink, counts) = sink(plc.address, MAP, &json!({})).await;
    let commands = [("sp", 180.5), ("mode", 1.0), ("far", 1.5), ("on", 1.0), ("other", 7.0), ("blind", 3.0)];
    let outcome = write(&mut *sink, &commands).await.expect("written");
    assert_eq!(outcome, Outcome { written: 6, rejected: vec![] });
    let expected = [
        Asked(1, 5, 0, vec![1]),
        Asked(1, 1, 0, vec![1]),
        Asked(1, 16, 0, vec![1805, 1]),
        Asked(1, 3, 0, vec![2]),
        Asked(1, 16, 9, vec![0x3fc0, 0]),
        Asked(1, 3, 9, vec![2]),
        Asked(1, 6, 20, vec![3]),
        Asked(2, 6, 0, vec![7]),
        Asked(2, 3, 0, vec![1]),
    ];
    assert_eq!(plc.take_log(), expected);
    assert_eq!(counts.of("requests"), 9);
    assert_eq!(counts.of("response_to_write"), 1, "of the first request, which waits for no answer");
    sink.flush().await.expect("nothing is pending");
}

#[tokio::test]
async fn nothing_outside_the_map_reaches_the_device() {
    let plc = plc().await;
    let (mut sink, _) = sink(plc.address, MAP, &json!({})).await;
    let commands =
        [("sp", 400.1), ("sp", -1.0), ("temp", 1.0), ("spp", 1.0), ("mode", f64::NAN), ("mode", 7e4), ("on", 2.0)];
    let outcome = write(&mut *sink, &commands).await.expect("all turned away");
    assert_eq!(outcome.written, 0);
    let expected =
        [(Reason::UnknownTag, 1), (Reason::BadQuality, 1), (Reason::NotWritable, 1), (Reason::OutsideLimits, 4)];
    assert_eq!(reasons(&outcome), expected);
    assert_eq!(plc.take_log(), []);
}

#[tokio::test]
async fn an_interrupted_write_that_was_carried_out_is_not_written_twice() {
    let plc = plc().await;
    let (mut sink, counts) = sink(plc.address, MAP, &json!({})).await;
    plc.fail(1, 6, 1, Fault::DropAfter);
    let commands = [("sp", 180.0), ("other", 5.0)];
    let error = write(&mut *sink, &commands).await.expect_err("the connection is gone");
    assert!(error.is_retryable(), "{error}");
    sink.close().await.expect("closed");
    sink.open().await.expect("opened anew");
    assert_eq!(write(&mut *sink, &commands).await.expect("written").written, 2);
    assert_eq!(writes(&plc), [Asked(1, 6, 0, vec![1800]), Asked(2, 6, 0, vec![5])]);
    assert_eq!((counts.of("already_written"), plc.connections()), (1, 2));
    assert_eq!(counts.of("response_to_write"), 1, "a batch that is given again says nothing of the engine");
    // The next batch is written as always, though it has the same values.
    assert_eq!(write(&mut *sink, &commands).await.expect("written").written, 2);
    assert_eq!(writes(&plc).len(), 2);
}

#[tokio::test]
async fn an_interrupted_write_that_was_not_carried_out_is_written_again() {
    for fault in [Fault::Drop, Fault::WrongTransaction, Fault::Garbage] {
        let plc = plc().await;
        let (mut sink, _) = sink(plc.address, MAP, &json!({"tolerance": 5})).await;
        plc.fail(1, 6, 1, fault);
        write(&mut *sink, &[("mode", 1.0)]).await.expect_err("the connection is gone");
        sink.open().await.expect("opened anew");
        assert_eq!(write(&mut *sink, &[("mode", 1.0)]).await.expect("written").written, 1);
        assert_eq!((writes(&plc).len(), plc.get(1, 4, 1)), (1, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_looked_at_before_it_is_tried_again() {
    let plc = plc().await;
    let (mut sink, counts) = sink(plc.address, MAP, &json!({"timeout": "250ms"})).await;
    plc.fail(1, 6, 1, Fault::Hang);
    assert_eq!(write(&mut *sink, &[("mode", 1.0)]).await.expect("written").written, 1);
    assert_eq!((writes(&plc).len(), counts.of("timeouts"), counts.of("already_written")), (1, 1, 1));
    plc.fail(1, 6, 1, Fault::Late);
    assert_eq!(write(&mut *sink, &[("mode", 2.0)]).await.expect("written").written, 1);
    assert_eq!((counts.of("late_answers"), plc.get(1, 4, 1), plc.connections()), (1, 2, 1));
}

#[tokio::test]
async fn a_dead_unit_is_given_up_at_the_second_attempt_and_others_get_theirs() {
    let plc = plc().await;
    let (mut sink, _) = sink(plc.address, MAP, &json!({"timeout": "250ms"})).await;
    plc.fail(1, 0, 100, Fault::Hang);
    let both = write(&mut *sink, &[("sp", 1.0), ("on", 1.0), ("other", 5.0)]).await.expect("one unit answers");
    assert_eq!((both.written, reasons(&both)), (1, vec![(Reason::Unanswered, 2)]));
    let error = write(&mut *sink, &[("sp", 1.0)]).await.expect_err("it may be the connection");
    assert!(error.is_retryable(), "{error}");
    sink.open().await.expect("opened anew");
    let outcome = write(&mut *sink, &[("sp", 1.0)]).await.expect("given up");
    assert_eq!((outcome.written, reasons(&outcome)), (0, vec![(Reason::Unanswered, 1)]));
}

#[tokio::test]
async fn a_refused_write_is_not_repeated_and_its_neighbour_is_written() {
    let plc = plc().await;
    let map = "name,table,address,type,access\na,holding,0,u16,RW\nb,holding,1,u16,RW\nmissing,holding,2,u16,RW\n";
    let (mut sink, counts) = sink(plc.address, map, &json!({})).await;
    let outcome = write(&mut *sink, &[("a", 5.0), ("b", 6.0), ("missing", 7.0)]).await.expect("answered");
    let why = "tag \"missing\": 7 was refused: illegal address (exception 2)".to_owned();
    assert_eq!(outcome, Outcome { written: 2, rejected: vec![(Reason::Refused, 1, why)] });
    assert_eq!((plc.get(1, 4, 0), plc.get(1, 4, 1), counts.of("exception_2")), (5, 6, 2));
    plc.fail(1, 6, 1, Fault::Exception(6));
    let outcome = write(&mut *sink, &[("a", 9.0)]).await.expect("answered");
    assert_eq!((reasons(&outcome), plc.get(1, 4, 0)), (vec![(Reason::Refused, 1)], 5));
}

#[tokio::test]
async fn a_value_that_does_not_read_back_is_not_called_written() {
    let plc = plc().await;
    let (mut careful, _) = sink(plc.address, MAP, &json!({})).await;
    plc.fail(1, 6, 2, Fault::Ignore);
    let outcome = write(&mut *careful, &[("sp", 20.0)]).await.expect("answered");
    let why = "tag \"sp\": wrote 20, read back 0".to_owned();
    assert_eq!(outcome, Outcome { written: 0, rejected: vec![(Reason::NotVerified, 1, why)] });
    assert_eq!(plc.take_log().len(), 3, "written once and read twice");
    let (mut trusting, _) = sink(plc.address, MAP, &json!({"verify": false, "write_single": false})).await;
    assert_eq!(write(&mut *trusting, &[("sp", 20.0)]).await.expect("answered").written, 1);
    assert_eq!(plc.take_log(), [Asked(1, 16, 0, vec![200])]);
}
