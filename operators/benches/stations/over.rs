//! `OVER`: what it costs to say something beside every reading, such as the mean of the last minute, and to rank the sensors of a window.

use arrow::datatypes::DataType;
use criterion::Criterion;
use lineside_model::{Span, Timestamp, schema};
use lineside_operators::aggregate::AggregateFunction::{Avg, Max};
use lineside_operators::over::rank::{self, RankFunction, RankOrder, RankSpec};
use lineside_operators::over::{Frame, OverColumn, OverFunction, OverSpec, RowNumber, plan};
use lineside_operators::signal::Hysteresis;
use lineside_operators::window::{WindowKind, plan as plan_windows};
use lineside_operators::{Operator, PlannedOperator};

use crate::feed::{Feed, Output, Turn, time};
use crate::windows::windows_of;

/// The columns of readings and one more.
pub(crate) fn column(function: OverFunction) -> PlannedOperator {
    let arguments = (0..function.arguments()).map(|_| 2).collect();
    let columns = vec![OverColumn { name: "added".to_owned(), function, arguments }];
    let spec = OverSpec { time: 0, time_delay: Span::ZERO, keys: vec![1], passed_on: 5, columns };
    plan(spec, &schema::readings()).expect("the plan is sound")
}

/// The mean of the last minute.
pub(crate) fn mean_of_minute() -> OverFunction {
    let minute = Frame::Range(Some(Span::from_secs(60)));
    OverFunction::aggregate(&Avg, Some(&DataType::Float64), minute).expect("a mean slides")
}

/// Aggregates that slide, the value before, a counter, a switch.
pub(crate) fn frames(criterion: &mut Criterion) {
    let turns = Feed::of_plant().turns();
    let number = DataType::Float64;
    let rows = OverFunction::aggregate(&Avg, Some(&number), Frame::Rows(Some(59))).expect("a mean slides");
    let max = OverFunction::aggregate(&Max, Some(&number), Frame::Range(Some(Span::from_secs(60))));
    let mut group = criterion.benchmark_group("over");
    for (name, function) in [
        ("avg of 60 s", mean_of_minute()),
        ("avg of 60 rows", rows),
        ("max of 60 s", max.expect("a maximum slides")),
        ("lag", OverFunction::lag(&number, 1, false).expect("numbers are kept")),
        ("row_number", OverFunction::series(RowNumber)),
        ("hysteresis", OverFunction::series(Hysteresis::new(180.0, 160.0).expect("there is a dead band"))),
    ] {
        time(&mut group, name, &column(function), &turns);
    }
    group.finish();
}

/// The ten hottest sensors of every second. Elements are the rows of windows.
pub(crate) fn ranks(criterion: &mut Criterion) {
    let every_second = WindowKind::Tumble { size: Span::from_secs(1), offset: Span::ZERO };
    let windows = plan_windows(windows_of(every_second), &schema::readings()).expect("the plan is sound");
    let mut operator: Box<dyn Operator> = (windows.build)();
    let mut turns = Vec::new();
    for Turn { ports, watermark } in Feed::of_plant().turns() {
        let mut out = Output::default();
        operator.process(0, ports[0].clone(), &mut out).expect("operators do not fail on rows");
        operator.advance(watermark, &mut out).expect("operators do not fail on time");
        let behind = Timestamp(watermark.micros() - 1_000_000);
        turns.extend(out.0.into_iter().map(|rows| Turn { ports: vec![rows], watermark: behind }));
    }
    let mean = windows.output.index_of("avg").expect("it is computed");
    let spec = RankSpec {
        partition: vec![0, 1],
        times: vec![(0, Span::from_secs(1)), (1, Span::ZERO)],
        order: vec![RankOrder { column: mean, descending: true, nulls_first: false }],
        passed_on: windows.output.fields().len(),
        ranks: vec![(RankFunction::RowNumber, "place".to_owned())],
        best: Some((0, 10)),
    };
    let planned = rank::plan(&spec, &windows.output).expect("the plan is sound");
    let mut group = criterion.benchmark_group("over");
    time(&mut group, "best 10 of a window", &planned, &turns);
    group.finish();
}
