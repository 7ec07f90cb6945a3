//! A database of its own for every test, and for the helper processes that some tests start.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use event_store::vault::{LocalKeyFile, Vault};
use event_store::{Role, Store, Streams, connect};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Migrated once per run; every test copies it.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// Where one test's data lives. All of it is new, and gone when this is dropped.
pub struct World {
    pub database_url: String,
    pub keys_url: String,
    pub redis_url: String,
    pub redis_prefix: String,
    pub clickhouse_url: String,
    pub clickhouse_database: String,
    admin_url: String,
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
        Ok(Self {
            database_url: in_database(&admin_url, &name),
            keys_url: in_database(&admin_url, &format!("{name}_keys")),
            redis_url: variable("REDIS_URL")?,
            redis_prefix: name.clone(),
            clickhouse_url: variable("CLICKHOUSE_URL")?,
            clickhouse_database: name,
            admin_url,
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

    pub fn pool(&self, role: Role) -> PgPool {
        connect(&self.database_url, role, 4).expect("a database URL")
    }

    pub fn vault(&self) -> Vault {
        vault(&self.keys_url, &self.key_file()).expect("a vault")
    }

    /// A store as a process has it; a second one shares nothing with the first.
    pub async fn store(&self) -> Store {
        open_store(&self.database_url, &self.keys_url, &self.key_file())
            .await
            .expect("a store")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.redis_prefix.clone());
        // A runtime of its own, since this may run while the test's is unwinding.
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&url).await?;
                for suffix in ["", "_keys"] {
                    let drop = format!(r#"drop database if exists "{name}{suffix}" with (force)"#);
                    admin.execute(&*drop).await?;
                }
                anyhow::Ok(())
            })
        });
        // A leftover database is untidy and breaks nothing.
        drop(cleaned.join());
    }
}

/// A store on databases that stand already.
pub async fn open_store(database_url: &str, keys_url: &str, key_file: &Path) -> Result<Store> {
    let streams = Streams::new(
        connect(database_url, Role::Writer, 6)?,
        vault(keys_url, key_file)?,
        domain::upcasters(),
    );
    Ok(Store::open(connect(database_url, Role::Writer, 3)?, streams).await?)
}

fn vault(keys_url: &str, key_file: &Path) -> Result<Vault> {
    let provider = Arc::new(LocalKeyFile::open_or_create(key_file)?);
    Ok(Vault::new(connect(keys_url, Role::Vault, 4)?, provider))
}

async fn make_template(admin_url: &str) -> Result<String> {
    let name = format!("tpl_{}", Uuid::now_v7().simple());
    migrations::postgres(&in_database(admin_url, &name)).await?;
    migrations::keys(&in_database(admin_url, &format!("{name}_keys"))).await?;
    Ok(name)
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
