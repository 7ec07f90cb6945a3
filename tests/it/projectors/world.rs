//! A world with its logs open for writing and its projections ready to be driven.

use domain::{AccountId, NotificationId, SiteId};
use event_store::{Role, Store, TelemetryLane};
use projections::{Config, Projections, Reads};
use proofline::config::Connections;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::facts::now;
use crate::served::connections;

/// Short, so that nobody waits long for the work of a worker that is gone.
pub(crate) const LEASE: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) keys_url: String,
    pub(crate) store: Store,
    pub(crate) telemetry: TelemetryLane,
    pub(crate) projections: Projections,
    pub(crate) reads: Reads,
    world: tests::World,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_redis(&variable("REDIS_URL")).await
    }

    pub(crate) async fn with_redis(redis_url: &str) -> Self {
        let world = tests::World::new().await;
        let clickhouse = connections(&world).clickhouse().unwrap();
        migrations::clickhouse(&clickhouse, &world.clickhouse_database)
            .await
            .unwrap();
        let projections = open(&world, redis_url).await;
        Self {
            name: world.redis_prefix.clone(),
            database_url: world.database_url.clone(),
            keys_url: world.keys_url.clone(),
            store: world.store().await,
            telemetry: world.telemetry().await,
            reads: projections.reads(),
            projections,
            world,
        }
    }

    /// The projections of the same installation as another process has them: nothing in memory is shared.
    pub(crate) async fn another_process(&self) -> Projections {
        open(&self.world, &variable("REDIS_URL")).await
    }

    pub(crate) async fn catch_up(&self) {
        self.projections.catch_up_all().await.unwrap();
    }

    /// As the owner of everything, whom nothing is refused: for looking behind the scenes and for tampering.
    pub(crate) async fn owner(&self) -> PgConnection {
        self.world.owner().await
    }

    pub(crate) fn key_file(&self) -> std::path::PathBuf {
        self.world.key_file()
    }

    pub(crate) fn pool(&self, role: Role) -> PgPool {
        self.world.pool(role)
    }

    pub(crate) fn connections(&self) -> Connections {
        connections(&self.world)
    }

    pub(crate) fn clickhouse(&self) -> clickhouse::Client {
        self.connections()
            .clickhouse()
            .unwrap()
            .with_database(&self.name)
    }

    /// Clicks in all, as the counters tell them.
    pub(crate) async fn clicks(
        &self,
        (_, site, notification): (AccountId, SiteId, NotificationId),
    ) -> u64 {
        let counters = self.reads.counters(site, now()).await.unwrap().value;
        let kinds = counters.total.get(&notification);
        kinds
            .and_then(|kinds| kinds.get("click").copied())
            .unwrap_or(0)
    }

    /// Rows of telemetry in ClickHouse, and how many different positions they have.
    pub(crate) async fn facts(&self) -> (u64, u64) {
        self.clickhouse()
            .query("select count(), uniqExact(position) from telemetry")
            .fetch_one()
            .await
            .unwrap()
    }
}

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run through `make test`"))
}

async fn open(world: &tests::World, redis_url: &str) -> Projections {
    let config = Config {
        projector: event_store::connect(&world.database_url, Role::Projector, 12).unwrap(),
        reader: world.pool(Role::Reader),
        compliance: world.pool(Role::Compliance),
        keys: event_store::connect(&world.keys_url, Role::Vault, 4).unwrap(),
        vault: world.vault(),
        redis_url: redis_url.to_owned(),
        redis_prefix: world.redis_prefix.clone(),
        clickhouse: connections(world).clickhouse().unwrap(),
        clickhouse_database: world.clickhouse_database.clone(),
        worker: Uuid::now_v7().to_string(),
        lease: LEASE,
    };
    Projections::open(config).await.unwrap()
}

/// How many rows the table has, for whoever sees them all.
pub(crate) async fn rows(world: &World, table: &str) -> i64 {
    sqlx::query_scalar(&format!("select count(*) from {table}"))
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}
