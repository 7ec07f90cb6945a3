use std::pin::Pin;
use std::time::Duration;

use domain::AccountId;
use event_store::LogName;
use futures::{Stream, StreamExt as _};
use projections::{PublicEvent, StreamError};
use tokio_util::sync::CancellationToken;

use super::facts::{account, anna};
use super::world::World;

type Events = Pin<Box<dyn Stream<Item = Result<PublicEvent, StreamError>> + Send>>;

async fn subscribe(world: &World, account: AccountId, after: Option<i64>) -> Events {
    let after = after.map(|position| world.store.token(position));
    Box::pin(
        world
            .reads
            .events()
            .subscribe(account, after)
            .await
            .unwrap(),
    )
}

async fn next(events: &mut Events) -> PublicEvent {
    tokio::time::timeout(Duration::from_secs(20), events.next())
        .await
        .expect("an event in time")
        .expect("a stream without end")
        .unwrap()
}

struct Tail {
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), projections::Stopped>>,
}

impl Tail {
    fn of(world: &World) -> Self {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(world.projections.run_tail(shutdown.clone()));
        Self { shutdown, running }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_it_missed_and_then_what_comes() {
    let world = World::new().await;
    let (mine, other) = (account(), account());
    for name in ["A", "B", "C"] {
        world.register_site(mine, name).await;
        world.register_site(other, name).await;
    }
    let tail = Tail::of(&world);
    let mut all = subscribe(&world, mine, Some(0)).await;
    let mut resumed = subscribe(&world, mine, Some(3)).await;
    let mut fresh = subscribe(&world, mine, None).await;
    for position in [1, 3, 5] {
        assert_eq!(next(&mut all).await.position.position, position);
    }
    assert_eq!(next(&mut resumed).await.position.position, 5);
    world.register_site(other, "D").await;
    world.register_site(mine, "D").await;
    for events in [&mut all, &mut resumed, &mut fresh] {
        let event = next(events).await;
        assert_eq!(event.position, world.store.token(8));
        assert_eq!(event.event_type, "site.registered");
        assert_eq!((&*event.aggregate_type, event.version), ("site", 1));
        assert_eq!(event.payload["name"], "D");
    }
    tail.stop().await;
    let ended = all.next().await.unwrap();
    assert!(matches!(ended, Err(StreamError::Ended)), "{ended:?}");
}

#[tokio::test]
async fn under_concurrent_appends_there_is_no_gap_and_no_duplicate() {
    const WRITERS: usize = 4;
    const EACH: usize = 150;
    let world = World::new().await;
    let mine = account();
    let tail = Tail::of(&world);
    let write = async {
        let writers = (0..WRITERS).map(|writer| {
            let (world, account) = (&world, if writer == 0 { account() } else { mine });
            async move {
                for _ in 0..EACH {
                    world.register_site(account, "Shoes").await;
                    world.projections.wake().ring(LogName::Events);
                }
            }
        });
        futures::future::join_all(writers).await;
    };
    // Subscribers come at any time, from the beginning, and each reads at its own pace.
    let read = (0..8u64).map(|late| {
        let world = &world;
        async move {
            tokio::time::sleep(Duration::from_millis(late * 20)).await;
            let mut events = subscribe(world, mine, Some(0)).await;
            let mut positions = Vec::new();
            while positions.len() < (WRITERS - 1) * EACH {
                positions.push(next(&mut events).await.position.position);
                if late % 2 == 1 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            positions
        }
    });
    let ((), read) = tokio::join!(write, futures::future::join_all(read));
    let expected: Vec<i64> =
        sqlx::query_scalar("select position from es.events where tenant_id = $1 order by position")
            .bind(mine.as_uuid())
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    for positions in read {
        assert_eq!(positions, expected);
    }
    tail.stop().await;
}

#[tokio::test]
async fn a_subscriber_that_fell_far_behind_reads_the_log() {
    let world = World::new().await;
    let mine = account();
    let tail = Tail::of(&world);
    let mut events = subscribe(&world, mine, None).await;
    world.register_site(mine, "Shoes").await;
    assert_eq!(next(&mut events).await.position.position, 1);
    // More than the tail holds, while nobody listens.
    let writers = (0..40).map(|_| async {
        for _ in 0..40 {
            world.register_site(mine, "Shoes").await;
        }
    });
    futures::future::join_all(writers).await;
    for position in 2..=1_601 {
        assert_eq!(next(&mut events).await.position.position, position);
    }
    tail.stop().await;
}

#[tokio::test]
async fn personal_data_is_null_in_every_event() {
    let world = World::new().await;
    let mine = account();
    let site = world.register_site(mine, "Shoes").await;
    world.order(mine, site, Some(anna()), 3).await;
    let mut events = subscribe(&world, mine, Some(1)).await;
    let event = next(&mut events).await;
    assert_eq!(event.event_type, "activity.recorded");
    assert!(event.payload["buyer"].is_null());
    let shown = event.payload.to_string();
    for hidden in ["$pii", "sealed", "Anna", "subject"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[tokio::test]
async fn a_position_that_was_never_given_out_begins_no_stream() {
    let world = World::new().await;
    let beyond = world
        .reads
        .events()
        .subscribe(account(), Some(world.store.token(1)))
        .await;
    assert!(matches!(
        beyond.err(),
        Some(StreamError::Beyond {
            position: 1,
            head: 0
        })
    ));
    let telemetry = world.reads.positions().token(LogName::Telemetry, 0);
    let other = world
        .reads
        .events()
        .subscribe(account(), Some(telemetry))
        .await;
    assert!(matches!(other.err(), Some(StreamError::OtherLog)));
}

#[tokio::test]
async fn what_a_person_asked_for_is_no_subscribers_business() {
    let world = World::new().await;
    let account = account();
    world.register_site(account, "A").await;
    let registered = domain::data_subject::DataSubjectEvent::Registered {
        at: platform::clock::now(),
    };
    let stream = ("data_subject", uuid::Uuid::now_v7());
    world
        .append(account, stream, 0, std::slice::from_ref(&registered))
        .await;
    let tail = Tail::of(&world);
    let mut events = subscribe(&world, account, Some(0)).await;
    assert_eq!(next(&mut events).await.position.position, 1);
    // One by one as they come, and read as missed.
    let stream = ("data_subject", uuid::Uuid::now_v7());
    world.append(account, stream, 0, &[registered]).await;
    world.register_site(account, "B").await;
    assert_eq!(next(&mut events).await.position.position, 4);
    tail.stop().await;
}
