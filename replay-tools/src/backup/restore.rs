//! Bringing a backup back, into databases that do not stand yet.

use std::path::PathBuf;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::sql::Identifier;
use domain::DataRegion;
use event_store::vault::{KeyCopies, SubjectEvents, Taken, Vault};
use event_store::{RegionError, Regions, Role, connect};
use futures::TryStreamExt as _;
use key_providers::KeyProviderArgs;
use projections::Projection;
use projections::rebuild::FactsCopy;
use projections::sink::begin_subject_events_anew;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use url::Url;
use uuid::Uuid;

use super::manifest::{KeyManifest, Manifest};
use super::{BackupError, Places, check, manifest, programs};

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
    /// Whoever wrapped the keys; what is current there, and its root, comes back with them.
    pub key_provider: KeyProviderArgs,
    pub key_file: PathBuf,
    /// A backup of another region is not brought back.
    pub region: Option<DataRegion>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub keys: KeyManifest,
    /// What the log of domain events is now; it was [`super::Extent::log`].
    pub log: Uuid,
    /// What the copies of keys had to give.
    pub copies: Taken,
}

impl Places {
    /// Brings a backup back, with the keys of another one where that is named, else of the newest. Whoever was erased since is
    /// erased again by the first process that serves.
    pub async fn restore(
        &self,
        id: &str,
        keys_id: Option<&str>,
        target: &Target,
    ) -> Result<Restored, BackupError> {
        target.check_clickhouse().await?;
        let keys_id = match keys_id {
            Some(id) => id.to_owned(),
            None => {
                let newest = self.all_keys().await?.pop();
                newest.ok_or(BackupError::None)?.id
            }
        };
        let found: Manifest = manifest::read(&self.backups, id).await?;
        let found_keys: KeyManifest = manifest::read(&self.keys, &keys_id).await?;
        let said = [found.region.clone(), found_keys.region.clone()];
        target.admits(&found, &found_keys, Regions::compare(said, target.region()))?;
        check(&self.backups, &found, &found.dump).await?;
        check(&self.keys, &found_keys, &found_keys.dump).await?;
        if found_keys.taken_at < found.taken_at {
            return Err(BackupError::KeysOlder {
                id: found.id,
                keys: found_keys.id,
            });
        }
        let mut keys = Rising::begin(&target.keys_url, &found_keys.roles).await?;
        let mut events = match Rising::begin(&target.database_url, &found.roles).await {
            Ok(events) => events,
            Err(error) => {
                keys.fall().await;
                return Err(error);
            }
        };
        let filled = self.fill(&found, &found_keys, target, &keys.url, &events.url);
        let risen = match filled.await {
            Ok(filled) => rise(&mut keys, &mut events).await.map(|()| filled),
            Err(error) => Err(error),
        };
        match risen {
            Ok((log, copies)) => Ok(Restored {
                manifest: found,
                keys: found_keys,
                log,
                copies,
            }),
            Err(error) => {
                keys.fall().await;
                events.fall().await;
                Err(error)
            }
        }
    }

    async fn fill(
        &self,
        found: &Manifest,
        found_keys: &KeyManifest,
        target: &Target,
        keys: &Url,
        events: &Url,
    ) -> Result<(Uuid, Taken), BackupError> {
        let dump = manifest::path(&found_keys.id, &found_keys.dump.name);
        programs::restore(keys, &self.keys, &dump).await?;
        // What is copied of keys is taken as this build stores it.
        migrations::keys(keys.as_str()).await?;
        let dump = manifest::path(&found.id, &found.dump.name);
        programs::restore(events, &self.backups, &dump).await?;
        let pool = connect(keys.as_str(), Role::Vault, CONNECTIONS)?;
        let projector = connect(events.as_str(), Role::Projector, CONNECTIONS)?;
        // A backup of an earlier build does not say its region, but its databases may.
        let regions = Regions {
            events: projector.clone(),
            keys: pool.clone(),
        };
        let checked = regions.check_known(target.region()).await;
        target.admits(found, found_keys, checked)?;

        let copies = KeyCopies::new(self.keys.clone());
        let (provider, root) = target.key_provider.open(&target.key_file, &pool).await?;
        let vault = Vault::new(pool.clone(), provider, copies);
        vault.bind(root.fingerprint()).await?;
        let taken = vault.take_copies().await?;
        drop(vault);

        let mut owner = PgConnection::connect(events.as_str()).await?;
        let log = begin_logs(&mut owner).await?;
        owner.close().await?;
        self.load_facts(found, target, &projector).await?;
        let index = SubjectEvents::new(pool.clone());
        begin_subject_events_anew(&projector, &index, log).await?;
        pool.close().await;
        projector.close().await;
        Ok((log, taken))
    }

