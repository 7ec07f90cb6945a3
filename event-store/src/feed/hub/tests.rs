use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{Instant, sleep};

use super::*;
use crate::token::Token;

/// How much a record is said to take.
const BYTES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record(i64);

impl Positioned for Record {
    fn position(&self) -> i64 {
        self.0
    }

    fn bucket(&self) -> Bucket {
        Bucket::of(Uuid::nil())
    }

    fn size_bytes(&self) -> usize {
        BYTES
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    fn follows(&self, _: &Self) -> bool {
        true
    }
}

/// A log in memory, which can be made to misbehave.
#[derive(Clone, Default)]
struct MemoryLog(Arc<Memory>);

#[derive(Default)]
struct Memory {
    positions: Mutex<Vec<i64>>,
    state: Mutex<State>,
    pages: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    Fails,
    /// Takes a question and never answers.
    Hangs,
    OtherIncarnation,
}

impl MemoryLog {
    fn of(positions: impl IntoIterator<Item = i64>) -> Self {
        let log = Self::default();
        log.append(positions);
        log
    }

    fn append(&self, positions: impl IntoIterator<Item = i64>) {
        self.0.positions.lock().unwrap().extend(positions);
    }

    fn is(&self, state: State) {
        *self.0.state.lock().unwrap() = state;
    }

    fn pages(&self) -> usize {
        self.0.pages.load(Ordering::SeqCst)
    }

    async fn answers(&self) -> Result<Uuid, sqlx::Error> {
        let state = *self.0.state.lock().unwrap();
        match state {
            State::Well => Ok(Uuid::nil()),
            State::OtherIncarnation => Ok(Uuid::max()),
            State::Fails => Err(sqlx::Error::PoolTimedOut),
            State::Hangs => std::future::pending().await,
        }
    }
}

impl Log for MemoryLog {
    type Record = Record;

    const NAME: LogName = LogName::Events;

    fn incarnation(&self) -> Uuid {
        Uuid::nil()
    }

    async fn page(&self, extent: Extent) -> Result<Page<Record>, FeedError> {
        self.0.pages.fetch_add(1, Ordering::SeqCst);
        let incarnation = self
            .answers()
            .await
            .map_err(FeedError::read(Self::NAME, extent.after))?;
        let positions = self.0.positions.lock().unwrap();
        let after = positions
            .iter()
            .filter(|position| **position > extent.after);
        Ok(Page {
            records: after
                .take(extent.records_max as usize)
                .map(|position| Record(*position))
                .collect(),
            head: positions.last().copied().unwrap_or(0),
            incarnation,
        })
    }

    async fn head(&self) -> Result<(i64, Uuid), sqlx::Error> {
        let incarnation = self.answers().await?;
        Ok((
            self.0
                .positions
                .lock()
                .unwrap()
                .last()
                .copied()
                .unwrap_or(0),
            incarnation,
        ))
    }

