//! Two workers that believe to hold the same shards: the first was taken for dead meanwhile, and can write no more.

use std::sync::Arc;

use domain::SiteId;
use event_store::{CheckpointError, Log};
use projections::Sink;
use projections::runtime::SinkError;
use uuid::Uuid;

use super::facts::{account, clicked, now};
use super::sinks::{Engine, Workplace, applying, batch};
use super::world::{World, rows};
use crate::halt::{Halt, until};

fn is_fenced(outcome: &Result<(), SinkError>) -> bool {
    matches!(
        outcome,
        Err(SinkError::Fenced | SinkError::Checkpoint(CheckpointError::Fenced { .. }))
    )
}

/// The stale worker is refused, before the present one has written anything and after.
async fn the_stale_is_refused<L, S>(
    log: &L,
    mut stale: S,
    (taker, mut present): (Workplace<'_>, S),
    more: impl AsyncFn(),
) where
    L: Log,
    S: Sink<Arc<L::Record>>,
{
    let stale_leases = stale.resume().await.unwrap().leases;
    taker.beat().await;
    let mut present_leases = present.resume().await.unwrap().leases;
    assert_eq!(
        stale_leases.iter().count(),
        present_leases.iter().count(),
        "all of them changed hands"
    );
    for _ in 0..2 {
        let refused = stale.apply(batch(log, &stale_leases).await).await;
        assert!(is_fenced(&refused), "{refused:?}");
        let next = batch(log, &present_leases).await;
        present_leases = next.reached();
        present.apply(next).await.unwrap();
        more().await;
    }
}

#[tokio::test]
async fn a_stale_epoch_can_never_write_into_postgres() {
    let world = World::new().await;
    // Orders alone: nothing in this read model could collide.
    let site = SiteId::from(Uuid::now_v7());
    let order = async || {
        world.order(account(), site, None, 1).await;
    };
    order().await;
    let (first, second) = (world.workplace("first"), world.workplace("second"));
    let (stale, present) = (first.postgres().await, second.postgres().await);
    the_stale_is_refused(&world.events().await, stale, (second, present), order).await;
}

#[tokio::test]
async fn a_stale_epoch_can_never_write_into_redis() {
    let world = World::new().await;
    let clicked = clicked();
    let collect = async || {
        world.collect(clicked, "click", now(), 50).await;
    };
    collect().await;
    let (first, second) = (world.workplace("first"), world.workplace("second"));
    let (stale, present) = (first.redis().await, second.redis().await);
    the_stale_is_refused(
        &world.telemetry_log().await,
        stale,
        (second, present),
        collect,
    )
    .await;
    assert_eq!(world.clicks(clicked).await, 100);
}

#[tokio::test]
async fn a_stale_epoch_can_never_write_into_clickhouse() {
    let world = World::new().await;
    let clicked = clicked();
    let collect = async || {
        world.collect(clicked, "click", now(), 50).await;
    };
    collect().await;
    let (first, second) = (world.workplace("first"), world.workplace("second"));
    let (stale, present) = (first.clickhouse().await, second.clickhouse().await);
    the_stale_is_refused(
        &world.telemetry_log().await,
        stale,
        (second, present),
        collect,
    )
    .await;
    assert_eq!(world.facts().await, (100, 100));
}

#[tokio::test]
async fn a_batch_that_follows_a_moved_checkpoint_is_fenced() {
    let world = World::new().await;
    let site = SiteId::from(Uuid::now_v7());
    world.order(account(), site, None, 1).await;
    let log = world.events().await;
    let mut sink = world.workplace("only").postgres().await;
    let leases = sink.resume().await.unwrap().leases;
    let (first, again) = (batch(&log, &leases).await, batch(&log, &leases).await);
    sink.apply(first).await.unwrap();
    let refused = sink.apply(again).await;
    assert!(is_fenced(&refused), "{refused:?}");
}

#[tokio::test]
async fn who_takes_shards_over_in_the_middle_of_a_commit_stands_behind_it() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    let (log, head) = (world.events().await, 1);
    let (first, second) = (world.workplace("first"), world.workplace("second"));
    let (mut stale, mut present) = (first.postgres().await, second.postgres().await);
    let leases = stale.resume().await.unwrap().leases;
    second.beat().await;
    let mut halt = Halt::at_commit(&world.database_url, "rm_site_list_v1.site").await;
    let writing = applying(stale, batch(&log, &leases).await);
    halt.reached(1).await;
    let taking = tokio::spawn(async move { present.resume().await });
    let mut owner = world.owner().await;
    until(async || {
        sqlx::query_scalar(
            "select exists (select from pg_locks where locktype = 'transactionid' and not granted)",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap()
    })
    .await;
    halt.release().await;
    writing.await.unwrap().1.unwrap();
    let taken = taking.await.unwrap().unwrap().leases;
    assert_eq!((taken.iter().count(), taken.lowest()), (64, Some(head)));
}

#[tokio::test]
async fn an_insert_that_comes_after_the_shard_was_taken_over_counts_for_nothing() {
    let world = World::new().await;
    world.collect(clicked(), "click", now(), 3_000).await;
    let log = world.telemetry_log().await;
    let (first, proxy) = world
        .workplace("first")
        .behind_proxy(Engine::ClickHouse)
        .await;
    let mut stale = first.clickhouse().await;
    let leases = stale.resume().await.unwrap().leases;
    // Written down, and on its way when the worker is taken for dead.
    proxy.hold();
    let late = applying(stale, batch(&log, &leases).await);
    until(async || rows(&world, "es.intents").await == 1).await;

    let second = world.workplace("second");
    second.beat().await;
    let mut present = second.clickhouse().await;
    let standing = present.resume().await.unwrap();
    let intent = standing.intent.unwrap();
    assert_eq!((intent.from, intent.to), (0, 3_000));
    let again = batch(&log, &standing.leases).await;
    present.apply(again).await.unwrap();
    assert_eq!(world.facts().await, (3_000, 3_000));

    proxy.go_on();
    let (_, refused) = late.await.unwrap();
    assert!(is_fenced(&refused), "{refused:?}");
    assert_eq!(world.facts().await, (3_000, 3_000));
}
