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

/// An item reads `wwwppkk`: its weight, its party and its key. Keys from 90 on are shared.
impl Flush for Held {
    type Item = u32;
    type Reply = u32;
    type Key = u32;

    fn keys(item: &u32) -> Vec<(u32, Access)> {
        match item % 100 {
            shared @ 90.. => vec![(shared, Access::Shared)],
            // Also what looks at a shared key and must be the only one that does.
            own @ 80.. => vec![(own + 10, Access::Exclusive)],
            own => vec![(own, Access::Exclusive)],
        }
    }

    fn party(item: &u32) -> Uuid {
        Uuid::from_u128(u128::from(item / 100 % 100))
    }

    fn weight(item: &u32) -> usize {
        (item / 10_000) as usize
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

type Reply = tokio::task::JoinHandle<Result<u32, LaneError>>;

impl Fixture {
    async fn submit(&self, item: u32) -> Reply {
        let lane = self.lane.clone();
        let reply = tokio::spawn(async move { lane.submit(item).await });
        settle().await;
        reply
    }

    async fn started(&self, calls: usize) {
        while self.started.load(Ordering::SeqCst) < calls {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the first item go alone, then the others, which gathered meanwhile. What came together.
    async fn after(&self, first: u32, gathered: &[u32]) -> Vec<Vec<u32>> {
        let mut replies = vec![self.submit(first).await];
        self.started(1).await;
        for item in gathered {
            replies.push(self.submit(*item).await);
        }
        self.gate.add_permits(100);
        for (reply, item) in replies
            .into_iter()
            .zip(std::iter::once(&first).chain(gathered))
        {
            assert_eq!(reply.await.unwrap(), Ok(item * 2));
        }
        self.calls.lock().unwrap().clone()
    }
}

fn limits() -> Limits {
    Limits {
        held_max: 16,
        held_weight_max: 100,
        parties_min: 1,
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

#[tokio::test(start_paused = true)]
async fn a_second_call_follows_once_half_of_those_wait_who_were_there_lately() {
    let it = fixture(Limits {
        calls_max: 2,
        ..limits()
    });
    let mut replies = vec![it.submit(1).await, it.submit(2).await];
    it.started(2).await;
    for item in [3, 4, 5] {
        replies.push(it.submit(item).await);
    }
    it.gate.add_permits(1);
    it.started(3).await;
    it.gate.add_permits(1);
    settle().await;
    // Three are in flight, and four were there.
    replies.push(it.submit(6).await);
    assert_eq!(it.started.load(Ordering::SeqCst), 3);
    replies.push(it.submit(7).await);
    it.started(4).await;
    it.gate.add_permits(1);
    settle().await;
    // Whoever is alone beside a call that takes long does not wait for company.
    replies.push(it.submit(8).await);
    assert_eq!(it.started.load(Ordering::SeqCst), 4);
    tokio::time::advance(PATIENCE).await;
    it.started(5).await;
    it.gate.add_permits(10);
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
    let calls = it.calls.lock().unwrap();
    let expected = [vec![1], vec![2], vec![3, 4, 5], vec![6, 7], vec![8]];
    assert_eq!(*calls, expected);
}

#[tokio::test]
async fn one_alone_goes_at_once_and_the_rest_together() {
    let calls = fixture(limits()).after(1, &[2, 3, 4]).await;
    assert_eq!(calls, [vec![1], vec![2, 3, 4]]);
}

#[tokio::test]
async fn a_repeated_key_waits_and_is_not_overtaken() {
    let it = fixture(limits());
    let calls = it.after(1, &[2, 10_002, 3, 20_002]).await;
    assert_eq!(calls, [vec![1], vec![2, 3], vec![10_002], vec![20_002]]);
}

#[tokio::test]
async fn what_shares_a_key_goes_together_and_what_wants_it_alone_does_not() {
    let calls = fixture(limits())
        .after(1, &[91, 10_091, 81, 20_091, 5])
        .await;
    assert_eq!(
        calls,
        [vec![1], vec![91, 10_091, 5], vec![81], vec![20_091]]
    );
}

#[tokio::test]
async fn calls_are_bounded_in_items_and_weight() {
    let gathered = [60_002, 50_003, 200_004, 5, 6, 7, 8, 9];
    let calls = fixture(limits()).after(1, &gathered).await;
    assert_eq!(
        calls,
        [
            vec![1],
            vec![60_002],
            vec![50_003],
            vec![200_004],
            vec![5, 6, 7, 8],
            vec![9]
        ]
    );
}

#[tokio::test]
async fn parties_take_turns_so_that_a_backlog_delays_its_own_party_only() {
    let backlog = [101, 102, 103, 104, 105, 106, 107, 108];
    let gathered = [&backlog[..], &[211, 212, 321]].concat();
    let calls = fixture(limits()).after(1, &gathered).await;
    assert_eq!(
        calls,
        [
            vec![1],
            vec![101, 211, 321, 102],
            vec![212, 103, 104, 105],
            vec![106, 107, 108]
        ]
    );
}

#[tokio::test]
async fn a_party_whose_item_did_not_fit_is_first_next_time() {
    let gathered = [60_101, 60_211, 112, 321];
    let calls = fixture(limits()).after(1, &gathered).await;
    assert_eq!(calls, [vec![1], vec![60_101], vec![60_211, 321, 112]]);
}

#[tokio::test]
async fn within_a_party_the_order_of_a_key_holds_while_others_take_turns() {
    let gathered = [101, 10_101, 102, 211, 20_101];
    let calls = fixture(limits()).after(1, &gathered).await;
    assert_eq!(
        calls,
        [vec![1], vec![101, 211, 102], vec![10_101], vec![20_101]]
    );
}

#[tokio::test]
async fn a_full_lane_turns_callers_away() {
    let it = fixture(limits());
    let mut replies = Vec::new();
    for item in 1..17 {
        replies.push(it.submit(item).await);
    }
    assert_eq!(it.lane.submit(99).await, Err(LaneError::Full));
    it.gate.add_permits(100);
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
    assert_eq!(it.lane.submit(1).await, Ok(2));
}

#[tokio::test]
async fn a_party_that_holds_its_part_is_turned_away_and_others_are_not() {
    let it = fixture(Limits {
        parties_min: 4,
        ..limits()
    });
    let mut replies = Vec::new();
    for item in [101, 102, 103, 104] {
        replies.push(it.submit(item).await);
    }
    assert_eq!(it.lane.submit(105).await, Err(LaneError::Full));
    // By weight, too: a quarter of a hundred.
    replies.push(it.submit(200_201).await);
    assert_eq!(it.lane.submit(60_202).await, Err(LaneError::Full));
    replies.push(it.submit(50_202).await);
    replies.push(it.submit(301).await);
    it.gate.add_permits(100);
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
    assert_eq!(it.lane.submit(105).await, Ok(210));
}

#[tokio::test]
async fn a_lane_full_by_weight_turns_callers_away_until_there_is_room() {
    let it = fixture(Limits {
        held_weight_max: 12,
        ..limits()
    });
    let heavy = it.submit(100_001).await;
    it.started(1).await;
    assert_eq!(it.lane.submit(30_002).await, Err(LaneError::Full));
    it.gate.add_permits(10);
    assert_eq!(heavy.await.unwrap(), Ok(200_002));
    // Heavier than all that may be held, it goes alone.
    assert_eq!(it.lane.submit(990_003).await, Ok(1_980_006));
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
