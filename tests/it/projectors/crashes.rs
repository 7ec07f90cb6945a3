//! What is counted once although processes and engines die at the worst moment.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use domain::NotificationId;
use event_store::{Log as _, LogName};
use projections::runtime::{SinkError, Stopped};
use projections::telemetry_facts::Interval;
use projections::{CatchUpError, Projection, Sink as _, Waited};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, clicked, now};
use super::sinks::batch;
use super::world::{World, rows};
use crate::halt::until;

#[tokio::test]
async fn redis_counts_once_when_the_process_dies_before_the_mirror_moves() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 500)
        .await;
    world.catch_up().await;
    // What the crash leaves: Redis has it all, Postgres knows of nothing.
    sqlx::query("update es.projections set checkpoint = 0 where name = 'telemetry_counters'")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let process = world.another_process().await;
    process.catch_up_all().await.unwrap();
    world
        .collect((account, site, shown), "click", now(), 7)
        .await;
    process.catch_up_all().await.unwrap();
    let counters = process.reads().counters(site, now()).await.unwrap();
    assert_eq!(counters.value.total[&shown]["click"], 507);
    assert_eq!(counters.position.position, 507);
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_filled_again_from_the_log() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 500)
        .await;
    world.catch_up().await;
    let client = redis::Client::open(super::world::variable("REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{{{}:*", world.name))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(keys.len() >= 64, "{}", keys.len());
    let _: () = redis::cmd("DEL")
        .arg(&keys)
        .query_async(&mut connection)
        .await
        .unwrap();
    world
        .collect((account, site, shown), "click", now(), 7)
        .await;
    world.catch_up().await;
    let counters = world.reads.counters(site, now()).await.unwrap();
    assert_eq!(counters.value.total[&shown]["click"], 507);
}

#[tokio::test]
async fn clickhouse_counts_once_when_the_process_dies_before_the_intent_is_fulfilled() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, site, shown), "click", now(), 3_000)
        .await;
    let stopped = ends_before_the_intent_is_fulfilled(&world).await;
    assert_eq!((&*stopped.name, stopped.position), ("telemetry_facts", 0));
    let mut owner = world.owner().await;
    let standing: (i64, i64, i64) = sqlx::query_as(
        "select position_from, position_to, checkpoint from es.intents join es.projections using (name, version, shard)",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(standing, (0, 3_000, 0));
    assert_eq!(world.facts().await, (3_000, 3_000));

    world
        .collect((account, site, shown), "click", now(), 7)
        .await;
    world.another_process().await.catch_up_all().await.unwrap();
    assert_eq!(world.facts().await, (3_007, 3_007));
    assert_eq!(rows(&world, "es.intents").await, 0);
    let rolled_up = world
        .reads
        .analytics(
            account,
            site,
            now(),
            now() + TimeDelta::hours(2),
            Interval::Hour,
        )
        .await
        .unwrap();
    assert_eq!(rolled_up.value.totals[0].events, 3_007);
}

/// The process ends with the rows inserted, the intent standing and the checkpoint where it was.
async fn ends_before_the_intent_is_fulfilled(world: &World) -> Stopped {
    let mut owner = world.owner().await;
    let mut execute = async |sql: &'static str| {
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    };
    execute("revoke delete on es.intents from proofline_projector").await;
    let caught_up = world.another_process().await.catch_up_all().await;
    execute("grant delete on es.intents to proofline_projector").await;
    match caught_up {
        Err(CatchUpError::Stopped(stopped)) => stopped,
        other => panic!("went on: {other:?}"),
    }
}

/// ClickHouse remembers no token afterwards.
const FORGETTING: [&str; 4] = [
    "alter table telemetry modify setting non_replicated_deduplication_window = 0",
    "alter table telemetry modify setting non_replicated_deduplication_window = 10000",
    "alter table telemetry_hourly modify setting non_replicated_deduplication_window = 0",
    "alter table telemetry_hourly modify setting non_replicated_deduplication_window = 10000",
];