    async fn age_seconds(&self, _: i64) -> Result<Option<f64>, sqlx::Error> {
        Ok(None)
    }
}

fn hub(log: &MemoryLog) -> (Hub<MemoryLog>, watch::Sender<()>) {
    let (bell, rung) = watch::channel(());
    (Hub::start(log.clone(), rung, None), bell)
}

/// Until the hub has read once more.
async fn settled(hub: &Hub<MemoryLog>) {
    let mut changed = hub.shared.changed.subscribe();
    changed.changed().await.unwrap();
}

async fn positions<L: Log>(reader: &mut Reader<L>, limit: i64) -> Vec<i64> {
    let records = reader.next(limit).await.unwrap();
    records.iter().map(Positioned::position).collect()
}

/// Everything up to the position, waiting where there is nothing.
async fn follow(mut reader: Reader<Hub<MemoryLog>>, to: i64, limit: i64) -> Vec<i64> {
    let mut all = Vec::new();
    while reader.position() < to {
        let records = positions(&mut reader, limit).await;
        if records.is_empty() {
            reader.log().grown(reader.position()).await;
        }
        all.extend(records);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn all_followers_get_every_record_and_the_log_is_read_once() {
    let log = MemoryLog::of(1..=10);
    let (hub, bell) = hub(&log);
    settled(&hub).await;
    let followers: Vec<_> = [1, 3, 7, 1000, 1000, 1000, 1000, 1000]
        .map(|limit| tokio::spawn(follow(Reader::after(hub.clone(), 10), 1_000, limit)))
        .into();
    for hundred in 0..10 {
        let first = (hundred * 100 + 1).max(11);
        log.append(first..=hundred * 100 + 100);
        bell.send_replace(());
        sleep(Duration::from_millis(20)).await;
    }
    for follower in followers {
        assert_eq!(follower.await.unwrap(), (11..=1_000).collect::<Vec<_>>());
    }
    // Ten for what came, and the looks in between: none of them by a follower.
    assert!(log.pages() < 40, "{}", log.pages());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_behind_reads_for_itself_and_holds_nobody_up() {
    let log = MemoryLog::of(1..=1_000);
    let (_bell, rung) = watch::channel(());
    let hub = Hub::start_within(10 * BYTES, log.clone(), rung, None);
    settled(&hub).await;
    let mut slow = Reader::after(hub.clone(), 0);
    assert_eq!(positions(&mut slow, 7).await, [1, 2, 3, 4, 5, 6, 7]);
    log.append(1_001..=1_100);
    let fast = follow(Reader::after(hub.clone(), 1_000), 1_100, 50).await;
    assert_eq!(fast, (1_001..=1_100).collect::<Vec<_>>());
    assert_eq!(hub.shared.window().kept(), 10);
    assert_eq!(
        follow(slow, 1_100, 300).await,
        (8..=1_100).collect::<Vec<_>>()
    );
    let before = log.pages();
    assert_eq!(positions(&mut Reader::after(hub, 1_095), 9).await.len(), 5);
    assert_eq!(log.pages(), before, "taken from memory");
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_heard_at_once_and_silence_costs_little() {
    let log = MemoryLog::of(1..=5);
    let (hub, bell) = hub(&log);
    sleep(Duration::from_secs(1)).await;
    let before = log.pages();
    sleep(Duration::from_secs(10)).await;
    assert!(log.pages() - before <= 200, "{}", log.pages() - before);
    for ring in [true, false] {
        sleep(Duration::from_millis(501)).await;
        let (began, head) = (Instant::now(), log.head().await.unwrap().0);
        log.append([head + 1]);
        if ring {
            bell.send_replace(());
        } else {
            hub.ring();
        }
        hub.grown(head).await;
        assert!(
            began.elapsed() < Duration::from_millis(2),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn announced_logs_are_looked_at_seldom_until_an_announcement_is_missed() {
    let log = MemoryLog::of(1..=5);
    let (hub, _bell) = hub(&log);
    hub.shared.hints.listens();
    let looks = async || {
        let before = log.pages();
        sleep(Duration::from_secs(10)).await;
        log.pages() - before
    };
    sleep(Duration::from_secs(2)).await;
    assert!((15..=21).contains(&looks().await));
    // Appended, and announced to nobody.
    log.append([6]);
    hub.grown(5).await;
    assert!(looks().await > 150);
    // Announced again.
    log.append([7]);
    hub.shared.hints.hear(&hub.shared.bell);
    hub.grown(6).await;
    assert!(looks().await < 40);
}

#[tokio::test(start_paused = true)]
async fn a_broken_log_stops_every_follower_and_is_named() {
    let gap = (vec![7], 6, 7);
    let duplicate = (vec![6, 6], 7, 6);
    let swap = (vec![7, 6], 6, 7);
    for (appended, expected, found) in [gap, duplicate, swap] {
        let log = MemoryLog::of(1..=5);
        let (hub, bell) = hub(&log);
        settled(&hub).await;
        log.append(appended);
        bell.send_replace(());
        hub.grown(5).await;
        for position in [0, 3, 5] {
            let stopped = Reader::after(hub.clone(), position).next(100).await;
            let Err(FeedError::NotContiguous {
                expected: wanted,
                found: met,
                ..
            }) = stopped
            else {
                panic!("{position}: {stopped:?}");
            };
            assert_eq!((wanted, met), (expected, found));
        }
        assert_eq!(hub.health().known_head(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_tail_and_another_incarnation_stop_every_follower() {
    let log = MemoryLog::of(1..=5);
    let (lost, _bell) = hub(&log);
    settled(&lost).await;
    log.0.positions.lock().unwrap().truncate(3);
    sleep(Duration::from_secs(1)).await;
    let stopped = Reader::after(lost.clone(), 2).next(1).await.unwrap_err();
    assert!(
        matches!(
            stopped,
            FeedError::LostTail {
                position: 5,
                head: 3,
                ..
            }
        ),
        "{stopped}"
    );

    log.is(State::OtherIncarnation);
    let (other, _bell) = hub(&log);
    sleep(Duration::from_secs(1)).await;
    let stopped = Reader::after(other.clone(), 3).next(1).await.unwrap_err();
    assert!(
        matches!(stopped, FeedError::OtherIncarnation { .. }),
        "{stopped}"
    );
    assert_eq!(other.health().known_head(), None);
}

#[tokio::test(start_paused = true)]
async fn a_follower_ahead_of_a_log_that_lost_its_tail_is_told() {
    let log = MemoryLog::of(1..=3);
    let (hub, _bell) = hub(&log);
    settled(&hub).await;
    let stopped = Reader::after(hub, 5).next(1).await.unwrap_err();
    assert!(
        matches!(
            stopped,
            FeedError::LostTail {
                position: 5,
                head: 3,
                ..
            }
        ),
        "{stopped}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_dead_is_not_taken_for_one_without_news() {
    let log = MemoryLog::of(1..=5);
    let (hub, _bell) = hub(&log);
    settled(&hub).await;
    assert_eq!(hub.health().known_head(), Some(5));
    for dead in [State::Fails, State::Hangs] {
        log.is(dead);
        sleep(Duration::from_secs(4)).await;
        let health = hub.health();
        assert_eq!(health.head, Some(5));
        assert_eq!(health.known_head(), None, "{dead:?}");
        assert!(health.age.unwrap() >= Duration::from_secs(3));
        sleep(Duration::from_secs(10)).await;
        assert!(hub.health().error.is_some(), "{dead:?}");
        let mut follower = Reader::after(hub.clone(), 5);
        assert!(matches!(
            follower.next(1).await,
            Err(FeedError::Read { .. })
        ));
        log.is(State::Well);
        sleep(Duration::from_secs(12)).await;
        assert_eq!(hub.health().known_head(), Some(5));
        assert!(follower.next(1).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_reading_ends_with_the_last_who_could_follow() {
    let log = MemoryLog::of(1..=5);
    let (hub, _bell) = hub(&log);
    let follower = Reader::after(hub, 5);
    sleep(Duration::from_secs(1)).await;
    assert!(log.pages() > 5);
    drop(follower);
    sleep(Duration::from_millis(10)).await;
    let before = log.pages();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(log.pages(), before);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_hub_are_those_of_its_log() {
    let log = MemoryLog::of(1..=5);
    let (hub, _bell) = hub(&log);
    let token = Token {
        log: LogName::Events,
        incarnation: Uuid::nil(),
        position: 5,
    };
    assert_eq!(hub.token(5), token);
    assert_eq!(log.token(5), token);
}
