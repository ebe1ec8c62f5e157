//! The loop of a feeder: waits until the next message is due, hands over all that is due by then, and begins again.

use std::time::{Duration, Instant};

use lineside_model::{Error, Result};

use super::books::Books;
use super::pace::Pace;
use crate::clock;
use crate::synthetic::Message;

/// So many messages at most are handed over before they leave.
const ROUND: usize = 4096;

/// What has left since one last looked.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Messages that left.
    pub(super) messages: u64,
    /// How long after it was due the latest of them left.
    pub(super) late_max: Duration,
}

impl Left {
    /// Some messages have left just now, the oldest of which was due then.
    pub(super) fn leave(&mut self, messages: u64, oldest: Instant) {
        self.messages += messages;
        self.late_max = self.late_max.max(clock::monotonic().saturating_duration_since(oldest));
    }
}

/// Where messages leave.
pub(super) trait Outlet {
    /// Takes a message; waits while there is no room.
    async fn take(&mut self, message: &Message, due: Instant) -> Result<()>;
    /// Lets go what was taken, as far as that goes at once; tells whether something stays behind.
    fn let_go(&mut self) -> bool;
    /// Waits until nothing stays behind; may be dropped at any time.
    async fn drain(&mut self);
    /// What has left so far, the counts since one last looked.
    fn left(&mut self) -> &mut Left;
}

/// Hands over each message when it is due, until there are no more or the feed is stopped.
pub(super) async fn run(
    mut messages: impl Iterator<Item = Message>,
    books: &Books,
    outlet: &mut impl Outlet,
) -> Result<()> {
    let cannot = |error| Error::internal("a feeder cannot go on").caused_by(error);
    let pace = Pace::new().map_err(cannot)?;
    let mut behind = false;
    let mut next = messages.next();
    while let Some(first) = next {
        let due = books.at(first.due);
        if due > clock::monotonic() {
            tokio::select! {
                woken = pace.until(due) => woken.map_err(cannot)?,
                () = books.until_stopped() => break,
                () = outlet.drain(), if behind => {}
            }
        } else {
            // The sockets' state is brought up to date by the runtime, which must get its turn.
            tokio::task::yield_now().await;
        }
        if books.stopped() {
            break;
        }
        let now = clock::monotonic();
        let mut count = 0;
        while let Some(message) = next.filter(|message| count < ROUND && books.at(message.due) <= now) {
            outlet.take(&message, books.at(message.due)).await?;
            count += 1;
            next = messages.next();
        }
        behind = outlet.let_go();
        books.enter(std::mem::take(&mut outlet.left().messages), clock::monotonic());
    }
    Ok(())
}
