//! What breaks under the writing of a batch, at each point where it can: before the write, after it and before the commit,
//! and where it was done and nobody was told. Whatever it was, the batch counts once.

use event_store::CheckpointError;
use projections::Sink as _;
use projections::runtime::SinkError;

use super::facts::{account, clicked, now};
use super::sinks::{Engine, applying, batch};
use super::world::{World, rows};
use crate::halt::{Halt, until};

const SITES: &str = "rm_site_list_v1.site";

/// Where all shards of the projection stand, for people and for those who wait.
async fn checkpoint(world: &World, name: &str) -> Option<i64> {
    sqlx::query_scalar("select min(checkpoint) from es.projections where name = $1")
        .bind(name)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn rows_of_postgres_that_were_not_committed_come_again() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    let log = world.events().await;
    let mut sink = world.workplace("only").postgres().await;
    let leases = sink.resume().await.unwrap().leases;
    let mut halt = Halt::at_commit(&world.database_url, SITES).await;
    let writing = applying(sink, batch(&log, &leases).await);
    halt.reached(1).await;
    assert_eq!(halt.kill().await, 1);
    let (mut sink, failed) = writing.await.unwrap();
    assert!(matches!(failed, Err(SinkError::Commit(_))), "{failed:?}");
    assert_eq!(rows(&world, SITES).await, 0);

    halt.release().await;
    let standing = sink.resume().await.unwrap();
    assert_eq!(standing.leases, leases);
    sink.apply(batch(&log, &leases).await).await.unwrap();
    assert_eq!(rows(&world, SITES).await, 1);
    assert_eq!(checkpoint(&world, "site_list").await, Some(1));
}

#[tokio::test]
async fn a_commit_of_postgres_that_nobody_was_told_of_is_found() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    let log = world.events().await;
    let (only, proxy) = world.workplace("only").behind_proxy(Engine::Postgres).await;
    let mut sink = only.postgres().await;
    let leases = sink.resume().await.unwrap().leases;
    let mut halt = Halt::at_commit(&world.database_url, SITES).await;
    let writing = applying(sink, batch(&log, &leases).await);
    halt.reached(1).await;
    proxy.lose_replies();
    halt.release().await;
    until(async || checkpoint(&world, "site_list").await == Some(1)).await;
    proxy.cut();
    let (mut sink, failed) = writing.await.unwrap();
    assert!(matches!(failed, Err(SinkError::Commit(_))), "{failed:?}");
    let standing = sink.resume().await.unwrap();
    assert_eq!(standing.leases, leases.reached(1));
    assert_eq!(rows(&world, SITES).await, 1);
}

#[tokio::test]
async fn increments_that_did_not_reach_redis_come_again() {
    let world = World::new().await;
    let clicked = clicked();
    world.collect(clicked, "click", now(), 500).await;
    let log = world.telemetry_log().await;
    let (only, proxy) = world.workplace("only").behind_proxy(Engine::Redis).await;
    let mut sink = only.redis().await;
    let leases = sink.resume().await.unwrap().leases;
    proxy.cut_next_request();
    let failed = sink.apply(batch(&log, &leases).await).await;
    assert!(
        matches!(failed, Err(SinkError::ApplyRedis(_))),
        "{failed:?}"
    );
    assert_eq!(proxy.broken(), 1, "the fault was injected");
    assert_eq!(world.clicks(clicked).await, 0);
    assert_eq!(checkpoint(&world, "telemetry_counters").await, Some(0));

    assert_eq!(sink.resume().await.unwrap().leases, leases);
    sink.apply(batch(&log, &leases).await).await.unwrap();
    assert_eq!(world.clicks(clicked).await, 500);
    assert_eq!(checkpoint(&world, "telemetry_counters").await, Some(500));
}

#[tokio::test]
async fn increments_of_redis_that_nobody_was_told_of_are_found() {
    let world = World::new().await;
    let clicked = clicked();
    world.collect(clicked, "click", now(), 500).await;
    let log = world.telemetry_log().await;
    let (only, proxy) = world.workplace("only").behind_proxy(Engine::Redis).await;
    let mut sink = only.redis().await;
    let leases = sink.resume().await.unwrap().leases;
    proxy.lose_replies();
    let writing = applying(sink, batch(&log, &leases).await);
    until(async || world.clicks(clicked).await == 500).await;
    proxy.cut();
    let (mut sink, failed) = writing.await.unwrap();
    assert!(
        matches!(failed, Err(SinkError::ApplyRedis(_))),
        "{failed:?}"
    );
    // Redis is the authority, and what Postgres mirrors is behind it.
    assert_eq!(checkpoint(&world, "telemetry_counters").await, Some(0));

    world.collect(clicked, "click", now(), 7).await;
    let standing = sink.resume().await.unwrap();
    assert_eq!(standing.leases, leases.reached(500));
    sink.apply(batch(&log, &standing.leases).await)
        .await
        .unwrap();
    assert_eq!(world.clicks(clicked).await, 507);
    assert_eq!(checkpoint(&world, "telemetry_counters").await, Some(507));
}

