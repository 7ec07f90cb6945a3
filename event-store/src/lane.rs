//! Group commit across callers: what arrives while a call is in flight goes together with the next.
//!
//! A caller alone is served at once. While a call is in flight, the next follows once half of those wait who were there
//! lately: two large calls in turn keep the database busy, where many small ones would each pay for a statement and a
//! flush. Where so many do not come, completion of a call triggers the next; a call that takes unusually long holds
//! nobody back. No call waits for a timer where none is in flight.
//! Parties (tenants) take turns item by item, so that one with a backlog delays nobody else by more than its turn.

mod queue;
mod room;

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use queue::Queue;
use room::{Room, Share};

/// Over about so many calls a lane forgets how many callers there were.
const CROWD_CALLS: usize = 32;

/// After this a call in flight takes unusually long.
const PATIENCE: Duration = Duration::from_millis(20);

/// What a lane does with a batch.
pub(crate) trait Flush: Send + Sync + 'static {
    type Item: Send + 'static;
    type Reply: Send + 'static;
    type Key: Eq + Hash + Send;

    /// What may stand in one call only once, or shared with others that share it; an item that clashes waits for the next
    /// call.
    fn keys(item: &Self::Item) -> Vec<(Self::Key, Access)>;

    /// On whose behalf: parties take turns, and one alone can't fill the lane.
    fn party(item: &Self::Item) -> Uuid;

    /// The item's share of [`Limits::weight_max`].
    fn weight(item: &Self::Item) -> usize;

    /// One call. Answers for each item, in order.
    fn flush(&self, items: Vec<Self::Item>) -> impl Future<Output = Vec<Self::Reply>> + Send;
}

/// How an item holds a key within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Exclusive,
    Shared,
}

/// Bounds on what a lane holds.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Items that wait or are in flight; beyond it, callers are turned away.
    pub(crate) held_max: usize,
    /// Their weight.
    pub(crate) held_weight_max: usize,
    /// One party's part of the two above is one in so many.
    pub(crate) parties_min: usize,
    /// Items in one call.
    pub(crate) items_max: usize,
    /// Weight of one call; a single heavier item goes alone.
    pub(crate) weight_max: usize,
    /// Calls in flight.
    pub(crate) calls_max: usize,
}

/// Why an item got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneError {
    /// Too much waits already. Nothing was done.
    Full,
    /// The lane has ended. Whether the item was flushed is not known.
    Ended,
}

struct Waiting<F: Flush> {
    item: F::Item,
    weight: usize,
    reply: oneshot::Sender<F::Reply>,
    since: Instant,
    /// The caller's.
    span: Span,
    /// Given back when the item has been answered.
    share: Share,
}

/// The callers' end of a lane. It drains and ends when the last clone is dropped.
pub(crate) struct Lane<F: Flush> {
    /// Unbounded, since what may be in it is bounded by `room`.
    incoming: mpsc::UnboundedSender<Waiting<F>>,
    room: Arc<Room>,
    name: &'static str,
}

impl<F: Flush> Clone for Lane<F> {
    fn clone(&self) -> Self {
        Self {
            incoming: self.incoming.clone(),
            room: self.room.clone(),
            name: self.name,
        }
    }
}

impl<F: Flush> Lane<F> {
    pub(crate) fn start(name: &'static str, flush: F, limits: Limits) -> Self {
        let (incoming, received) = mpsc::unbounded_channel();
        let room = Arc::new(Room::new(limits));
        tokio::spawn(run(name, Arc::new(flush), received, room.clone(), limits));
        Self {
            incoming,
            room,
            name,
        }
    }

    pub(crate) async fn submit(&self, item: F::Item) -> Result<F::Reply, LaneError> {
        let weight = F::weight(&item);
        let Some(share) = Room::take(&self.room, F::party(&item), weight) else {
            metrics::counter!("proofline_lane_refused_total", "lane" => self.name).increment(1);
            return Err(LaneError::Full);
        };
        let (reply, replied) = oneshot::channel();
        let waiting = Waiting {
            item,
            weight,
            reply,
            since: Instant::now(),
            span: Span::current(),
            share,
        };
        self.incoming.send(waiting).map_err(|_| LaneError::Ended)?;
        replied.await.map_err(|_| LaneError::Ended)
    }
}

async fn run<F: Flush>(
    name: &'static str,
    flush: Arc<F>,
    mut received: mpsc::UnboundedReceiver<Waiting<F>>,
    room: Arc<Room>,
    limits: Limits,
) {
    let mut waiting = Queue::new();
    let mut calls = JoinSet::new();
    let mut crowd: usize = 0;
    let (mut started, mut is_cut) = (Instant::now(), false);
    let mut open = true;
    while open || !waiting.is_empty() || !calls.is_empty() {
        while let Ok(item) = received.try_recv() {
            waiting.push(item);
        }
        while !waiting.is_empty()
            && (calls.is_empty()
                || calls.len() < limits.calls_max
                    && (is_cut || 2 * waiting.len() >= crowd || started.elapsed() >= PATIENCE))
        {
            crowd = (crowd - crowd.div_ceil(CROWD_CALLS)).max(room.items());
            let batch = waiting.take_batch(limits);
            // What did not fit need not wait for more.
            (started, is_cut) = (Instant::now(), !waiting.is_empty());
            metrics::histogram!("proofline_lane_batch_items", "lane" => name)
                .record(batch.len() as f64);
            calls.spawn(call(name, flush.clone(), batch));
        }
        metrics::gauge!("proofline_lane_waiting_items", "lane" => name).set(waiting.len() as f64);
        tokio::select! {
            item = received.recv(), if open => match item {
                Some(item) => waiting.push(item),
                None => open = false,
            },
            Some(done) = calls.join_next(), if !calls.is_empty() => if let Err(panic) = done {
                tracing::error!(lane.name = name, error = %panic, "a call of the lane panicked; its callers get no reply");
            },
            () = sleep_until(started + PATIENCE),
                if !waiting.is_empty() && calls.len() < limits.calls_max => {}
        }
    }
}

async fn call<F: Flush>(name: &'static str, flush: Arc<F>, batch: Vec<Waiting<F>>) {
    let (began, span) = (Instant::now(), flush_span(name, &batch));
    let (items, callers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.item, (waiting.reply, waiting.share)))
        .unzip();
    let results = flush.flush(items).instrument(span).await;
    metrics::histogram!("proofline_lane_call_duration_seconds", "lane" => name)
        .record(began.elapsed().as_secs_f64());
    for (result, (reply, share)) in results.into_iter().zip(callers) {
        drop(share);
        // A caller that has gone away needs no reply; what was flushed stays flushed.
        let _ = reply.send(result);
    }
}

/// A part of the first caller's trace, with links to those of the others, whom it serves as well.
fn flush_span<F: Flush>(name: &'static str, batch: &[Waiting<F>]) -> Span {
    for waiting in batch {
        let wait_ms = waiting.since.elapsed().as_secs_f64() * 1_000.0;
        waiting.span.record("lane.wait_ms", wait_ms);
    }
    let first = batch.first().and_then(|waiting| waiting.span.id());
    // Traces know no other whole numbers than these.
    let items = batch.len() as i64;
    let span = tracing::debug_span!(parent: first, "flush", lane.name = name, batch.items = items);
    for waiting in batch.iter().skip(1) {
        span.follows_from(waiting.span.id());
    }
    span
}

#[cfg(test)]
mod tests;
