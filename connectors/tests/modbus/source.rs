//! The source: coherent polls, trouble that stays where it is, and no answer taken for another.

use expect_test::expect;
use lineside_connectors::scan::ScanTimer;
use lineside_model::Span;
use serde_json::json;

use super::plc::{Asked, Fault, Plc};
use super::{pull, shown, source};

const TWO_UNITS: &str = "name,unit_id,table,address,type\n\
                         a.one,1,input,0,i16\na.two,1,input,3,u16\nb.one,2,input,0,i16\nb.two,2,holding,0,i16\n";

async fn two_units() -> Plc {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[11, 0, 0, 12]);
    plc.put(2, 3, 0, &[21]);
    plc.put(2, 4, 0, &[22]);
    plc
}

#[tokio::test]
async fn one_poll_gives_all_tags_of_a_class_in_one_batch() {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[0xfffe, 0b1000, 0x4148, 0, 0, 0x4148, 0x7fc0, 0, 0x6f76, 0x656e]);
    plc.put(1, 0, 5, &[1, 0, 1]);
    let map = "name,table,address,type,bit,length,byte_order,scale,offset\n\
               low,input,0,i16,,,,0.5,100\nword,input,1,u16,,,,,\nbit,input,1,bit,3,,,,\n\
               abcd,input,2,f32,,,ABCD,,\ncdab,input,4,f32,,,CDAB,,\nbroken,input,6,f32,,,,,\n\
               label,input,8,string,,2,,,\non,coil,5,,,,,,\noff,coil,6,,,,,,\nlast,coil,7,,,,,,\n";
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "5ms"})).await;
    let rows = pull(&mut *source).await.expect("a poll");
    expect![[r#"
        low 99.0 good
        word 8.0 good
        bit 1.0 good
        abcd 12.5 good
        cdab 12.5 good
        broken - bad
        label - good
        on 1.0 good
        off 0.0 good
        last 1.0 good
    "#]]
    .assert_eq(&shown(&rows));
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    assert_eq!(names, ["ts", "sensor", "value", "text", "quality", "received_at"]);
    let text = rows.column_by_name("text").expect("there are strings");
    assert_eq!((text.null_count(), text.len()), (9, 10));
    assert_eq!(plc.take_log().len(), 2, "one request for each table");
    assert_eq!(counts.of("not_finite"), 1);
    assert_eq!(shown(&pull(&mut *source).await.expect("the next poll")), shown(&rows));
    assert!(counts.of("poll_lateness") >= 2);
}

#[tokio::test]
async fn a_silent_unit_is_bad_and_given_a_rest_while_others_go_on() {
    let plc = two_units().await;
    plc.fail(2, 0, 2, Fault::Hang);
    let (mut source, counts) = source(plc.address, TWO_UNITS, &json!({"poll": "1ms", "timeout": "250ms"})).await;
    let bad = "a.one 11.0 good\na.two 12.0 good\nb.one - bad\nb.two - bad\n";
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), bad);
    assert_eq!(plc.take_log().len(), 2, "the second request to the silent unit is left out");
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), bad);
    assert_eq!(plc.take_log().len(), 2, "once is no habit");
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), bad);
    assert_eq!(plc.take_log().len(), 1, "the unit has a rest");
    let good = "a.one 11.0 good\na.two 12.0 good\nb.one 21.0 good\nb.two 22.0 good\n";
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), good);
    assert_eq!((counts.of("timeouts"), plc.connections()), (2, 1));
}

#[tokio::test]
async fn an_exception_concerns_only_the_tags_that_were_asked() {
    let plc = two_units().await;
    plc.fail(2, 4, 1, Fault::Exception(6));
    plc.fail(2, 3, 1, Fault::Exception(11));
    let (mut source, counts) = source(plc.address, TWO_UNITS, &json!({"poll": "1ms"})).await;
    let first = pull(&mut *source).await.expect("a poll");
    assert_eq!(shown(&first), "a.one 11.0 good\na.two 12.0 good\nb.one - bad\nb.two - bad\n");
    assert_eq!((counts.of("exceptions"), counts.of("exception_6"), counts.of("exception_11")), (2, 1, 1));
}

#[tokio::test]
async fn a_block_over_a_hole_is_cut_until_only_missing_registers_are_bad() {
    let plc = Plc::start().await;
    plc.put(1, 4, 0, &[10, 11, 12]);
    plc.put(1, 4, 5, &[15]);
    let map = "name,table,address,type\na,holding,0,u16\nb,holding,2,u16\nmissing,holding,4,u16\nc,holding,5,u16\n";
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "1ms"})).await;
    let expected = "a 10.0 good\nb 12.0 good\nmissing - bad\nc 15.0 good\n";
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), expected);
    assert_eq!(counts.of("splits"), 2);
    plc.take_log();
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), expected);
    let asked = plc.take_log().into_iter().map(|Asked(_, _, start, count)| (start, count[0])).collect::<Vec<_>>();
    assert_eq!(asked, [(0, 3), (4, 1), (5, 1)], "the cut is remembered");
}

