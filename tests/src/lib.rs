//! A database of its own for every test, and for the helper processes that some tests start.

pub mod proxy;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use event_store::vault::{KeyCopies, LocalKeyFile, Vault};
use event_store::{
    Place, Role, Store, Streams, TagKey, TelemetryLane, TelemetryLog, connect, connect_lane,
};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Migrated once per run; every test copies it.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// Where one test's data lives. All of it is new. The databases stay until a later run sweeps them: dropping one costs
/// a checkpoint, and most runs have engines of their own that are gone with their folder.
pub struct World {
    pub database_url: String,
    pub keys_url: String,
    pub redis_url: String,
    pub redis_prefix: String,
    pub clickhouse_url: String,
    pub clickhouse_database: String,
    directory: TempDir,
}

impl World {
    /// A fresh event store and key database. ClickHouse is migrated only by those who ask for it.
    pub async fn new() -> Self {
        Self::create()
            .await
            .expect("a fresh world; run the tests through `make test`")
    }

    async fn create() -> Result<Self> {
        let admin_url = variable("DATABASE_URL")?;
        let template = TEMPLATE
            .get_or_try_init(|| make_template(&admin_url))
            .await?;
        let name = format!("t_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&admin_url).await?;
        for suffix in ["", "_keys"] {
            let copy = format!(r#"create database "{name}{suffix}" template "{template}{suffix}""#);
            admin.execute(&*copy).await?;
        }
        // What a migration says of its database itself is not copied with it.
        let revoke = format!(r#"revoke temporary on database "{name}" from public"#);
        admin.execute(&*revoke).await?;
        Ok(Self {
            database_url: in_database(&admin_url, &name),
            keys_url: in_database(&admin_url, &format!("{name}_keys")),
            redis_url: variable("REDIS_URL")?,
            redis_prefix: name.clone(),
            clickhouse_url: variable("CLICKHOUSE_URL")?,
            clickhouse_database: name,
            directory: tempfile::tempdir()?,
        })
    }

    /// Where the local key file stands, or will.
    pub fn key_file(&self) -> std::path::PathBuf {
        self.directory.path().join("keys.json")
    }

    /// A connection of the database's owner: for looking at what no runtime role may see, and for tampering.
    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.database_url)
            .await
            .expect("connect as owner")
    }

    /// A connection of the same owner to the server's own database.
    pub async fn admin(&self) -> PgConnection {
        let url = variable("DATABASE_URL").expect("the server's URL");
        PgConnection::connect(&url).await.expect("connect as owner")
    }

    pub fn pool(&self, role: Role) -> PgPool {
        connect(&self.database_url, role, 4).expect("a database URL")
    }

    pub fn vault(&self) -> Vault {
        vault(&self.keys_url, &self.key_file()).expect("a vault")
    }

    /// The way into the telemetry log.
    pub async fn telemetry(&self) -> TelemetryLane {
        let log = TelemetryLog::open(self.pool(Role::Writer))
            .await
            .expect("a telemetry log");
        TelemetryLane::start(
            connect_lane(&self.database_url).expect("a database URL"),
            &log,
        )
    }

    /// A store as a process has it; a second one shares nothing with the first.
    pub async fn store(&self) -> Store {
        open_store(&self.database_url, &self.keys_url, &self.key_file())
            .await
            .expect("a store")
    }
}

/// A store on databases that stand already.
pub async fn open_store(database_url: &str, keys_url: &str, key_file: &Path) -> Result<Store> {
    let streams = Streams::new(
        connect(database_url, Role::Writer, 6)?,
        vault(keys_url, key_file)?,
        domain::upcasters(),
    );
    let tags = TagKey::of(LocalKeyFile::open_or_create(key_file)?.root());
    Ok(Store::open(connect_lane(database_url)?, streams, tags).await?)
}

fn vault(keys_url: &str, key_file: &Path) -> Result<Vault> {
    let provider = Arc::new(LocalKeyFile::open_or_create(key_file)?);
    Ok(Vault::new(
        connect(keys_url, Role::Vault, 4)?,
        provider,
        key_copies(key_file)?,
    ))
}

/// Where a platform keeps them that is given this key file.
pub fn key_copies(key_file: &Path) -> Result<KeyCopies> {
    let folder = key_file.with_file_name("key-backups");
    Ok(KeyCopies::new(Place::folder(&folder)?))
}

async fn make_template(admin_url: &str) -> Result<String> {
    sweep(admin_url).await?;
    let name = format!("tpl_{}", Uuid::now_v7().simple());
    migrations::postgres(&in_database(admin_url, &name)).await?;
    migrations::keys(&in_database(admin_url, &format!("{name}_keys"))).await?;
    Ok(name)
}

/// Drops what runs of more than an hour ago left on a server that outlives them. Names hold a UUID v7, so they sort by
/// time.
async fn sweep(admin_url: &str) -> Result<()> {
    let mut admin = PgConnection::connect(admin_url).await?;
    let hour_ago = Uuid::now_v7()
        .get_timestamp()
        .map_or(0, |now| now.to_unix().0.saturating_sub(3600));
    let oldest = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, hour_ago, 0))
        .simple()
        .to_string();
    let left: Vec<String> = sqlx::query_scalar(
        "select datname from pg_database where datname ~ '^(t|tpl)_[0-9a-f]{32}(_keys)?$'
         and substring(datname from '_([0-9a-f]{32})') < $1",
    )
    .bind(oldest)
    .fetch_all(&mut admin)
    .await?;
    for name in left {
        admin
            .execute(&*format!(
                r#"drop database if exists "{name}" with (force)"#
            ))
            .await?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

/// The same server, another database.
pub fn in_database(url: &str, database: &str) -> String {
    let (url, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(url, query)| {
            (url, format!("?{query}"))
        });
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    format!("{server}/{database}{query}")
}