    async fn load_facts(
        &self,
        found: &Manifest,
        target: &Target,
        projector: &PgPool,
    ) -> Result<(), BackupError> {
        let database = &target.clickhouse_database;
        let create = target.clickhouse.query("create database if not exists ?");
        create.bind(Identifier(database)).execute().await?;
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

impl Target {
    fn region(&self) -> Option<&str> {
        self.region.as_ref().map(DataRegion::as_str)
    }

    fn admits(
        &self,
        found: &Manifest,
        found_keys: &KeyManifest,
        checked: Result<(), RegionError>,
    ) -> Result<(), BackupError> {
        checked.map_err(|error| match error {
            RegionError::Read(_, source) => source.into(),
            source => BackupError::Region {
                id: found.id.clone(),
                keys: found_keys.id.clone(),
                source,
            },
        })
    }

    async fn check_clickhouse(&self) -> Result<(), BackupError> {
        let tables = "select count() from system.tables where database = ?";
        let tables = self
            .clickhouse
            .query(tables)
            .bind(&self.clickhouse_database);
        match tables.fetch_one::<u64>().await? {
            0 => Ok(()),
            _ => Err(BackupError::TablesStand(self.clickhouse_database.clone())),
        }
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
    /// To the server's own database.
    server: PgConnection,
    name: String,
    url: Url,
}

impl Rising {
    async fn begin(target: &Url, roles: &[String]) -> Result<Self, BackupError> {
        let name = target.path().trim_start_matches('/').to_owned();
        let server = in_database(target, "postgres");
        let mut rising = Self {
            server: PgConnection::connect(server.as_str()).await?,
            url: in_database(target, &rising(&name)),
            name,
        };
        if rising.stands().await? && holds_something(target).await? {
            return Err(BackupError::DatabaseStands(rising.name));
        }
        for role in roles {
            rising.make_role(role).await?;
        }
        let begun = self::rising(&rising.name);
        rising.run("drop database if exists %I", &[&begun]).await?;
        rising.run("create database %I", &[&begun]).await?;
        Ok(rising)
    }

    async fn stands(&mut self) -> Result<bool, BackupError> {
        let stands =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)");
        Ok(stands.bind(&self.name).fetch_one(&mut self.server).await?)
    }

    async fn make_role(&mut self, role: &str) -> Result<(), BackupError> {
        // It stands in a file, and goes into a statement.
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if role.is_empty() || !role.chars().all(is_plain) {
            return Err(BackupError::Role(role.to_owned()));
        }
        let make: String = sqlx::query_scalar(include_str!("../../sql/make_role.sql"))
            .bind(role)
            .fetch_one(&mut self.server)
            .await?;
        self.server.execute(&*make).await?;
        Ok(())
    }

    /// Removes the one of its name, which is empty, and to which nobody may be connected.
    async fn clear(&mut self) -> Result<(), BackupError> {
        let name = self.name.clone();
        self.run("drop database if exists %I", &[&name]).await
    }

    /// Gives it its name.
    async fn rise(&mut self) -> Result<(), BackupError> {
        let name = self.name.clone();
        // Our own, which the server may not have seen end.
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(rising(&name))
            .execute(&mut self.server)
            .await?;
        let both = [&*rising(&name), &*name];
        self.run("alter database %I rename to %I", &both).await
    }

    /// Removes it, and ends whatever of ours is connected to it.
    async fn fall(&mut self) {
        self.remove(rising(&self.name)).await;
    }

    /// The same once it has its name.
    async fn fall_risen(&mut self) {
        self.remove(self.name.clone()).await;
    }

    async fn remove(&mut self, name: String) {
        let drop = "drop database if exists %I with (force)";
        if let Err(left) = self.run(drop, &[&name]).await {
            let left = &left as &dyn std::error::Error;
            tracing::warn!(left, "could not remove a database that was begun");
        }
    }

    async fn run(&mut self, statement: &str, names: &[&str]) -> Result<(), BackupError> {
        let statement: String = sqlx::query_scalar("select format($1, variadic $2::text[])")
            .bind(statement)
            .bind(names)
            .fetch_one(&mut self.server)
            .await?;
        self.server.execute(&*statement).await?;
        Ok(())
    }
}

/// Both or none: somebody may be connected to what stands at either's name.
async fn rise(keys: &mut Rising, events: &mut Rising) -> Result<(), BackupError> {
    keys.clear().await?;
    events.clear().await?;
    keys.rise().await?;
    let risen = events.rise().await;
    if risen.is_err() {
        keys.fall_risen().await;
    }
    risen
}

fn rising(name: &str) -> String {
    format!("{name}_restoring")
}

/// Whether anything was made in it. Engines that are started here have an empty database of that name.
async fn holds_something(database: &Url) -> Result<bool, BackupError> {
    let mut connection = PgConnection::connect(database.as_str()).await?;
    let holds = sqlx::query_scalar(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where not starts_with(n.nspname, 'pg_') and n.nspname <> 'information_schema')",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(holds)
}

fn in_database(url: &Url, name: &str) -> Url {
    let mut url = url.clone();
    url.set_path(name);
    url
}
