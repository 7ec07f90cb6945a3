//! Readers stop loudly at a log that is not what it must be.

use event_store::{EventLog, FeedError, Reader, Role};
use sqlx::Executor as _;
use tests::World;

use crate::support::append;

/// Five events, and a reader at the beginning.
async fn five_events(world: &World) -> Reader<EventLog> {
    let store = world.store().await;
    for n in 0..5 {
        store.append(append(&format!("s-{n}"))).await.unwrap();
    }
    Reader::after(
        EventLog::open(world.pool(Role::Projector)).await.unwrap(),
        0,
    )
}

/// What only a superuser who switches the triggers off can do.
async fn tamper(world: &World, statement: &str) {
    let mut owner = world.owner().await;
    owner
        .execute("set session_replication_role = replica")
        .await
        .unwrap();
    (&mut owner).execute(statement).await.unwrap();
}

#[tokio::test]
async fn a_reader_sees_every_event_in_order() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    assert_eq!(reader.next(3).await.unwrap().len(), 3);
    assert_eq!(reader.next(3).await.unwrap().len(), 2);
    assert_eq!(reader.next(3).await.unwrap().len(), 0);
    assert_eq!(reader.position(), 5);
}

#[tokio::test]
async fn a_gap_stops_the_reader_and_is_named() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    tamper(&world, "delete from es.events where position = 3").await;
    let stopped = reader.next(10).await.unwrap_err();
    assert!(
        matches!(
            stopped,
            FeedError::NotContiguous {
                expected: 3,
                found: 4,
                ..
            }
        ),
        "{stopped}"
    );
    assert_eq!(reader.position(), 0);
}

#[tokio::test]
async fn a_lost_tail_is_noticed() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    reader.next(10).await.unwrap();
    tamper(&world, "delete from es.events where position > 3").await;
    let stopped = reader.next(10).await.unwrap_err();
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

#[tokio::test]
async fn another_incarnation_is_noticed() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    reader.next(10).await.unwrap();
    tamper(&world, "update es.log set incarnation = gen_random_uuid()").await;
    assert!(matches!(
        reader.next(10).await,
        Err(FeedError::OtherIncarnation { .. })
    ));
}
