use std::time::Duration;

use domain::NotificationId;
use event_store::FeedError;
use projections::runtime::{RunError, SinkError};
use projections::{CatchUpError, Projection, ProjectionState, Waited, site_list};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::World;

#[tokio::test]
async fn a_log_of_another_incarnation_stops_every_projection() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    world.catch_up().await;
    sqlx::query("update es.log set incarnation = gen_random_uuid()")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let process = world.another_process().await;
    let CatchUpError::Stopped(stopped) = process.catch_up_all().await.unwrap_err() else {
        panic!("could not read versions");
    };
    assert!(matches!(
        stopped.source,
        RunError::Sink(SinkError::Checkpoint(_) | SinkError::OtherIncarnation { .. })
    ));
    // And the process that knew the old one finds out by itself.
    let Err(CatchUpError::Stopped(stopped)) = world.projections.catch_up_all().await else {
        panic!("went on");
    };
    assert!(matches!(
        stopped.source,
        RunError::Feed(FeedError::OtherIncarnation { .. })
    ));
}

#[tokio::test]
async fn an_engine_that_is_down_holds_back_its_own_projection_only() {
    // Nobody listens on port 1.
    let world = World::with_redis("redis://127.0.0.1:1/").await;
    let account = account();
    let shutdown = CancellationToken::new();
    let running = world.projections.spawn_all(&shutdown);
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    let head = world
        .collect((account, site, shown), "click", now(), 10)
        .await;
    let long = Duration::from_secs(20);
    let reads = &world.reads;
    let facts = reads
        .positions()
        .token(event_store::LogName::Telemetry, head);
    let waited = reads
        .wait_for(&[Projection::TelemetryFacts], facts, long)
        .await;
    assert_eq!(waited.unwrap(), Waited::Reached);
    let waited = reads
        .wait_for(&[Projection::SiteList], world.store.token(1), long)
        .await;
    assert_eq!(waited.unwrap(), Waited::Reached);
    let mut tx = reads.begin(account, &[Projection::SiteList]).await.unwrap();
    assert!(site_list::get(&mut tx, site).await.unwrap().value.is_some());

    let counters = async {
        loop {
            let status = reads.positions().status().await.unwrap();
            let counters = status
                .into_iter()
                .find(|one| one.name == "telemetry_counters");
            if let Some(counters) = counters.filter(|one| one.last_error.is_some()) {
                return counters;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let counters = tokio::time::timeout(long, counters).await.unwrap();
    assert_eq!(
        (counters.state, counters.lag),
        (ProjectionState::Running, 10)
    );
    assert!(counters.last_error.unwrap().contains("Redis"));
    assert!(reads.counters(site, now()).await.is_err());

    let asked = std::time::Instant::now();
    shutdown.cancel();
    assert!(running.await.unwrap().is_empty());
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
}
