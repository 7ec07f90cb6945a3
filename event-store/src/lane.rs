//! Group commit across callers: what arrives while a call is in flight goes together with the next.
//!
//! A caller alone is served at once; completion of a call, and nothing else, triggers the next. There is no timer.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

/// What a lane does with a batch.
pub(crate) trait Flush: Send + Sync + 'static {
    type Item: Send + 'static;
    type Reply: Send + 'static;
    type Key: Eq + Hash;

    /// What may stand in one call only once; a second item with the same key waits for the next call.
    fn keys(item: &Self::Item) -> Vec<Self::Key>;

    /// The item's share of [`Limits::weight_max`].
    fn weight(item: &Self::Item) -> usize;

    /// One call. Answers for each item, in order.
    fn flush(&self, items: Vec<Self::Item>) -> impl Future<Output = Vec<Self::Reply>> + Send;
}

/// Bounds on what a lane holds.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Items that wait; beyond it, callers are turned away.
    pub(crate) waiting_max: usize,
    /// Weight of what waits and is in flight; beyond it, callers are turned away.
    pub(crate) waiting_weight_max: usize,
    /// Items in one call.
    pub(crate) items_max: usize,
    /// Weight of one call; a single heavier item goes alone.
    pub(crate) weight_max: usize,
    /// Calls in flight: two, so that one is parsed while the other waits for the disk.
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
    /// Given back when the item has been answered.
    _room: OwnedSemaphorePermit,
}

/// The callers' end of a lane. It drains and ends when the last clone is dropped.
pub(crate) struct Lane<F: Flush> {
    incoming: mpsc::Sender<Waiting<F>>,
    room: Arc<Semaphore>,
    limits: Limits,
    name: &'static str,
}

impl<F: Flush> Clone for Lane<F> {
    fn clone(&self) -> Self {
        Self {
            incoming: self.incoming.clone(),
            room: self.room.clone(),
            limits: self.limits,
            name: self.name,
        }
    }
}

impl<F: Flush> Lane<F> {
    pub(crate) fn start(name: &'static str, flush: F, limits: Limits) -> Self {
        let (incoming, received) = mpsc::channel(limits.waiting_max);
        tokio::spawn(run(name, Arc::new(flush), received, limits));
        let room = Arc::new(Semaphore::new(limits.waiting_weight_max));
        Self {
            incoming,
            room,
            limits,
            name,
        }
    }

    pub(crate) async fn submit(&self, item: F::Item) -> Result<F::Reply, LaneError> {
        let (reply, replied) = oneshot::channel();
        self.incoming
            .try_send(self.admit(item, reply)?)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => self.full(),
                mpsc::error::TrySendError::Closed(_) => LaneError::Ended,
            })?;
        replied.await.map_err(|_| LaneError::Ended)
    }

    fn admit(
        &self,
        item: F::Item,
        reply: oneshot::Sender<F::Reply>,
    ) -> Result<Waiting<F>, LaneError> {
        let weight = F::weight(&item);
        // One that is heavier than all that may wait takes all the room.
        let taken =
            u32::try_from(weight.clamp(1, self.limits.waiting_weight_max)).unwrap_or(u32::MAX);
        let room = self
            .room
            .clone()
            .try_acquire_many_owned(taken)
            .map_err(|_| self.full())?;
        Ok(Waiting {
            item,
            weight,
            reply,
            _room: room,
        })
    }

    fn full(&self) -> LaneError {
        metrics::counter!("proofline_lane_refused_total", "lane" => self.name).increment(1);
        LaneError::Full
    }
}

async fn run<F: Flush>(
    name: &'static str,
    flush: Arc<F>,
    mut received: mpsc::Receiver<Waiting<F>>,
    limits: Limits,
) {
    let mut waiting: VecDeque<Waiting<F>> = VecDeque::new();
    let mut calls = JoinSet::new();
    let mut open = true;
    while open || !waiting.is_empty() || !calls.is_empty() {
        while waiting.len() < limits.waiting_max
            && let Ok(item) = received.try_recv()
        {
            waiting.push_back(item);
        }
        while calls.len() < limits.calls_max && !waiting.is_empty() {
            let batch = take_batch::<F>(&mut waiting, limits);
            metrics::histogram!("proofline_lane_batch_items", "lane" => name)
                .record(batch.len() as f64);
            calls.spawn(call(flush.clone(), batch));
        }
        metrics::gauge!("proofline_lane_waiting_items", "lane" => name).set(waiting.len() as f64);
        tokio::select! {
            item = received.recv(), if open && waiting.len() < limits.waiting_max => match item {
                Some(item) => waiting.push_back(item),
                None => open = false,
            },
            Some(done) = calls.join_next(), if !calls.is_empty() => if let Err(panic) = done {
                tracing::error!(lane = name, error = %panic, "a call of the lane panicked; its callers get no reply");
            },
        }
    }
}

async fn call<F: Flush>(flush: Arc<F>, batch: Vec<Waiting<F>>) {
    let (items, callers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.item, (waiting.reply, waiting._room)))
        .unzip();
    for (result, (reply, _room)) in flush.flush(items).await.into_iter().zip(callers) {
        // A caller that has gone away needs no reply; what was flushed stays flushed.
        let _ = reply.send(result);
    }
}

