//! Databases, a Redis prefix and a ClickHouse database of its own for every test, on the engines that the environment
//! names; and what a test needs to fill the logs.

use std::sync::Arc;

use event_store::vault::{LocalKeyFile, Vault};
use event_store::{Role, Store, Streams, TelemetryLane, connect};
use projections::{Config, Projections, Reads};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Migrated once per run; every test copies it.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) keys_url: String,
    pub(crate) store: Store,
    pub(crate) telemetry: TelemetryLane,
    pub(crate) projections: Projections,
    pub(crate) reads: Reads,
    keys: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_redis(&variable("REDIS_URL")).await
    }

    pub(crate) async fn with_redis(redis_url: &str) -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let admin_url = variable("DATABASE_URL");
        let template = TEMPLATE.get_or_init(|| make_template(&admin_url)).await;
        let name = format!("p_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&admin_url).await.unwrap();
        for suffix in ["", "_keys"] {
            let copy = format!(r#"create database "{name}{suffix}" template "{template}{suffix}""#);
            admin.execute(&*copy).await.unwrap();
        }
        let (database_url, keys_url) = (
            in_database(&admin_url, &name),
            in_database(&admin_url, &format!("{name}_keys")),
        );
        let keys = tempfile::tempdir().unwrap();
        migrations::clickhouse(&clickhouse(), &name).await.unwrap();
        let vault = vault(&keys_url, &keys);
        let writer = || connect(&database_url, Role::Writer, 4).unwrap();
        let streams = Streams::new(writer(), vault, domain::upcasters());
        let store = Store::open(writer(), streams).await.unwrap();
        let telemetry = TelemetryLane::start(writer());
        let projections = open(&name, &database_url, &keys_url, &keys, redis_url).await;
        Self {
            store,
            telemetry,
            reads: projections.reads(),
            projections,
            name,
            database_url,
            keys_url,
            keys,
        }
    }

    /// The projections of the same installation as another process has them: nothing in memory is shared.
    pub(crate) async fn another_process(&self) -> Projections {
        let redis_url = variable("REDIS_URL");
        open(
            &self.name,
            &self.database_url,
            &self.keys_url,
            &self.keys,
            &redis_url,
        )
        .await
    }

    pub(crate) async fn catch_up(&self) {
        self.projections.catch_up_all().await.unwrap();
    }

    /// As the owner of everything, whom nothing is refused: for looking behind the scenes and for tampering.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    pub(crate) fn pool(&self, role: Role) -> PgPool {
        connect(&self.database_url, role, 4).unwrap()
    }

    pub(crate) fn clickhouse(&self) -> clickhouse::Client {
        clickhouse().with_database(&self.name)
    }
}

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run under `engines run --`"))
}

async fn open(
    name: &str,
    database_url: &str,
    keys_url: &str,
    keys: &TempDir,
    redis_url: &str,
) -> Projections {
    let config = Config {
        projector: connect(database_url, Role::Projector, 10).unwrap(),
        reader: connect(database_url, Role::Reader, 4).unwrap(),
        keys: connect(keys_url, Role::Vault, 4).unwrap(),
        vault: vault(keys_url, keys),
        redis_url: redis_url.to_owned(),
        redis_prefix: name.to_owned(),
        clickhouse: clickhouse(),
        clickhouse_database: name.to_owned(),
    };
    Projections::open(config).await.unwrap()
}

/// A URL as `http://user:password@host:port`.
fn clickhouse() -> clickhouse::Client {
    let url = variable("CLICKHOUSE_URL");
    let (scheme, rest) = url.split_once("://").unwrap();
    let client = clickhouse::Client::default();
    match rest.split_once('@') {
        None => client.with_url(url),
        Some((credentials, host)) => {
            let (user, password) = credentials.split_once(':').unwrap();
            client
                .with_url(format!("{scheme}://{host}"))
                .with_user(user)
                .with_password(password)
        }
    }
}

fn vault(keys_url: &str, keys: &TempDir) -> Vault {
    let provider = LocalKeyFile::open_or_create(&keys.path().join("keys.json")).unwrap();
    let pool = connect(keys_url, Role::Vault, 4).unwrap();
    Vault::new(pool, Arc::new(provider))
}

async fn make_template(admin_url: &str) -> String {
    let name = format!("p_template_{}", Uuid::now_v7().simple());
    migrations::postgres(&in_database(admin_url, &name))
        .await
        .unwrap();
    migrations::keys(&in_database(admin_url, &format!("{name}_keys")))
        .await
        .unwrap();
    name
}

fn in_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

/// How many rows the table has, for whoever sees them all.
pub(crate) async fn rows(world: &World, table: &str) -> i64 {
    sqlx::query_scalar(&format!("select count(*) from {table}"))
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}
