//! What is sent in a run and when it begins: the messages of its feeds, shared out by seconds where a relay takes every other one.

use lineside_model::{Result, Span, Timestamp};

use crate::case::{Case, Feed};
use crate::feed::Feeder;
use crate::synthetic::Message;

/// Feeders and watchers have so long to connect before the first message is due, and so much longer for each connection.
const LEAD: Span = Span::from_millis(500);
const LEAD_EACH: Span = Span::from_millis(5);

/// Which seconds of a feed.
#[derive(Clone, Copy)]
pub(super) enum Seconds {
    All,
    Even,
    Odd,
}

/// How long before the first message is due feeders and watchers begin to connect.
pub(super) fn lead(case: &Case) -> Span {
    let connections = case.feeds.values().map(|feed| i64::from(feed.mqtt.connections)).sum::<i64>();
    Span(LEAD.micros() + LEAD_EACH.micros() * connections)
}

/// A feeder to this address, with the names of its sensors where they are not made up.
pub(super) fn feeder<O: Clone>(address: &str, options: &O, names: Option<Vec<String>>) -> Feeder<O> {
    let feeder = Feeder::new(address, options.clone());
    match names {
        Some(names) => feeder.named(names),
        None => feeder,
    }
}

/// The messages of a feed over the whole run, event times included.
pub(super) fn schedule(
    case: &Case,
    feed: &Feed,
    began: Timestamp,
    seconds: Seconds,
) -> Result<impl Iterator<Item = Message> + Send + 'static> {
    let messages = feed.schedule(case.seed, case.warm_up + case.seconds, began)?;
    Ok(messages.filter(move |message| match seconds {
        Seconds::All => true,
        Seconds::Even => message.due.as_secs().is_multiple_of(2),
        Seconds::Odd => !message.due.as_secs().is_multiple_of(2),
    }))
}
