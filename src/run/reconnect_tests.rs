//! A source that loses its connection: what was read before is in the engine's hands, and is acknowledged all the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Error, Result, Span, Timestamp};
use tokio::sync::mpsc;

use super::Stop;
use super::edge::ToWorker;
use super::source_task::{SourceTask, Wiring};
use super::spread::Spread;
use crate::clock::SimulatedClock;
use crate::graph::{Layout, Message};
use crate::observe::Kind;
use crate::plan::{Input, of_text};

/// What the other end sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Opened,
    Acknowledged(Position),
}

/// Gives one row, then loses its connection, and has nothing more over the next.
#[derive(Debug)]
struct Breaks {
    pulls: usize,
    rows: RecordBatch,
    seen: mpsc::UnboundedSender<Seen>,
}

#[async_trait(?Send)]
impl Source for Breaks {
    async fn open(&mut self, _: Option<Position>) -> Result<()> {
        self.seen.send(Seen::Opened).unwrap();
        Ok(())
    }

    async fn pull(&mut self, _: usize) -> Result<Pulled> {
        self.pulls += 1;
        match self.pulls {
            1 => {
                let (rows, received_at) = (self.rows.clone(), Timestamp(0));
                Ok(Pulled::Rows { rows, received_at, position: Position::Sequence(1) })
            }
            2 => Err(Error::external("the line broke")),
            _ => std::future::pending().await,
        }
    }

    async fn ack(&mut self, position: &Position) -> Result<()> {
        self.seen.send(Seen::Acknowledged(position.clone())).unwrap();
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The other end and the worker of a running source.
struct Ends {
    seen: mpsc::UnboundedReceiver<Seen>,
    worker: mpsc::Receiver<ToWorker>,
    answers: mpsc::UnboundedSender<u64>,
    stop: Stop,
}

impl Ends {
    /// The number of the next barrier that comes to the worker.
    async fn barrier(&mut self) -> u64 {
        loop {
            match self.worker.recv().await {
                Some(ToWorker::Message { message: Message::Barrier(barrier), .. }) => return barrier.number,
                Some(_) => {}
                None => panic!("the source ended without a barrier"),
            }
        }
    }

    async fn opened_twice(&mut self) {
        assert_eq!(self.seen.recv().await, Some(Seen::Opened));
        assert_eq!(self.seen.recv().await, Some(Seen::Opened));
    }
}

/// A source whose other end sends so many messages ahead of an acknowledgement.
fn source(unacked_limit: Option<usize>) -> (SourceTask, Ends) {
    let mut plan = of_text(
        r#"
[source.readings]
connector = "memory"
rows = []
columns = { ts = "timestamp", sensor = "text", value = "float" }
time = { column = "ts" }
[sink.all]
connector = "void"
input = "readings"
"#,
    );
    plan.sources[0].planned.unacked_limit = unacked_limit;
    let plan = Arc::new(plan);
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(Timestamp(0)));
    let board = super::board_of(&plan);
    let meter = super::meter(&board, Kind::Source, "readings").unwrap();
    let layout = Layout::of(&plan);
    let (to_worker, worker) = mpsc::channel(8);
    let (answers, from_sinks) = mpsc::unbounded_channel();
    let (to_test, seen) = mpsc::unbounded_channel();
    let schema = &plan.sources[0].schema;
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
            "sensor" => Arc::new(StringArray::from(vec!["s1"])),
            _ => Arc::new(Float64Array::from(vec![1.0])),
        }
    });
    let rows = RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap();
    let wiring = Wiring {
        workers: Spread::new(&plan.sources[0], &layout.components[0], vec![to_worker], Arc::clone(&meter)).unwrap(),
        inputs: vec![Input::Source(0)],
        answers: from_sinks,
        sinks_below: 1,
        limit: 64,
        retry_within: Span::from_millis(1),
    };
    let stop = Stop::default();
    let breaks = Box::new(Breaks { pulls: 0, rows, seen: to_test });
    let task = SourceTask::new(&plan, 0, breaks, wiring, &meter, &clock, &stop).unwrap();
    (task, Ends { seen, worker, answers, stop })
}

#[tokio::test]
async fn a_barrier_that_was_under_way_when_the_connection_broke_acknowledges_over_the_next() {
    let (task, mut ends) = source(Some(2));
    let (ended, ()) = tokio::join!(task.run(), async {
        let barrier = ends.barrier().await;
        ends.opened_twice().await;
        ends.answers.send(barrier).unwrap();
        assert_eq!(ends.seen.recv().await, Some(Seen::Acknowledged(Position::Sequence(1))));
        ends.stop.stop();
    });
    ended.unwrap();
    assert_eq!(ends.seen.recv().await, None, "once");
}

#[tokio::test]
async fn rows_of_a_lost_connection_are_acknowledged_at_a_stop_though_nothing_new_came() {
    let (task, mut ends) = source(None);
    let (ended, ()) = tokio::join!(task.run(), async {
        ends.opened_twice().await;
        ends.stop.stop();
        let barrier = ends.barrier().await;
        ends.answers.send(barrier).unwrap();
    });
    ended.unwrap();
    assert_eq!(ends.seen.recv().await, Some(Seen::Acknowledged(Position::Sequence(1))));
}