#[tokio::test]
async fn a_wrong_transaction_id_drops_the_connection_and_the_next_one_is_in_step() {
    for (fault, counter) in [
        (Fault::WrongTransaction, "resyncs"),
        (Fault::Garbage, "resyncs"),
        (Fault::Drop, "disconnects"),
        (Fault::DropAfter, "disconnects"),
    ] {
        let plc = two_units().await;
        let (mut source, counts) = source(plc.address, TWO_UNITS, &json!({"poll": "1ms"})).await;
        pull(&mut *source).await.expect("a poll");
        plc.fail(2, 3, 1, fault);
        let mut last = String::new();
        let error = loop {
            match pull(&mut *source).await {
                Ok(rows) => last = shown(&rows),
                Err(error) => break error,
            }
        };
        assert_eq!(last, "a.one - bad\na.two - bad\nb.one - bad\nb.two - bad\n", "{fault:?}");
        assert!(error.is_retryable(), "{error}");
        assert_eq!(counts.of(counter), 1, "{fault:?}: {error}");
        source.close().await.expect("closed");
        source.open(None).await.expect("opened anew");
        let rows = shown(&pull(&mut *source).await.expect("a poll"));
        assert_eq!(rows, "a.one 11.0 good\na.two 12.0 good\nb.one 21.0 good\nb.two 22.0 good\n");
        assert_eq!(plc.connections(), 2);
    }
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[1]);
    let map = "name,table,address,type\na,input,0,u16\n";
    plc.fail(1, 4, 1, Fault::Late);
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "1ms", "timeout": "250ms"})).await;
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), "a - bad\n");
    plc.put(1, 3, 0, &[2]);
    // The PLC now sends the answer 1 of the first request, and then the answer 2.
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), "a 2.0 good\n");
    assert_eq!((counts.of("late_answers"), plc.connections()), (1, 1));
}

#[tokio::test]
async fn a_device_that_went_silent_is_connected_to_anew() {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[1]);
    plc.fail(1, 0, 100, Fault::Hang);
    let map = "name,table,address,type\na,input,0,u16\n";
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "1ms", "timeout": "100ms"})).await;
    let error = loop {
        match pull(&mut *source).await {
            Ok(rows) => assert_eq!(shown(&rows), "a - bad\n"),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable(), "{error}");
    assert_eq!((counts.of("timeouts"), counts.of("disconnects")), (2, 1));
    plc.heal();
    source.open(None).await.expect("opened anew");
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), "a 1.0 good\n");
}

#[tokio::test]
async fn a_cancelled_pull_loses_neither_the_answer_nor_the_place() {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[7]);
    plc.fail(1, 4, 1, Fault::Held);
    let map = "name,table,address,type\na,input,0,u16\n";
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "1h", "timeout": "1m"})).await;
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = pull(&mut *source) => panic!("the answer is held back"),
            () = tokio::task::yield_now() => {}
        }
    }
    tokio::select! {
        _ = pull(&mut *source) => panic!("the answer is held back"),
        () = plc.asked() => {}
    }
    plc.release();
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), "a 7.0 good\n");
    assert_eq!((plc.take_log().len(), counts.of("requests")), (1, 1));
}

#[tokio::test]
async fn due_times_missed_while_a_poll_runs_are_counted_and_not_made_up_for() {
    let plc = Plc::start().await;
    plc.put(1, 3, 0, &[7]);
    plc.fail(1, 4, 1, Fault::Held);
    let map = "name,table,address,type\na,input,0,u16\n";
    let (mut source, counts) = source(plc.address, map, &json!({"poll": "5ms", "timeout": "1m"})).await;
    let mut meanwhile = ScanTimer::start(Span::from_millis(18)).expect("a timer");
    meanwhile.tick().await.expect("the first tick");
    tokio::select! {
        _ = pull(&mut *source) => panic!("the answer is held back"),
        _ = meanwhile.tick() => {}
    }
    plc.release();
    pull(&mut *source).await.expect("the poll that was held up");
    pull(&mut *source).await.expect("the next one");
    assert!(counts.of("overruns") >= 2, "{}", counts.of("overruns"));
    assert_eq!(counts.of("requests"), 2, "no poll was made up for");
}

#[tokio::test]
async fn a_long_poll_lets_a_short_one_go_first() {
    let plc = Plc::start().await;
    plc.put(1, 4, 0, &[0; 40]);
    let slow = (0..20).map(|n| format!("s{n},holding,{},u16,slow\n", 2 * n)).collect::<String>();
    let map = format!("name,table,address,type,poll_class\n{slow}f,holding,1,u16,fast\n");
    let more = json!({"poll": {"fast": "20ms", "slow": "1h"}, "max_gap": 0, "spacing": "3ms"});
    let (mut source, _) = source(plc.address, &map, &more).await;
    let mut sizes = Vec::new();
    while sizes.last() != Some(&20) {
        sizes.push(pull(&mut *source).await.expect("a poll").num_rows());
    }
    assert!(sizes.len() >= 3, "the fast class was polled again while the slow one was under way: {sizes:?}");
}
