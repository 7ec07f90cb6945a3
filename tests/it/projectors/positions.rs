use std::time::{Duration, Instant};

use event_store::{LogName, Token};
use projections::{PositionError, Projection, ProjectionState, Waited};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::account;
use super::world::World;

const LISTS: &[Projection] = &[Projection::SiteList, Projection::NotificationList];
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn who_waits_for_a_written_position_reads_it() {
    let world = World::new().await;
    let shutdown = CancellationToken::new();
    let running = world.projections.spawn_all(&shutdown);
    for n in 1..=20 {
        world.register_site(account(), "Shoes").await;
        world.projections.wake().ring(LogName::Events);
        let waited = world
            .reads
            .wait_for(LISTS, world.store.token(n), LONG)
            .await;
        assert_eq!(waited.unwrap(), Waited::Reached);
        let models = [Projection::SiteList];
        let tx = world.reads.begin(account(), &models).await.unwrap();
        assert!(tx.position().position >= n);
    }
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    let token = world.store.token(1);
    let wait = |timeout| world.reads.wait_for(LISTS, token, timeout);
    // No projector has ever run.
    let started = Instant::now();
    assert_eq!(
        wait(Duration::from_millis(200)).await.unwrap(),
        Waited::NotReached
    );
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!(started.elapsed() < Duration::from_secs(2));
    world.catch_up().await;
    assert_eq!(wait(Duration::ZERO).await.unwrap(), Waited::Reached);
    world.register_site(account(), "Hats").await;
    let next = world.store.token(2);
    let waited = world
        .reads
        .wait_for(LISTS, next, Duration::from_millis(50))
        .await;
    assert_eq!(waited.unwrap(), Waited::NotReached);
}

#[tokio::test]
async fn a_position_that_was_never_given_out_is_refused() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    world.catch_up().await;
    let beyond = world
        .reads
        .wait_for(LISTS, world.store.token(2), LONG)
        .await;
    assert!(matches!(
        beyond,
        Err(PositionError::Beyond {
            position: 2,
            head: 1
        })
    ));
    let foreign = Token {
        incarnation: Uuid::now_v7(),
        ..world.store.token(1)
    };
    let refused = world.reads.wait_for(LISTS, foreign, LONG).await;
    assert!(matches!(refused, Err(PositionError::OtherIncarnation)));
}

#[tokio::test]
async fn the_other_logs_projections_are_not_waited_for() {
    let world = World::new().await;
    world.register_site(account(), "Shoes").await;
    let (token, none) = (world.store.token(1), Duration::ZERO);
    let others = [Projection::TelemetryCounters, Projection::TelemetryFacts];
    let waited = world.reads.wait_for(&others, token, none).await;
    assert_eq!(waited.unwrap(), Waited::Reached);
    let telemetry = world.reads.positions().token(LogName::Telemetry, 1);
    assert!(matches!(
        world.reads.wait_for(LISTS, telemetry, none).await,
        Err(PositionError::Beyond { head: 0, .. })
    ));
}

#[tokio::test]
async fn the_status_tells_every_projection_and_its_lag() {
    let world = World::new().await;
    assert!(world.reads.positions().is_empty().await.unwrap());
    world.register_site(account(), "Shoes").await;
    assert!(!world.reads.positions().is_empty().await.unwrap());
    let status = world.reads.positions().status().await.unwrap();
    assert_eq!(status.len(), Projection::ALL.len());
    for progress in &status {
        assert_eq!(progress.state, ProjectionState::NotStarted);
        let head = i64::from(progress.log == Some(LogName::Events));
        assert_eq!(
            (progress.head, progress.lag),
            (head, head),
            "{}",
            progress.name
        );
    }
    world.catch_up().await;
    for progress in world.reads.positions().status().await.unwrap() {
        assert_eq!(progress.state, ProjectionState::Running);
        assert_eq!((progress.checkpoint, progress.lag), (progress.head, 0));
    }
}
