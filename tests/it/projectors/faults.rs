use std::sync::Arc;
use std::time::Duration;

use domain::NotificationId;
use event_store::{
    CheckpointError, EventLog, FeedError, Leases, Log as _, RecordedEvent, Role, Share, Worker,
};
use projections::runtime::{Batch, RunError, SinkError};
use projections::sink::{Ledger, PgSink};
use projections::site_list::SiteList;
use projections::{CatchUpError, Projection, ProjectionState, Sink as _, Waited, site_list};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::{LEASE, World};

/// Two workers that believe to hold the same shards: the first was taken for dead meanwhile.
struct Rivals {
    stale: PgSink<SiteList>,
    stale_leases: Leases,
    present: PgSink<SiteList>,
    present_leases: Leases,
    log: EventLog,
}

impl Rivals {
    async fn new(world: &World) -> Self {
        let pool = world.pool(Role::Projector);
        let log = EventLog::open(pool.clone()).await.unwrap();
        let sink = |worker: &Worker| {
            let (pool, worker) = (pool.clone(), worker.clone());
            let ledger = Ledger::new(pool, worker, Projection::SiteList, 1, log.incarnation());
            PgSink::new(SiteList, ledger)
        };
        let [first, second] = ["first", "second"].map(|id| Worker::new(id, Share::Fair, LEASE));
        let (mut stale, mut present) = (sink(&first), sink(&second));
        // The first never says that it is alive.
        let stale_leases = stale.resume().await.unwrap().leases;
        second.beat(&pool).await.unwrap();
        let present_leases = present.resume().await.unwrap().leases;
        Self {
            stale,
            stale_leases,
            present,
            present_leases,
            log,
        }
    }

    async fn batch(&self, from: &Leases) -> Batch<Arc<RecordedEvent>> {
        let records = self.log.read(0, 100).await.unwrap();
        let records = records.into_iter().map(Arc::new).collect();
        Batch::new(from.clone(), records).unwrap()
    }
}

#[tokio::test]
async fn a_stale_epoch_can_never_write_into_postgres() {
    let world = World::new().await;
    // Orders alone: nothing in this read model could collide.
    let site = domain::SiteId::from(Uuid::now_v7());
    world.order(account(), site, None, 1).await;
    let mut it = Rivals::new(&world).await;
    assert_eq!(it.stale_leases.iter().count(), 64);
    assert_eq!(it.present_leases.iter().count(), 64);
    // Neither before the other has written anything nor after.
    for _ in 0..2 {
        let batch = it.batch(&it.stale_leases).await;
        let refused = it.stale.apply(batch).await;
        assert!(is_fenced(&refused), "{refused:?}");
        let batch = it.batch(&it.present_leases).await;
        it.present_leases = batch.reached();
        it.present.apply(batch).await.unwrap();
        world.order(account(), site, None, 2).await;
    }
}

#[tokio::test]
async fn a_batch_that_follows_a_moved_checkpoint_is_fenced() {
    let world = World::new().await;
    let site = domain::SiteId::from(Uuid::now_v7());
    world.order(account(), site, None, 1).await;
    let mut it = Rivals::new(&world).await;
    let (first, again) = (
        it.batch(&it.present_leases).await,
        it.batch(&it.present_leases).await,
    );
    it.present.apply(first).await.unwrap();
    let refused = it.present.apply(again).await;
    assert!(is_fenced(&refused), "{refused:?}");
}

fn is_fenced(outcome: &Result<(), SinkError>) -> bool {
    matches!(
        outcome,
        Err(SinkError::Checkpoint(CheckpointError::Fenced { .. }))
    )
}

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
