use std::time::Duration;

use domain::site::{SiteEvent, SiteSettings};
use domain::{EmbedKey, Hostname, NotificationId, SiteName};
use event_store::{
    Bucket, CheckpointError, EventLog, FeedError, Leases, Log as _, NewEvent, RecordedEvent, Role,
    Share, Worker,
};
use projections::fold::{Place, ProjectError};
use projections::runtime::{Batch, RunError, SinkError};
use projections::sink::{Ledger, PgSink};
use projections::site_list::SiteList;
use projections::{CatchUpError, Projection, ProjectionState, Sink as _, Waited, site_list};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::{LEASE, World, rows};

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

    async fn batch(&self, from: &Leases) -> Batch<RecordedEvent> {
        let records = self.log.read(0, 100).await.unwrap();
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
async fn an_event_that_leads_to_a_row_which_the_table_refuses_is_named() {
    let world = World::new().await;
    let account = account();
    let registered = |name: &str| SiteEvent::Registered {
        account_id: account,
        name: SiteName::parse(name).unwrap(),
        domain: Hostname::parse("shop.example").unwrap(),
        embed_key: EmbedKey::from_bytes([7; 16]), // of all of them
        settings: SiteSettings::try_new(3, 24).unwrap(),
        at: now(),
    };
    world.register_site(account, "Shoes").await;
    let mut refused = 0;
    for name in ["Hats", "Belts"] {
        let stream = ("site", Uuid::now_v7());
        refused = world.append(account, stream, 0, &[registered(name)]).await;
    }
    world.register_site(account, "Scarves").await;
    let Err(CatchUpError::Stopped(stopped)) = world.projections.catch_up_all().await else {
        panic!("went on");
    };
    let RunError::Sink(SinkError::Project { place, source }) = &stopped.source else {
        panic!("{stopped:?}");
    };
    assert_eq!(place.position, refused);
    assert!(matches!(source, ProjectError::Store(_)), "{source:?}");
    assert_eq!(rows(&world, "rm_site_list_v1.site").await, 0);
}

#[tokio::test]
async fn an_event_that_does_not_fit_its_row_is_named_and_leaves_nothing_behind() {
    let world = World::new().await;
    let account = account();
    world.register_site(account, "Shoes").await;
    let renamed = SiteEvent::Renamed {
        name: SiteName::parse("Boots").unwrap(),
        at: now(),
    };
    let nowhere = ("site", Uuid::now_v7());
    let position = world.append(account, nowhere, 0, &[renamed]).await;
    let Err(CatchUpError::Stopped(stopped)) = world.projections.catch_up_all().await else {
        panic!("went on");
    };
    let RunError::Sink(SinkError::Project { place, source }) = &stopped.source else {
        panic!("{stopped:?}");
    };
    assert_eq!(
        *place,
        Place {
            position,
            bucket: Bucket::of(nowhere.1)
        }
    );
    assert!(matches!(source, ProjectError::MissingRow), "{source:?}");
    assert_eq!(rows(&world, "rm_site_list_v1.site").await, 0);
}

#[tokio::test]
async fn an_unknown_event_type_stops_the_projections_loudly_and_is_not_skipped() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    world.catch_up().await;
    let vanished = NewEvent {
        id: Uuid::now_v7(),
        event_type: "site.vanished".to_owned(),
        event_version: "1".to_owned(),
        payload: json!({}),
        tags: Vec::new(),
    };
    let position = world
        .append_raw(account, ("site", site.into()), 1, vec![vanished])
        .await;
    world.register_site(account, "Hats").await;

    let shutdown = CancellationToken::new();
    let running = world.projections.spawn_all(&shutdown);
    let token = world.store.token(position + 1);
    let waited = world
        .reads
        .wait_for(&[Projection::SiteList], token, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(waited, Waited::NotReached);
    let others = [Projection::SubjectEvents];
    let waited = world
        .reads
        .wait_for(&others, token, Duration::from_secs(20))
        .await;
    assert_eq!(waited.unwrap(), Waited::Reached);

    let status = world.reads.positions().status().await.unwrap();
    let site_list = status.iter().find(|one| one.name == "site_list").unwrap();
    assert_eq!(site_list.state, ProjectionState::Stopped);
    assert_eq!((site_list.checkpoint, site_list.lag), (position - 1, 2));
    let error = site_list.last_error.as_deref().unwrap();
    assert!(
        error.contains("site.vanished") && error.contains("position 2"),
        "{error}"
    );
    assert_eq!(rows(&world, "rm_site_list_v1.site").await, 1);

    shutdown.cancel();
    let stopped = running.await.unwrap();
    let mut stopped: Vec<String> = stopped.into_iter().map(|one| one.name).collect();
    stopped.sort();
    assert_eq!(
        stopped,
        [
            "integration_list",
            "notification_list",
            "proof_feed",
            "site_list"
        ]
    );
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