/// Takes from the front what may go in one call, in order, leaving behind what repeats a key.
fn take_batch<F: Flush>(waiting: &mut VecDeque<Waiting<F>>, limits: Limits) -> Vec<Waiting<F>> {
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    let mut taken = HashSet::new();
    let mut weight = 0;
    while let Some(entry) = waiting.pop_front() {
        let keys = F::keys(&entry.item);
        let heavier = weight + entry.weight;
        let fits =
            batch.is_empty() || (batch.len() < limits.items_max && heavier <= limits.weight_max);
        if !fits {
            left.push_back(entry);
            break;
        }
        let repeated = keys.iter().any(|key| taken.contains(key));
        // A key that was left behind is taken too: whoever comes third must not overtake the second.
        taken.extend(keys);
        if repeated {
            left.push_back(entry);
        } else {
            weight = heavier;
            batch.push(entry);
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Holds each call until the test lets one go, and notes what came together.
    struct Held {
        gate: Arc<Semaphore>,
        calls: Arc<Mutex<Vec<Vec<u32>>>>,
        started: Arc<AtomicUsize>,
    }

    impl Flush for Held {
        type Item = u32;
        type Reply = u32;
        type Key = u32;

        fn keys(item: &u32) -> Vec<u32> {
            vec![item % 100]
        }

        fn weight(item: &u32) -> usize {
            (item / 1000) as usize
        }

        async fn flush(&self, items: Vec<u32>) -> Vec<u32> {
            self.calls.lock().unwrap().push(items.clone());
            self.started.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            items.iter().map(|item| item * 2).collect()
        }
    }

    struct Fixture {
        lane: Lane<Held>,
        gate: Arc<Semaphore>,
        calls: Arc<Mutex<Vec<Vec<u32>>>>,
        started: Arc<AtomicUsize>,
    }

    fn fixture(limits: Limits) -> Fixture {
        let (gate, calls) = (
            Arc::new(Semaphore::new(0)),
            Arc::<Mutex<Vec<Vec<u32>>>>::default(),
        );
        let started = Arc::new(AtomicUsize::new(0));
        let held = Held {
            gate: gate.clone(),
            calls: calls.clone(),
            started: started.clone(),
        };
        Fixture {
            lane: Lane::start("test", held, limits),
            gate,
            calls,
            started,
        }
    }

    impl Fixture {
        fn submit(&self, item: u32) -> tokio::task::JoinHandle<Result<u32, LaneError>> {
            let lane = self.lane.clone();
            tokio::spawn(async move { lane.submit(item).await })
        }

        async fn started(&self, calls: usize) {
            while self.started.load(Ordering::SeqCst) < calls {
                tokio::task::yield_now().await;
            }
        }
    }

    fn limits() -> Limits {
        Limits {
            waiting_max: 8,
            waiting_weight_max: 1_000,
            items_max: 4,
            weight_max: 10,
            calls_max: 1,
        }
    }

    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_alone_goes_at_once_and_the_rest_together() {
        let it = fixture(limits());
        let first = it.submit(1);
        it.started(1).await;
        let rest: Vec<_> = (2..5).map(|item| it.submit(item)).collect();
        settle().await;
        it.gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Ok(2));
        for (reply, item) in rest.into_iter().zip(2..) {
            assert_eq!(reply.await.unwrap(), Ok(item * 2));
        }
        assert_eq!(*it.calls.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
    }

    #[tokio::test]
    async fn a_repeated_key_waits_and_is_not_overtaken() {
        let it = fixture(limits());
        let first = it.submit(1);
        it.started(1).await;
        let mut replies = vec![first];
        for item in [2, 102, 3, 202] {
            replies.push(it.submit(item));
            settle().await;
        }
        it.gate.add_permits(10);
        for reply in replies {
            reply.await.unwrap().unwrap();
        }
        assert_eq!(
            *it.calls.lock().unwrap(),
            [vec![1], vec![2, 3], vec![102], vec![202]]
        );
    }

    #[tokio::test]
    async fn calls_are_bounded_in_items_and_weight() {
        let it = fixture(limits());
        let first = it.submit(1);
        it.started(1).await;
        let mut replies = vec![first];
        for item in [6_002, 5_003, 20_004, 5, 6, 7] {
            replies.push(it.submit(item));
            settle().await;
        }
        it.gate.add_permits(10);
        for reply in replies {
            reply.await.unwrap().unwrap();
        }
        assert_eq!(
            *it.calls.lock().unwrap(),
            [
                vec![1],
                vec![6_002],
                vec![5_003],
                vec![20_004],
                vec![5, 6, 7]
            ]
        );
    }

    #[tokio::test]
    async fn a_full_lane_turns_callers_away() {
        let it = fixture(limits());
        let mut replies = vec![it.submit(1)];
        it.started(1).await;
        // Eight wait inside the lane and eight in its channel.
        for item in 2..18 {
            replies.push(it.submit(item));
            settle().await;
        }
        assert_eq!(it.lane.submit(99).await, Err(LaneError::Full));
        it.gate.add_permits(100);
        for reply in replies {
            reply.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_lane_full_by_weight_turns_callers_away_until_there_is_room() {
        let it = fixture(Limits {
            waiting_weight_max: 12,
            ..limits()
        });
        let heavy = it.submit(10_001);
        it.started(1).await;
        assert_eq!(it.lane.submit(3_002).await, Err(LaneError::Full));
        it.gate.add_permits(10);
        assert_eq!(heavy.await.unwrap(), Ok(20_002));
        // Heavier than all that may wait, it goes alone.
        assert_eq!(it.lane.submit(99_003).await, Ok(198_006));
    }

    #[tokio::test]
    async fn what_was_taken_is_flushed_after_the_last_caller_is_gone() {
        let Fixture {
            lane,
            gate,
            calls,
            started,
        } = fixture(limits());
        let reply = tokio::spawn(async move { lane.submit(1).await });
        while started.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        assert_eq!(reply.await.unwrap(), Ok(2));
        assert_eq!(calls.lock().unwrap().len(), 1);
    }
}
