//! Versions that are built, compared, switched to and gone back from, on real engines.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use domain::site::SiteEvent;
use domain::{NotificationId, SiteName};
use projections::rebuild::{Difference, MEMORY_BYTES_MAX, RebuildError, Tracker, Waiting};
use projections::telemetry_facts::Interval;
use projections::{Projection, site_list};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, anna, now};
use super::world::{World, rows};

/// So little that everything takes several passes.
pub(super) const LITTLE: usize = 40 << 10;

impl World {
    /// Builds the version and compares it; where it differs it is removed again.
    pub(super) async fn build(
        &self,
        projection: Projection,
        memory_bytes_max: usize,
    ) -> Option<Difference> {
        let drivers = self.projections.drivers();
        let work = drivers.rebuild(projection, Tracker::default()).await;
        let work = work.unwrap();
        let version = work
            .build(Waiting::TakenOver, memory_bytes_max)
            .await
            .unwrap();
        let compared = work.compare(version).await.unwrap();
        work.remove(version).await.unwrap();
        work.end().await.unwrap();
        compared.difference
    }

    pub(super) async fn swap(&self, projection: Projection) -> i32 {
        let drivers = self.projections.drivers();
        let work = drivers.rebuild(projection, Tracker::default()).await;
        let mut work = work.unwrap();
        let version = work
            .build(Waiting::TakenOver, MEMORY_BYTES_MAX)
            .await
            .unwrap();
        let compared = work.compare(version).await.unwrap();
        assert_eq!(compared.difference, None, "{projection}");
        work.switch(version).await.unwrap();
        work.end().await.unwrap();
        version
    }

    pub(super) async fn served(&self, projection: Projection) -> i32 {
        sqlx::query_scalar("select version from es.active_view where name = $1")
            .bind(projection.name())
            .fetch_one(&mut self.owner().await)
            .await
            .unwrap()
    }

