//! Bringing a backup back, into databases that do not stand yet.

use std::sync::Arc;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::sql::Identifier;
use event_store::vault::{KeyCopies, KeyProvider, SubjectEvents, Vault};
use event_store::{Role, connect};
use futures::TryStreamExt as _;
use projections::Projection;
use projections::rebuild::FactsCopy;
use projections::sink::begin_subject_events_anew;
use sqlx::{Connection as _, Executor as _, PgConnection};
use url::Url;
use uuid::Uuid;

use super::manifest::{KeyManifest, Manifest};
use super::{BackupError, Places, manifest, programs};

const CONNECTIONS: u32 = 2;

/// Where a backup is brought back.
pub struct Target {
    /// As a role that may create databases and roles. The database is made.
    pub database_url: Url,
    pub keys_url: Url,
    /// Names no database.
    pub clickhouse: Client,
    /// Made where there is none; holds no table.
    pub clickhouse_database: String,
    /// Whoever wrapped the keys.
    pub provider: Arc<dyn KeyProvider>,
    /// Of the provider.
    pub fingerprint: [u8; 32],
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub keys: KeyManifest,
    /// What the log of domain events is now; it was [`super::Extent::log`].
    pub log: Uuid,
    /// Keys that the backup has only under what was destroyed since, and that came from the copies.
    pub keys_from_copies: u64,
}

impl Places {
    /// Brings a backup back, with the keys of another one where that is named, else of the newest. What is cut short leaves
    /// neither database under its name. Whoever was erased since is erased again by the first process that serves.
    pub async fn restore(
        &self,
        id: &str,
        keys_id: Option<&str>,
        target: &Target,
    ) -> Result<Restored, BackupError> {
        let found = self.verify(id).await?;
        let keys_id = match keys_id {
            Some(id) => id.to_owned(),
            None => {
                let newest = self.all_keys().await?.pop();
                newest
                    .ok_or_else(|| BackupError::NotFound("of keys".to_owned()))?
                    .id
            }
        };
        let found_keys = self.verify_keys(&keys_id).await?;
        let events = Rising::begin(&target.database_url, &found.roles).await?;
        let keys = Rising::begin(&target.keys_url, &found.roles).await?;
        let dump = manifest::path(id, &found.dump.name);
        programs::restore(&events.url, &self.backups, &dump).await?;
        let dump = manifest::path(&keys_id, &found_keys.dump.name);
        programs::restore(&keys.url, &self.keys, &dump).await?;

        let mut owner = PgConnection::connect(events.url.as_str()).await?;
        let log = begin_logs(&mut owner).await?;
        owner.close().await?;
        let projector = connect(events.url.as_str(), Role::Projector, CONNECTIONS)?;
        self.load_facts(&found, target, &projector).await?;
        let pool = connect(keys.url.as_str(), Role::Vault, CONNECTIONS)?;
        let index = SubjectEvents::new(pool.clone());
        begin_subject_events_anew(&projector, &index, log).await?;
        let copies = KeyCopies::new(self.keys.clone());
        let vault = Vault::new(pool.clone(), target.provider.clone(), copies);
        vault.bind(target.fingerprint).await?;
        let keys_from_copies = vault.take_copies().await?;
        drop(vault);
        pool.close().await;
        projector.close().await;
        keys.rise().await?;
        events.rise().await?;
        Ok(Restored {
            manifest: found,
            keys: found_keys,
            log,
            keys_from_copies,
        })
    }

    async fn load_facts(
        &self,
        found: &Manifest,
        target: &Target,
        projector: &sqlx::PgPool,
    ) -> Result<(), BackupError> {
        let database = &target.clickhouse_database;
        let create = target.clickhouse.query("create database if not exists ?");
        create.bind(Identifier(database)).execute().await?;
        let tables = target
            .clickhouse
            .query("select count() from system.tables where database = ?");
        let tables: u64 = tables.bind(database).fetch_one().await?;
        if tables > 0 {
            return Err(BackupError::TablesStand(database.clone()));
        }
        let copy = FactsCopy {
            client: &target.clickhouse.clone().with_database(database),
            version: found.facts.version,
        };
        copy.create(projector).await?;
        for part in &found.facts.parts {
            let path = manifest::path(&found.id, &part.name);
            let (mut pieces, mut insert) = (self.backups.stream(&path).await?, copy.insert());
            while let Some(piece) = pieces.try_next().await? {
                insert.send(Bytes::from(piece)).await?;
            }
            insert.end().await?;
        }
        Ok(())
    }
}

/// The logs are new ones from here on. Answers what that of domain events is. The index by person is in another database, and
/// does not come back as it was.
async fn begin_logs(owner: &mut PgConnection) -> Result<Uuid, BackupError> {
    let came_back: Vec<&str> = Projection::ALL
        .iter()
        .filter(|projection| **projection != Projection::SubjectEvents)
        .map(|projection| projection.name())
        .collect();
    let log = sqlx::query_scalar("select events from es.begin_restored($1)")
        .bind(came_back)
        .fetch_one(owner)
        .await?;
    Ok(log)
}

/// A database that is being filled, under another name than the one it will have.
struct Rising {
    /// Of the server.
    server: PgConnection,
    name: String,
    url: Url,
}

impl Rising {
    async fn begin(target: &Url, roles: &[String]) -> Result<Self, BackupError> {
        let name = target.path().trim_start_matches('/').to_owned();
        let mut server = PgConnection::connect(in_database(target, "postgres").as_str()).await?;
        let stands: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(&name)
                .fetch_one(&mut server)
                .await?;
        if stands {
            return Err(BackupError::DatabaseStands(name));
        }
        for role in roles {
            let role: String = sqlx::query_scalar(include_str!("../../sql/make_role.sql"))
                .bind(role)
                .fetch_one(&mut server)
                .await?;
            server.execute(&*role).await?;
        }
        let rising = format!("{name}_restoring");
        for statement in ["drop database if exists %I", "create database %I"] {
            let statement: String = sqlx::query_scalar("select format($1, $2)")
                .bind(statement)
                .bind(&rising)
                .fetch_one(&mut server)
                .await?;
            server.execute(&*statement).await?;
        }
        Ok(Self {
            url: in_database(target, &rising),
            server,
            name,
        })
    }

    /// Gives it its name. Nobody may be connected to it.
    async fn rise(mut self) -> Result<(), BackupError> {
        let rename: String =
            sqlx::query_scalar("select format('alter database %I rename to %I', $1, $2)")
                .bind(format!("{}_restoring", self.name))
                .bind(&self.name)
                .fetch_one(&mut self.server)
                .await?;
        self.server.execute(&*rename).await?;
        self.server.close().await?;
        Ok(())
    }
}

fn in_database(url: &Url, name: &str) -> Url {
    let mut url = url.clone();
    url.set_path(name);
    url
}
