//! One reader per process and log, and what it says when it is dead.

use std::sync::Arc;
use std::time::Duration;

use event_store::{
    EventLog, FeedError, Hub, Log as _, LogName, Notifier, Positioned as _, Reader, Role, connect,
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;
use tests::proxy::{Proxy, split_address};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::support::append;

/// A hub that nobody in its process rings, as in a process that only reads.
async fn hub_at(url: &str, hints: bool) -> Hub<EventLog> {
    let log = EventLog::open(connect(url, Role::Projector, 4).unwrap())
        .await
        .unwrap();
    let (_, bell) = watch::channel(());
    let hints = hints.then(|| connect(url, Role::Projector, 1).unwrap());
    Hub::start(log, bell, hints)
}

/// Until the hub has read the log's end.
async fn knows(hub: &Hub<EventLog>, head: Option<i64>) {
    let known = async {
        while hub.health().known_head() != head {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(Duration::from_secs(30), known).await.is_err() {
        panic!("{head:?} was expected: {:?}", hub.health());
    }
}

#[tokio::test]
async fn a_dead_reader_is_not_taken_for_one_without_lag() {
    let world = World::new().await;
    let store = world.store().await;
    let (through, target) = split_address(&world.database_url);
    let proxy = Proxy::start(target).await.unwrap();
    let hub = hub_at(&through(proxy.address), true).await;
    store.append(append("s-0")).await.unwrap();
    knows(&hub, Some(1)).await;
    let mut follower = Reader::after(hub.clone(), 1);

    // A host that is gone without a word: what is asked is never answered.
    let silence = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.stall(Duration::from_secs(14)).await }
    });
    store.append(append("s-1")).await.unwrap();
    knows(&hub, None).await;
    assert_eq!(hub.health().head, Some(1), "what was known is told as such");
    let error = async {
        loop {
            if let Err(error) = follower.next(10).await {
                return error;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let error = timeout(Duration::from_secs(13), error).await.unwrap();
    assert!(matches!(error, FeedError::Read { after: 1, .. }), "{error}");
    assert_eq!(follower.position(), 1);

    silence.await.unwrap();
    proxy.cut();
    knows(&hub, Some(2)).await;
    assert_eq!(follower.next(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_whose_backends_are_killed_goes_on_where_it_was() {
    let world = World::new().await;
    let store = world.store().await;
    let hub = hub_at(&world.database_url, true).await;
    knows(&hub, Some(0)).await;
    let mut follower = Reader::after(hub.clone(), 0);
    let mut owner = world.owner().await;
    for n in 0..10 {
        owner
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where application_name = 'proofline_projector' and datname = current_database()",
            )
            .await
            .unwrap();
        store.append(append(&format!("s-{n}"))).await.unwrap();
        let position = i64::from(n) + 1;
        let read = async {
            while follower.position() < position {
                // A read that met the killed backend fails, and the next one does not.
                let _ = follower.next(10).await;
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(20), read).await.unwrap();
    }
    assert_eq!(follower.position(), 10);
}

#[tokio::test]
async fn what_another_process_appends_is_announced() {
    let world = World::new().await;
    let announced = Notifier::start(
        connect(&world.database_url, Role::Writer, 1).unwrap(),
        LogName::Events,
    );
    let store = world.store().await.announcing(announced);
    let hub = hub_at(&world.database_url, true).await;
    knows(&hub, Some(0)).await;
    let mut waited = Duration::ZERO;
    for n in 0..8 {
        // By now the hub looks twice a second.
        sleep(Duration::from_millis(1_200)).await;
        let position = store.append(append(&format!("s-{n}"))).await.unwrap();
        let began = Instant::now();
        hub.grown(position.position - 1).await;
        waited += began.elapsed();
    }
    // By looking alone it would be two seconds.
    assert!(waited < Duration::from_millis(800), "{waited:?}");
}

#[tokio::test]
async fn a_quiet_log_costs_next_to_nothing() {
    let world = World::new().await;
    let hub = hub_at(&world.database_url, true).await;
    knows(&hub, Some(0)).await;
    let followers: Vec<_> = (0..8)
        .map(|_| {
            let mut follower = Reader::after(hub.clone(), 0);
            tokio::spawn(async move {
                loop {
                    assert!(follower.next(100).await.unwrap().is_empty());
                    sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(2)).await;
    let mut owner = world.owner().await;
    let before = scans(&mut owner).await;
    sleep(Duration::from_secs(6)).await;
    let looks = scans(&mut owner).await - before;
    assert!((1..=20).contains(&looks), "{looks} looks in six seconds");
    for follower in followers {
        follower.abort();
    }
}

/// How often the log's own row was looked up, which every read of the log does once.
async fn scans(owner: &mut PgConnection) -> i64 {
    // Backends tell what they did at most once a second.
    sleep(Duration::from_millis(1_500)).await;
    sqlx::query_scalar(
        "select seq_scan + idx_scan from pg_stat_all_tables where relid = 'es.log'::regclass",
    )
    .fetch_one(owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn many_writers_and_followers_of_every_kind_see_the_same_log() {
    const EVENTS: i64 = 1_600;
    let world = World::new().await;
    let store = world.store().await;
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let (bell, rung) = watch::channel(());
    let hub = Hub::start(log.clone(), rung, None);
    let bell = Arc::new(bell);
    let by_query = tokio::spawn(follow(Reader::after(log.clone(), 0), 1_000, EVENTS));
    // One that never asks for more than a few is soon far behind, and reads by COPY.
    let by_copy = tokio::spawn(follow(Reader::after(log, 0), 20, EVENTS));
    let by_hub = tokio::spawn(follow(Reader::after(hub.clone(), 0), 50, EVENTS));
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (store, bell) = (store.clone(), bell.clone());
            tokio::spawn(async move {
                for n in 0..EVENTS / 16 {
                    store
                        .append(append(&format!("s-{writer}-{n}")))
                        .await
                        .unwrap();
                    bell.send_replace(());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let seen = by_query.await.unwrap();
    assert_eq!(seen.len() as i64, EVENTS);
    assert_eq!(seen, by_copy.await.unwrap());
    assert_eq!(seen, by_hub.await.unwrap());
    let late = follow(Reader::after(hub, 0), 500, EVENTS).await;
    assert_eq!(seen, late);
}

/// Adds events that the lane would not, all at once: at these positions, and so many seconds after the last.
async fn inject(world: &World, events: &[(i64, i64)]) {
    let (positions, seconds): (Vec<i64>, Vec<i64>) = events.iter().copied().unzip();
    let mut owner = world.owner().await;
    owner
        .execute("alter table es.events drop constraint events_pkey")
        .await
        .unwrap();
    sqlx::query(
        "insert into es.events
         select n.position, tenant_id, aggregate_type, 'n-' || n.nth, sequence, bucket, event_id, event_type,
           event_version, recorded_at + make_interval(secs => n.seconds), command_id, correlation_id, causation_id, actor,
           payload, metadata
         from unnest($1::bigint[], $2::bigint[]) with ordinality n(position, seconds, nth),
           (select * from es.events order by position desc limit 1) last",
    )
    .bind(positions)
    .bind(seconds)
    .execute(&mut owner)
    .await
    .unwrap();
}

/// What all who follow are told once the events are there, wherever they stand.
async fn told_of(events: &[(i64, i64)]) -> FeedError {
    let world = World::new().await;
    let store = world.store().await;
    for n in 0..5 {
        store.append(append(&format!("s-{n}"))).await.unwrap();
    }
    let hub = hub_at(&world.database_url, false).await;
    knows(&hub, Some(5)).await;
    inject(&world, events).await;
    hub.ring();
    hub.grown(5).await;
    knows(&hub, None).await;
    let mut told = Vec::new();
    for position in [0, 3, 5] {
        let mut reader = Reader::after(hub.clone(), position);
        told.push(reader.next(100).await.unwrap_err());
        assert_eq!(reader.position(), position);
    }
    let texts: Vec<_> = told.iter().map(FeedError::to_string).collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    told.remove(0)
}

#[tokio::test]
async fn a_gap_a_duplicate_and_a_swap_in_the_log_stop_all_who_follow_and_are_named() {
    let gap = told_of(&[(6, 0), (8, 0)]).await;
    assert!(
        matches!(
            gap,
            FeedError::NotContiguous {
                expected: 7,
                found: 8,
                ..
            }
        ),
        "{gap}"
    );
    let duplicate = told_of(&[(6, 0), (6, 0)]).await;
    assert!(
        matches!(
            duplicate,
            FeedError::NotContiguous {
                expected: 7,
                found: 6,
                ..
            }
        ),
        "{duplicate}"
    );
    let swap = told_of(&[(6, 1), (7, 0)]).await;
    assert!(
        matches!(swap, FeedError::OutOfOrder { position: 7, .. }),
        "{swap}"
    );
}

/// Every position up to the last; the reader itself asserts that none is missing.
async fn follow<L: event_store::Log>(mut reader: Reader<L>, limit: i64, to: i64) -> Vec<i64> {
    let mut seen = Vec::new();
    while reader.position() < to {
        let records = reader.next(limit).await.unwrap();
        if records.is_empty() {
            tokio::select! {
                () = reader.log().grown(reader.position()) => {}
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
        seen.extend(records.iter().map(|record| record.position()));
    }
    seen
}

#[tokio::test]
async fn an_unrelated_transaction_left_open_holds_nobody_up() {
    let world = World::new().await;
    let store = world.store().await;
    let hub = hub_at(&world.database_url, false).await;
    knows(&hub, Some(0)).await;
    let mut old = PgConnection::connect(&world.database_url).await.unwrap();
    old.execute("begin; create table unrelated (n int); insert into unrelated values (1)")
        .await
        .unwrap();
    for n in 0..5 {
        let began = Instant::now();
        store.append(append(&format!("s-{n}"))).await.unwrap();
        timeout(Duration::from_secs(2), hub.grown(n)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    old.execute("commit").await.unwrap();
    assert_eq!(Reader::after(hub, 0).next(10).await.unwrap().len(), 5);
}
