//! How a source reaches the workers of its component.

use lineside_model::{Reason, Result};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::edge::{Order, ToWorker};
use crate::graph::{Batch, Component, Exchange, Message, Sharing};
use crate::observe::Meter;
use crate::plan::bounds::{AHEAD_MESSAGES, EDGE_MESSAGES, TURN_ROWS_LEAST};
use crate::plan::{Input, SourcePlan};

/// The workers of a component, as one source sees them.
#[derive(Debug)]
pub(super) struct Spread {
    to: Vec<mpsc::Sender<ToWorker>>,
    way: Way,
    meter: Arc<Meter>,
}

/// How rows are shared out.
#[derive(Debug)]
enum Way {
    /// To the first worker.
    First,
    /// By key.
    ByKey(Exchange),
    /// Batch by batch; so many were sent.
    InTurn(u64),
}

impl Spread {
    /// For a source of a component.
    ///
    /// # Errors
    /// If the key is not in the source, which is our bug.
    pub(super) fn new(
        source: &SourcePlan,
        component: &Component,
        to: Vec<mpsc::Sender<ToWorker>>,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        let way = match &component.sharing {
            Sharing::ByKey(key) if source.table.is_none() => Way::ByKey(Exchange::new(&source.schema, key, to.len())?),
            Sharing::InTurn(_) => Way::InTurn(0),
            Sharing::Whole | Sharing::ByKey(_) => Way::First,
        };
        Ok(Self { to, way, meter })
    }

    /// Rows of the source itself: each goes to one worker.
    pub(super) async fn share_out(&mut self, input: Input, batch: Batch) -> Result<()> {
        match &mut self.way {
            Way::First => self.send(0, input, Message::Data(batch), Order::Free).await,
            Way::ByKey(exchange) => {
                for (worker, rows) in exchange.split(&batch.rows)?.into_iter().enumerate() {
                    if let Some(rows) = rows {
                        self.send(worker, input, Message::Data(Batch { rows, ..batch }), Order::Free).await;
                    }
                }
            }
            Way::InTurn(sent) => {
                let order = Order::Batch(*sent);
                *sent += 1;
                let worker = self.roomiest(batch.rows.num_rows());
                self.send(worker, input, Message::Data(batch), order).await;
            }
        }
        Ok(())
    }

    /// Who takes a batch: one of the others while it has not enough to do, else the first worker, which shares its thread with the
    /// source. A small batch stays there, since handing it to another thread takes longer than the work.
    fn roomiest(&self, rows: usize) -> usize {
        let others = self.to.iter().enumerate().skip(1).filter(|_| rows >= TURN_ROWS_LEAST);
        let waiting = others.map(|(worker, to)| (EDGE_MESSAGES - to.capacity(), worker));
        waiting.filter(|(waiting, _)| *waiting < AHEAD_MESSAGES).min().map_or(0, |(_, worker)| worker)
    }

    /// Rows that only the first worker takes, such as dead letters.
    pub(super) async fn to_first(&self, input: Input, batch: Batch) {
        self.send(0, input, Message::Data(batch), Order::Free).await;
    }

    /// A message that every worker hears, behind all that was sent before.
    pub(super) async fn to_all(&self, input: Input, message: &Message) {
        let order = match self.way {
            Way::InTurn(sent) => Order::Behind(sent),
            Way::First | Way::ByKey(_) => Order::Free,
        };
        for worker in 0..self.to.len() {
            self.send(worker, input, message.clone(), order).await;
        }
    }

    /// There is no more to come: workers that wait for others see that nobody is left.
    pub(super) fn hang_up(&mut self) {
        self.to.clear();
    }

    /// Ends when nobody listens any more.
    pub(super) async fn closed(&self) {
        self.to[0].closed().await;
    }

    /// Waits where the worker is busy: this is how capacity flows backwards.
    async fn send(&self, worker: usize, input: Input, message: Message, order: Order) {
        let message = ToWorker::Message { input, message, order };
        if let Err(mpsc::error::SendError(ToWorker::Message { message: Message::Data(batch), .. })) =
            self.to[worker].send(message).await
        {
            self.meter.drop_rows(Reason::Undelivered, batch.rows.num_rows());
        }
    }
}