    async fn schemas(&self, projection: Projection) -> Vec<String> {
        sqlx::query_scalar(
            "select nspname::text from pg_namespace where nspname like $1 order by 1",
        )
        .bind(format!("rm\\_{}\\_v%", projection.name()))
        .fetch_all(&mut self.owner().await)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_fold_takes_several_passes_rather_than_more_memory_than_it_may() {
    let world = World::new().await;
    let account = account();
    for n in 0..400 {
        world.register_site(account, &format!("Site {n}")).await;
    }
    world.catch_up().await;
    let tracker = Tracker::default();
    let mut progress = tracker.watch();
    let passes = tokio::spawn(async move {
        let mut passes = 0;
        while progress.changed().await.is_ok() {
            if let projections::rebuild::Stage::Folding { pass } =
                progress.borrow_and_update().stage
            {
                passes = passes.max(pass);
            }
        }
        passes
    });
    let drivers = world.projections.drivers();
    let work = drivers
        .rebuild(Projection::SiteList, tracker)
        .await
        .unwrap();
    let version = work.build(Waiting::TakenOver, LITTLE).await.unwrap();
    assert_eq!(work.compare(version).await.unwrap().difference, None);
    work.stand_by(version).await.unwrap();
    work.end().await.unwrap();
    assert!(passes.await.unwrap() > 3);

    let nothing = drivers.rebuild(Projection::SiteList, Tracker::default());
    let built = nothing.await.unwrap().build(Waiting::TakenOver, 1).await;
    assert!(
        matches!(built, Err(RebuildError::Bound { .. })),
        "{built:?}"
    );
    assert_eq!(
        world.schemas(Projection::SiteList).await,
        ["rm_site_list_v1", "rm_site_list_v2"],
        "what was not finished is gone"
    );
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_named_by_key_and_column_and_never_by_value() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    world.register_site(account, "Hats").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 700)
        .await;
    world.order(account, site, Some(anna()), 3).await;
    world.catch_up().await;
    let mut owner = world.owner().await;

    let tampering = "update rm_site_list_v1.site set feed_items_max = 9 where site_id = $1";
    let tamper = sqlx::query(tampering).bind(site.as_uuid());
    tamper.execute(&mut owner).await.unwrap();
    let difference = world.build(Projection::SiteList, LITTLE).await.unwrap();
    assert_eq!(difference.row, site.to_string());
    assert_eq!(difference.column.as_deref(), Some("feed_items_max"));

    let tamper = sqlx::query("delete from rm_proof_feed_v1.proof");
    tamper.execute(&mut owner).await.unwrap();
    let difference = world.build(Projection::ProofFeed, LITTLE).await.unwrap();
    assert_eq!(difference.column, None);

    let client = redis::Client::open(super::world::variable("REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let total: Vec<String> = redis::cmd("KEYS")
        .arg(format!("*{}*:site:{site}:total", world.name))
        .query_async(&mut connection)
        .await
        .unwrap();
    let _: () = redis::cmd("HINCRBY")
        .arg(&total)
        .arg(format!("{shown}:click"))
        .arg(1)
        .query_async(&mut connection)
        .await
        .unwrap();
    let difference = world.build(Projection::TelemetryCounters, LITTLE).await;
    let difference = difference.unwrap();
    assert!(difference.row.ends_with(":total"), "{difference:?}");
    assert_eq!(difference.column, Some(format!("{shown}:click")));

    let clickhouse = world.clickhouse();
    let twice = "insert into telemetry select * replace ('click2' as kind) from telemetry where position = 17";
    clickhouse.query(twice).execute().await.unwrap();
    let difference = world.build(Projection::TelemetryFacts, LITTLE).await;
    let difference = difference.unwrap();
    assert!(
        difference.row.ends_with("position 00000000000000000017"),
        "{difference:?}"
    );

    // What is left alone equals.
    assert_eq!(
        world.build(Projection::NotificationList, LITTLE).await,
        None
    );
}

#[tokio::test]
async fn a_rebuild_under_load_fails_no_read_mixes_no_versions_and_equals_what_was_served() {
    let world = Arc::new(World::new().await);
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 3_000)
        .await;
    world.catch_up().await;
    let shutdown = CancellationToken::new();
    let running = world.projections.spawn_all(&shutdown);
    let stop = Arc::new(AtomicBool::new(false));

    let writing = tokio::spawn({
        let (world, stop) = (world.clone(), stop.clone());
        async move {
            let (mut version, mut clicks) = (1, 3_000);
            while !stop.load(Ordering::SeqCst) {
                let event = SiteEvent::Renamed {
                    name: SiteName::parse(&format!("Shoes {}", version + 1)).unwrap(),
                    at: now(),
                };
                let stream = ("site", site.into());
                let position = world.append(account, stream, version, &[event]).await;
                version += 1;
                assert_eq!(position, version, "the site's are the only events");
                clicks += 20;
                let head = world
                    .collect((account, site, shown), "click", now(), 20)
                    .await;
                assert_eq!(head, clicks);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let reading = tokio::spawn({
        let (reads, stop) = (world.reads.clone(), stop.clone());
        async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let models = [Projection::SiteList];
                let mut tx = reads.begin(account, &models).await.unwrap();
                let read = site_list::get(&mut tx, site).await.unwrap();
                let row = read.value.unwrap();
                // The row is the one of the position that the read tells, whichever version it is of.
                assert_eq!(row.version, read.position.position);
                if row.version > 1 {
                    assert_eq!(row.name, format!("Shoes {}", row.version));
                }
                let counters = reads.counters(site, now()).await.unwrap();
                let clicks = counters.value.total[&shown]["click"];
                assert_eq!(clicks as i64, counters.position.position);
                let end = now() + TimeDelta::days(1);
                let facts = reads.analytics(account, site, now(), end, Interval::Day);
                let facts = facts.await.unwrap();
                let events: u64 = facts.value.totals.iter().map(|total| total.events).sum();
                assert!(events as i64 >= facts.position.position);
                count += 1;
            }
            count
        }
    });
    for projection in [
        Projection::SiteList,
        Projection::TelemetryCounters,
        Projection::TelemetryFacts,
    ] {
        assert_eq!(world.swap(projection).await, 2);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(world.served(projection).await, 2);
    }
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    assert!(reading.await.unwrap() > 20);
    shutdown.cancel();
    let stopped = running.await.unwrap();
    assert!(stopped.is_empty(), "{stopped:?}");

    // Both versions followed the log to its end.
    world.catch_up().await;
    let names: Vec<String> = sqlx::query_scalar(
        "select name from rm_site_list_v1.site union select name from rm_site_list_v2.site",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_rollback_serves_the_version_before_with_everything_that_came_since() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    world.catch_up().await;
    assert_eq!(world.swap(Projection::SiteList).await, 2);
    let event = SiteEvent::Renamed {
        name: SiteName::parse("Boots").unwrap(),
        at: now(),
    };
    world
        .append(account, ("site", site.into()), 1, &[event])
        .await;

    let drivers = world.projections.drivers();
    let work = drivers.rebuild(Projection::SiteList, Tracker::default());
    let mut work = work.await.unwrap();
    let version = work.standby(None).await.unwrap();
    assert_eq!(version, 1);
    work.switch(version).await.unwrap();
    assert_eq!(world.served(Projection::SiteList).await, 1);
    let mut tx = world
        .reads
        .begin(account, &[Projection::SiteList])
        .await
        .unwrap();
    let row = site_list::get(&mut tx, site).await.unwrap().value.unwrap();
    assert_eq!((&*row.name, row.version), ("Boots", 2));

    // Nothing earlier stands by; the later one does, and is removed.
    assert!(matches!(
        work.standby(None).await,
        Err(RebuildError::NoEarlier(_))
    ));
    assert_eq!(work.standby(Some(2)).await.unwrap(), 2);
    assert!(work.remove(1).await.is_err(), "it is served");
    work.remove(2).await.unwrap();
    let schemas = world.schemas(Projection::SiteList).await;
    assert_eq!(schemas, ["rm_site_list_v1"]);
}

#[tokio::test]
async fn of_two_rebuilds_of_one_projection_the_second_is_refused() {
    let world = World::new().await;
    let drivers = world.projections.drivers();
    let begin = || drivers.rebuild(Projection::ProofFeed, Tracker::default());
    let first = begin().await.unwrap();
    assert!(matches!(begin().await, Err(RebuildError::UnderWay(_))));
    let other = drivers.rebuild(Projection::SiteList, Tracker::default());
    assert!(other.await.is_ok());
    first.end().await.unwrap();
    assert!(begin().await.is_ok());
}

/// `replay`, as an operator runs it.
fn replay(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay-process"));
    command
        .args(arguments)
        .env("DATABASE_URL", &world.database_url)
        .env("REDIS_URL", super::world::variable("REDIS_URL"))
        .env("PROOFLINE_REDIS_PREFIX", &world.name)
        .env("CLICKHOUSE_URL", super::world::variable("CLICKHOUSE_URL"))
        .env("PROOFLINE_CLICKHOUSE_DATABASE", &world.name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_rebuild_that_is_killed_half_way_leaves_what_is_served_alone_and_the_next_starts_clean() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 500)
        .await;
    world.catch_up().await;
    for projection in [
        Projection::SiteList,
        Projection::TelemetryCounters,
        Projection::TelemetryFacts,
    ] {
        // Built and compared, it can't switch, and dies there.
        let mut owner = world.owner().await;
        let mut held = sqlx::Connection::begin(&mut owner).await.unwrap();
        sqlx::query("select from es.active_view where name = $1 for update")
            .bind(projection.name())
            .execute(&mut *held)
            .await
            .unwrap();
        let mut child = replay(&world, &["rebuild", projection.name(), "--swap"])
            .spawn()
            .unwrap();
        let waiting =
            "select exists (select from pg_stat_activity where datname = current_database()
                       and wait_event_type = 'Lock' and query like 'update es.active_view%')";
        let blocked = async {
            let mut watcher = world.owner().await;
            while !sqlx::query_scalar::<_, bool>(waiting)
                .fetch_one(&mut watcher)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let blocked = tokio::time::timeout(Duration::from_secs(60), blocked).await;
        blocked.expect("it comes to the switch");
        child.kill().await.unwrap();
        held.rollback().await.unwrap();
        assert_eq!(world.served(projection).await, 1);

        // Reads and projectors go on; the leases that it held come back by themselves.
        let output = replay(
            &world,
            &["rebuild", projection.name(), "--swap", "--keep-old"],
        )
        .output()
        .await
        .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(said.contains("version 3 is served"), "{said}");
        assert_eq!(world.served(projection).await, 3);
        let left: Vec<i32> = sqlx::query_scalar(
            "select version from es.projection_versions where name = $1 order by 1",
        )
        .bind(projection.name())
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
        assert_eq!(left, [1, 3]);
    }
    let schemas = world.schemas(Projection::SiteList).await;
    assert_eq!(schemas, ["rm_site_list_v1", "rm_site_list_v3"]);
    let tables: Vec<String> = world
        .clickhouse()
        .query("select name from system.tables where database = currentDatabase() and name like 'telemetry%' order by name")
        .fetch_all()
        .await
        .unwrap();
    assert!(
        !tables.iter().any(|name| name.ends_with("_v2")),
        "{tables:?}"
    );
    assert!(tables.iter().any(|name| name == "telemetry_hourly_view_v3"));

    let output = replay(&world, &["verify", "telemetry_counters"])
        .output()
        .await;
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = replay(&world, &["rollback", "telemetry_facts"])
        .output()
        .await;
    assert!(output.unwrap().status.success());
    assert_eq!(world.served(Projection::TelemetryFacts).await, 1);
    assert_eq!(rows(&world, "rm_site_list_v3.site").await, 1);
}