#[tokio::test]
async fn a_range_that_did_not_reach_clickhouse_comes_again_as_it_was_written_down() {
    let world = World::new().await;
    let clicked = clicked();
    world.collect(clicked, "click", now(), 3_000).await;
    let log = world.telemetry_log().await;
    let (dies, proxy) = world
        .workplace("dies")
        .behind_proxy(Engine::ClickHouse)
        .await;
    let mut sink = dies.clickhouse().await;
    let leases = sink.resume().await.unwrap().leases;
    proxy.cut_next_request();
    let failed = sink.apply(batch(&log, &leases).await).await;
    assert!(
        matches!(failed, Err(SinkError::Insert { .. })),
        "{failed:?}"
    );
    assert_eq!(proxy.broken(), 1, "the fault was injected");
    assert_eq!(world.facts().await, (0, 0));

    // The log has grown when another process takes over.
    world.collect(clicked, "click", now(), 7).await;
    let other = world.workplace("other");
    let standing = other.clickhouse().await.resume().await.unwrap();
    let intent = standing.intent.unwrap();
    assert_eq!((intent.from, intent.to), (0, 3_000));
    world.catch_up().await;
    assert_eq!(world.facts().await, (3_007, 3_007));
    assert_eq!(rows(&world, "es.intents").await, 0);
}

#[tokio::test]
async fn an_insert_into_clickhouse_that_nobody_was_told_of_counts_once() {
    let world = World::new().await;
    let clicked = clicked();
    world.collect(clicked, "click", now(), 3_000).await;
    let log = world.telemetry_log().await;
    let (only, proxy) = world
        .workplace("only")
        .behind_proxy(Engine::ClickHouse)
        .await;
    let mut sink = only.clickhouse().await;
    let leases = sink.resume().await.unwrap().leases;
    proxy.lose_replies();
    let writing = applying(sink, batch(&log, &leases).await);
    until(async || world.facts().await == (3_000, 3_000)).await;
    proxy.cut();
    let (mut sink, failed) = writing.await.unwrap();
    assert!(
        matches!(failed, Err(SinkError::Insert { .. })),
        "{failed:?}"
    );
    assert_eq!(checkpoint(&world, "telemetry_facts").await, Some(0));

    let standing = sink.resume().await.unwrap();
    let intent = standing.intent.unwrap();
    assert_eq!((intent.from, intent.to), (0, 3_000));
    sink.apply(batch(&log, &leases).await).await.unwrap();
    assert_eq!(world.facts().await, (3_000, 3_000));
    assert_eq!(checkpoint(&world, "telemetry_facts").await, Some(3_000));
    assert_eq!(rows(&world, "es.intents").await, 0);
}

#[tokio::test]
async fn shards_that_a_worker_took_unknowingly_are_its_own_and_those_that_it_failed_to_take_are_free()
 {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    world.catch_up().await;
    let held =
        "(select from es.projections where name = 'site_list' and lease_owner = 'only') held";
    let (only, proxy) = world.workplace("only").behind_proxy(Engine::Postgres).await;
    let mut sink = only.postgres().await;
    let mut halt = Halt::at_commit(&world.database_url, "es.projections").await;
    let taking = tokio::spawn(async move {
        let taken = sink.resume().await;
        (sink, taken)
    });
    halt.reached(1).await;
    assert_eq!(halt.kill().await, 1);
    let (mut sink, failed) = taking.await.unwrap();
    assert!(
        matches!(
            failed,
            Err(SinkError::Checkpoint(CheckpointError::Settle { .. }))
        ),
        "{failed:?}"
    );
    assert_eq!(rows(&world, held).await, 0);

    let taking = tokio::spawn(async move {
        let taken = sink.resume().await;
        (sink, taken)
    });
    halt.reached(1).await;
    proxy.lose_replies();
    halt.release().await;
    until(async || rows(&world, held).await == 64).await;
    proxy.cut();
    let (mut sink, failed) = taking.await.unwrap();
    assert!(
        matches!(
            failed,
            Err(SinkError::Checkpoint(CheckpointError::Settle { .. }))
        ),
        "{failed:?}"
    );
    world.register_site(account(), "Hats").await;
    let leases = sink.resume().await.unwrap().leases;
    assert_eq!((leases.iter().count(), leases.lowest()), (64, Some(1)));
    let log = world.events().await;
    sink.apply(batch(&log, &leases).await).await.unwrap();
    assert_eq!(rows(&world, SITES).await, 2);
}
