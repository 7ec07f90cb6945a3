//! A log that comes back without its tail is another log, and everybody notices.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use engines::{Config, Engines, Silent};
use event_store::{
    CheckpointError, Checkpoints, EventLog, FeedError, Log as _, Reader, Role, Share, Store,
    StoreError, TelemetryLog, Worker, connect,
};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tests::{World, in_database, open_store};
use tokio::process::Command;
use uuid::Uuid;

use crate::faults::program;
use crate::support::append;

/// As after a restore from elsewhere.
async fn written_elsewhere(world: &World) {
    world
        .owner()
        .await
        .execute("update es.log set system_identifier = system_identifier + 1")
        .await
        .unwrap();
}

async fn open(pool: PgPool) -> Result<EventLog, StoreError> {
    EventLog::open(pool).await
}

#[tokio::test]
async fn a_log_keeps_its_incarnation_where_it_was_written() {
    let world = World::new().await;
    let first = open(world.pool(Role::Projector)).await.unwrap();
    world.store().await.append(append("s")).await.unwrap();
    let second = open(world.pool(Role::Writer)).await.unwrap();
    assert_eq!(first.incarnation(), second.incarnation());
}

#[tokio::test]
async fn a_log_found_in_another_cluster_or_timeline_has_a_new_incarnation() {
    for moved in [
        "update es.log set system_identifier = system_identifier + 1",
        "update es.log set timeline = timeline + 1",
    ] {
        let world = World::new().await;
        let pool = world.pool(Role::Projector);
        let before = open(pool.clone()).await.unwrap();
        let telemetry = TelemetryLog::open(pool.clone()).await.unwrap();
        let checkpoints = Checkpoints::new("known", 1, before.incarnation(), false);
        checkpoints.register(&pool).await.unwrap();
        world.owner().await.execute(moved).await.unwrap();

        let after = open(pool.clone()).await.unwrap();
        assert_ne!(before.incarnation(), after.incarnation(), "{moved}");
        let other = TelemetryLog::open(pool.clone()).await.unwrap();
        assert_ne!(telemetry.incarnation(), other.incarnation());
        // It is noticed once.
        let again = open(pool.clone()).await.unwrap();
        assert_eq!(after.incarnation(), again.incarnation());

        let stopped = Reader::after(before, 0).next(1).await.unwrap_err();
        assert!(
            matches!(stopped, FeedError::OtherIncarnation { .. }),
            "{stopped}"
        );
        let known = Checkpoints::new("known", 1, after.incarnation(), false);
        let worker = Worker::new("late", Share::Fair, Duration::from_secs(9));
        assert!(matches!(
            known.settle(&pool, &worker).await,
            Err(CheckpointError::OtherIncarnation { .. })
        ));
    }
}

#[tokio::test]
async fn a_writer_that_outlives_a_promotion_does_not_append() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("before")).await.unwrap();
    written_elsewhere(&world).await;
    world
        .owner()
        .await
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where application_name = 'proofline_writer' and datname = current_database()",
        )
        .await
        .unwrap();
    for n in 0..3 {
        assert!(store.append(append(&format!("after-{n}"))).await.is_err());
    }
    let log = open(world.pool(Role::Projector)).await.unwrap();
    assert_eq!(log.head().await.unwrap().0, 1);
    // One that starts now knows the log as it is.
    world.store().await.append(append("after")).await.unwrap();
    assert_eq!(log.head().await.unwrap().0, 2);
}

#[tokio::test]
async fn a_dump_that_lost_the_tail_is_another_log_in_its_new_cluster() {
    let world = World::new().await;
    let store = world.store().await;
    let pool = world.pool(Role::Projector);
    for n in 0..3 {
        store.append(append(&format!("kept-{n}"))).await.unwrap();
    }
    let old = open(pool.clone()).await.unwrap();
    let checkpoints = Checkpoints::new("ahead", 1, old.incarnation(), false);
    checkpoints.register(&pool).await.unwrap();
    let dump = dump(&world.database_url).await;
    for n in 0..2 {
        store.append(append(&format!("lost-{n}"))).await.unwrap();
    }
    let token = old.token(5);

    let cluster = Cluster::new().await;
    let url = cluster.restore(&dump).await;
    let pool = connect(&url, Role::Projector, 2).unwrap();
    let restored = open(pool.clone()).await.unwrap();
    assert_eq!(restored.head().await.unwrap().0, 3);
    assert_ne!(restored.incarnation(), old.incarnation());
    assert_ne!(restored.token(5), token);
    let known = Checkpoints::new("ahead", 1, restored.incarnation(), false);
    let worker = Worker::new("late", Share::Fair, Duration::from_secs(9));
    assert!(matches!(
        known.settle(&pool, &worker).await,
        Err(CheckpointError::OtherIncarnation { .. })
    ));
    // The lost positions are given out again, in the new incarnation only.
    let store: Store = open_store(&url, &world.keys_url, &world.key_file())
        .await
        .unwrap();
    let appended = store.append(append("new")).await.unwrap();
    assert_eq!(store.token(appended.position), restored.token(4));
    cluster.engines.stop().await;
}

async fn dump(url: &str) -> Vec<u8> {
    let dumped = Command::new("pg_dump").arg(url).output().await.unwrap();
    assert!(
        dumped.status.success(),
        "{}",
        String::from_utf8_lossy(&dumped.stderr)
    );
    dumped.stdout
}

/// Another cluster than the one the tests run on.
struct Cluster {
    engines: Engines,
    _directory: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Postgres runs as another user and must be able to get there.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let mut config = Config::new(directory.path().join("data"))
            .unwrap()
            .with_urls_from_env();
        config.database_url = None;
        config.clickhouse_command = (program(), vec!["clickhouse-server".to_owned()]);
        Self {
            engines: Engines::start(config, &Silent).await.unwrap(),
            _directory: directory,
        }
    }

    /// The dump in a database of its own. Roles belong to a cluster, and are not part of it.
    async fn restore(&self, dump: &[u8]) -> String {
        let url = &self.engines.urls().database_url;
        let mut owner = PgConnection::connect(url).await.unwrap();
        for role in [
            "es_owner",
            "proofline_writer",
            "proofline_projector",
            "proofline_reader",
            "proofline_sealer",
            "proofline_compliance",
            "proofline_maintenance",
        ] {
            owner
                .execute(&*format!("create role {role} nologin"))
                .await
                .unwrap();
        }
        let name = format!("r_{}", Uuid::now_v7().simple());
        owner
            .execute(&*format!("create database {name}"))
            .await
            .unwrap();
        let url = in_database(url, &name);
        let mut psql = Command::new("psql")
            .args(["--quiet", "--set", "ON_ERROR_STOP=1", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = psql.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut input, dump)
            .await
            .unwrap();
        drop(input);
        assert!(psql.wait().await.unwrap().success());
        url
    }
}