/// Whatever a crash of ClickHouse leaves of a range that nobody was told about, each row of it is there once in the end.
#[tokio::test]
async fn what_clickhouse_has_of_an_interrupted_range_is_completed_whatever_it_is() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    let left: [(&str, &[&str]); 7] = [
        ("all of it", &[]),
        (
            "the token without its rows",
            &["alter table telemetry delete where position > ?"],
        ),
        (
            "the token without some of its rows",
            &["alter table telemetry delete where position > ? and position % 3 = 0"],
        ),
        ("the rows without their token", &FORGETTING),
        (
            "the rows without their sums",
            &["alter table telemetry_hourly delete where true"],
        ),
        (
            "the sums without their rows",
            &[
                "alter table telemetry delete where position > ?",
                FORGETTING[0],
                FORGETTING[1],
            ],
        ),
        (
            "some rows, and no sums",
            &[
                "alter table telemetry delete where position > ? and position % 2 = 0",
                "alter table telemetry_hourly delete where true",
            ],
        ),
    ];
    let mut events = 0;
    for (what, statements) in left {
        world
            .collect((account, site, shown), "click", now(), 300)
            .await;
        let before = events;
        events += 300;
        ends_before_the_intent_is_fulfilled(&world).await;
        for statement in statements {
            let query = match statement.contains('?') {
                true => world.clickhouse().query(statement).bind(before),
                false => world.clickhouse().query(statement),
            };
            let query = query.with_setting("mutations_sync", "2");
            query.execute().await.unwrap();
        }
        world.another_process().await.catch_up_all().await.unwrap();
        assert_eq!(world.facts().await, (events, events), "{what}");
        assert_eq!(rolled_up(&world).await, events, "{what}");
        assert_eq!(rows(&world, "es.intents").await, 0, "{what}");
    }
}

#[tokio::test]
async fn a_range_waits_for_an_insert_that_nobody_waits_for_any_more() {
    let world = World::new().await;
    world.collect(clicked(), "click", now(), 50).await;
    ends_before_the_intent_is_fulfilled(&world).await;
    let incarnation = world.telemetry_log().await.incarnation();
    let create = "create table slow (n UInt8) engine = MergeTree order by n";
    world.clickhouse().query(create).execute().await.unwrap();
    let token = format!("{incarnation}:telemetry_facts:1:0:1-2");
    let slow = world
        .clickhouse()
        .query(
            "insert into slow select sleepEachRow(1) from numbers(6) settings max_block_size = 1",
        )
        .with_setting("insert_deduplication_token", &token);
    let slow = tokio::spawn(slow.execute());
    until(async || {
        let running =
            "select count() from system.processes where Settings['insert_deduplication_token'] = ?";
        let running = world.clickhouse().query(running).bind(&token);
        running.fetch_one::<u64>().await.unwrap() == 1
    })
    .await;
    let (log, worker) = (world.telemetry_log().await, world.workplace("settling"));
    worker.beat().await;
    let mut sink = worker.clickhouse().await;
    let leases = sink.resume().await.unwrap().leases;
    let waiting = sink.apply(batch(&log, &leases).await).await;
    assert!(
        matches!(waiting, Err(SinkError::StillInserting { from: 0, to: 50 })),
        "{waiting:?}"
    );
    slow.await.unwrap().unwrap();
    let leases = sink.resume().await.unwrap().leases;
    let settled = sink.apply(batch(&log, &leases).await).await;
    settled.unwrap();
    assert_eq!(world.facts().await, (50, 50));
}

/// The sum of all that ClickHouse has rolled up.
async fn rolled_up(world: &World) -> u64 {
    let sum = world
        .clickhouse()
        .query("select sum(events) from telemetry_hourly");
    sum.fetch_one().await.unwrap()
}

/// A Redis of the test's own, to be killed.
struct Redis(Child);

impl Redis {
    fn start(port: u16, directory: &Path) -> Self {
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--save", ""])
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::null())
            .spawn();
        Self(server.expect("redis-server is installed"))
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_under_load_counts_once_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut redis = Redis::start(port, directory.path());
    let world = World::with_redis(&format!("redis://127.0.0.1:{port}/")).await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = NotificationId::from(Uuid::now_v7());
    let shutdown = CancellationToken::new();
    let running = world.projections.spawn_all(&shutdown);
    let mut head = 0;
    for round in 0..60 {
        head = world
            .collect((account, site, shown), "click", now(), 50)
            .await;
        if round % 20 == 10 {
            redis.kill();
        }
        if round % 20 == 15 {
            redis = Redis::start(port, directory.path());
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let token = world.reads.positions().token(LogName::Telemetry, head);
    let counters = [Projection::TelemetryCounters];
    let long = Duration::from_secs(30);
    let waited = world.reads.wait_for(&counters, token, long).await;
    assert_eq!(waited.unwrap(), Waited::Reached);
    let counters = world.reads.counters(site, now()).await.unwrap();
    assert_eq!(counters.value.total[&shown]["click"], 3_000);
    assert_eq!(counters.position, token);
    shutdown.cancel();
    assert!(running.await.unwrap().is_empty());
}
