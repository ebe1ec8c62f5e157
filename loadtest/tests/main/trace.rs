use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lineside_loadtest::trace::{Columns, Row, TimeUnit, nab};
use lineside_loadtest::{Trace, trace};
use lineside_model::{Quality, Timestamp};

fn rows(trace: &Trace) -> Vec<Row> {
    let batches = trace.batches().expect("the trace opens");
    batches.flat_map(|batch| batch.expect("the trace reads to its end")).collect()
}

/// A trace in a file with these bytes.
fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, Trace) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    let trace = Trace::open(file.path()).expect("it opens");
    (file, trace)
}

fn shown(rows: &[Row]) -> String {
    rows.iter().map(|r| format!("{} {} {:?} {}\n", r.ts.micros(), r.sensor, r.value, r.quality.word())).collect()
}

#[test]
fn the_embedded_trace_has_all_its_rows() {
    let trace = nab();
    let rows = rows(&trace);
    assert_eq!((rows.len(), trace.row_count().expect("known")), (29_962, Some(29_962)));
    assert_eq!((rows[0].ts, &*rows[0].sensor), (Timestamp(1_372_896_000_000_000), "nab.ambient.temperature"));
    let step_back = rows.windows(2).filter(|w| w[1].ts < w[0].ts).count();
    assert!(step_back > 0, "the trace is known for its disorder");
}

#[test]
fn the_steel_trace_has_all_its_rows() {
    let trace = Trace::open(concat!(env!("CARGO_MANIFEST_DIR"), "/traces/steel.parquet")).expect("it opens");
    let rows = rows(&trace);
    assert_eq!((rows.len(), trace.row_count().expect("known")), (210_240, Some(210_240)));
    assert_eq!(rows.iter().map(|r| &r.sensor).collect::<std::collections::BTreeSet<_>>().len(), 6);
}

#[test]
fn csv_is_read_as_it_is_and_gzipped() {
    let text = "ts,sensor,value,quality\n1,a.b,2,good\n2,a.b,2.5,uncertain\n3,c,,bad\n4,c,junk,good\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("into memory");
    for bytes in [text.as_bytes(), &gzip.finish().expect("into memory")] {
        let (_file, trace) = file(bytes);
        assert_eq!(
            shown(&rows(&trace)),
            "1 a.b Some(2.0) good\n2 a.b Some(2.5) uncertain\n3 c None bad\n4 c None good\n"
        );
        assert_eq!(trace.row_count().expect("no need to read"), None);
    }
}

#[test]
fn times_may_be_written_as_text_and_quality_may_be_missing() {
    let (_file, trace) = file(b"sensor,value,ts\na,1,2026-01-31T08:00:00Z\na,2,2026-01-31T08:00:00.25Z\n");
    let rows = rows(&trace);
    assert_eq!(rows[1].ts.since(rows[0].ts).micros(), 250_000);
    assert_eq!((rows[0].ts.micros(), rows[0].quality), (1_769_846_400_000_000, Quality::Good));
}

#[test]
fn what_is_wrong_with_a_trace_is_told() {
    let missing = Trace::open("/no/such/file").expect_err("there is none");
    assert!(missing.to_string().starts_with("cannot read trace \"/no/such/file\""), "{missing}");

    let (_file, trace) = file(b"time,sensor,value\n1,a,2\n");
    let error = trace.batches().err().expect("a column is missing").to_string();
    assert!(error.ends_with("has no column \"ts\""), "{error}");

    let (_file, trace) = file(b"ts,sensor,value,quality\n1,a,2,good\n2,a,2,fine\n");
    let error = trace.batches().expect("it opens").find_map(Result::err).expect("row 2 is wrong").to_string();
    assert!(error.ends_with("row 2 has the quality \"fine\""), "{error}");

    let (_file, trace) = file(b"PAR1 this is no Parquet file");
    assert!(trace.batches().is_err() && trace.row_count().is_err());
}

#[test]
fn a_trace_can_be_read_again() {
    let trace = trace::nab();
    assert_eq!(rows(&trace), rows(&trace));
}

#[test]
fn columns_may_have_other_names_and_times_another_unit() {
    let (_file, trace) = file(b"when,tag,reading,state\n1500,a,2.5,bad\n1501,b,,good\n");
    let error = trace.batches().err().expect("other columns").to_string();
    assert!(error.ends_with("has no column \"ts\""), "{error}");
    let columns = Columns {
        ts: "when".to_owned(),
        unit: TimeUnit::Millis,
        sensor: "tag".to_owned(),
        value: "reading".to_owned(),
        quality: "state".to_owned(),
    };
    let rows = rows(&trace.with_columns(columns));
    assert_eq!(shown(&rows), "1500000 a Some(2.5) bad\n1501000 b None good\n");
}
