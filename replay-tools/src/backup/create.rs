//! Making a backup.

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, Utc};
use event_store::PlacePath;
use projections::Projection;
use projections::rebuild::FactsCopy;
use sqlx::{Connection as _, Executor as _, FromRow, PgConnection};
use uuid::Uuid;

use super::manifest::{self, Extent, Facts, KeyKind, KeyManifest, Kind, Manifest, Part};
use super::{BackupError, Backups, Source, programs};

const DUMP: &str = "events.dump";
const KEYS_DUMP: &str = "keys.dump";
/// The advisory lock of whoever makes scheduled backups.
const RIGHT: i64 = 0x7072_6f6f_6662_6b31;

/// What a backup is called: when it was begun, and chance.
fn new_id(now: DateTime<Utc>) -> String {
    let chance = Uuid::new_v4().simple().to_string();
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &chance[..8])
}

/// When the backup that a folder is named as was begun. `None` for any other folder.
pub(super) fn begun_at(name: &str) -> Option<DateTime<Utc>> {
    let (moment, chance) = name.split_once('-')?;
    let moment = NaiveDateTime::parse_from_str(moment, "%Y%m%dT%H%M%SZ").ok()?;
    (chance.len() == 8).then(|| moment.and_utc())
}

/// The moment that a backup shows, kept by an open transaction.
struct Moment {
    connection: PgConnection,
    /// By the clock that tells when keys are dumped, too.
    at: DateTime<Utc>,
    snapshot: String,
    seen: Seen,
}

#[derive(FromRow)]
struct Seen {
    events: Uuid,
    events_head: i64,
    telemetry: Uuid,
    telemetry_head: i64,
    facts_version: Option<i32>,
    facts_checkpoint: i64,
    /// Which of the facts' keys wait, and from where on.
    waiting: Vec<String>,
    /// Whether what waited is being written.
    repairing: bool,
}

impl Moment {
    async fn keep(source: &Source) -> Result<Self, BackupError> {
        let mut connection = PgConnection::connect(source.database_url.as_str()).await?;
        connection
            .execute(
                "set role proofline_maintenance;
                 set idle_in_transaction_session_timeout = 0;
                 begin transaction isolation level repeatable read, read only",
            )
            .await?;
        let snapshot = sqlx::query_scalar("select pg_export_snapshot()")
            .fetch_one(&mut connection)
            .await?;
        let seen = look(&mut connection).await?;
        Ok(Self {
            connection,
            at: now(),
            snapshot,
            seen,
        })
    }
}

async fn look(connection: &mut PgConnection) -> Result<Seen, BackupError> {
    let seen = sqlx::query_as(include_str!("../../sql/backup_moment.sql"))
        .bind(Projection::TelemetryFacts.name())
        .fetch_one(connection)
        .await?;
    Ok(seen)
}

/// As precise as it is written.
fn now() -> DateTime<Utc> {
    platform::clock::now().trunc_subsecs(3)
}

async fn roles(connection: &mut PgConnection) -> Result<Vec<String>, BackupError> {
    let roles = sqlx::query_scalar(include_str!("../../sql/backup_roles.sql"));
    Ok(roles.fetch_all(connection).await?)
}

/// Where the data of a database may lie. `None` where nobody said, and before a migration made the table for it.
async fn region(
    connection: &mut PgConnection,
    table: &'static str,
) -> Result<Option<String>, BackupError> {
    let stands: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    if !stands {
        return Ok(None);
    }
    let region = sqlx::query_scalar(&format!("select name from {table}"))
        .fetch_optional(connection)
        .await?;
    Ok(region)
}

impl Backups {
    /// Makes a backup of everything. What fails leaves nothing of it behind.
    pub async fn create(&self) -> Result<Manifest, BackupError> {
        let id = new_id(now());
        let made = self.create_as(&id).await;
        if made.is_err() {
            for place in [&self.places.backups, &self.places.keys] {
                if let Err(error) = manifest::remove(place, &id).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, id, "could not remove what was begun of a backup");
                }
            }
        }
        made
    }

    async fn create_as(&self, id: &str) -> Result<Manifest, BackupError> {
        let mut moment = Moment::keep(&self.source).await?;
        let (taken_at, roles) = (moment.at, roles(&mut moment.connection).await?);
        let region = region(&mut moment.connection, "es.region").await?;
        let (url, to) = (&self.source.database_url, &self.places.backups);
        let path = manifest::path(id, DUMP);
        let content = programs::dump(url, Some(&moment.snapshot), to, &path).await?;
        let dump = Part::new(DUMP, content);
        let (seen, facts) = self.copy_facts(id, moment).await?;
        let keys = self.create_keys(id).await?;
        let manifest = Manifest {
            kind: Kind::Backup1,
            id: id.to_owned(),
            taken_at,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            region,
            events: Extent {
                log: seen.events,
                head: seen.events_head,
            },
            telemetry: Extent {
                log: seen.telemetry,
                head: seen.telemetry_head,
            },
            facts,
            roles,
            dump,
        };
        manifest::write(&self.places.keys, &keys).await?;
        manifest::write(to, &manifest).await?;
        Ok(manifest)
    }

    /// The rows up to the checkpoint of the moment, part by part.
    async fn copy_facts(&self, id: &str, moment: Moment) -> Result<(Seen, Facts), BackupError> {
        let Moment {
            mut connection,
            seen,
            ..
        } = moment;
        connection.execute("commit").await?;
        let version = seen.facts_version.ok_or(BackupError::NotServed)?;
        let checkpoint = seen.facts_checkpoint;
        let copy = FactsCopy {
            client: &self.source.clickhouse,
            version,
        };
        let (mut parts, mut after) = (Vec::new(), 0);
        while after < checkpoint {
            let to = checkpoint.min(after + FactsCopy::POSITIONS_MAX);
            let name = format!("facts-{to:020}.native");
            let rows = copy.read(after, to)?;
            let path: PlacePath = manifest::path(id, &name);
            let content = self.places.backups.write(&path, rows).await?;
            parts.push(Part::new(&name, content));
            after = to;
        }
        // An event that waited at the moment may have got its row since, and would get it again after a restore.
        let now = look(&mut connection).await?;
        let wait_still = seen.waiting.iter().all(|key| now.waiting.contains(key));
        if !wait_still || seen.repairing || now.repairing {
            return Err(BackupError::Repaired);
        }
        connection.close().await?;
        let facts = Facts {
            version,
            checkpoint,
            parts,
        };
        Ok((seen, facts))
    }

    async fn create_keys(&self, id: &str) -> Result<KeyManifest, BackupError> {
        let taken_at = now();
        let path = manifest::path(id, KEYS_DUMP);
        let (url, to) = (&self.source.keys_url, &self.places.keys);
        let content = programs::dump(url, None, to, &path).await?;
        let mut connection = PgConnection::connect(url.as_str()).await?;
        connection.execute("set role proofline_maintenance").await?;
        let roles = roles(&mut connection).await?;
        let region = region(&mut connection, "keys.region").await?;
        connection.close().await?;
        Ok(KeyManifest {
            kind: KeyKind::KeyBackup1,
            id: id.to_owned(),
            taken_at,
            region,
            roles,
            dump: Part::new(KEYS_DUMP, content),
        })
    }
}

/// The right to make scheduled backups, which one process has at a time.
pub(super) struct Right(PgConnection);

impl Right {
    /// `None` where another process has it.
    pub(super) async fn take(source: &Source) -> Result<Option<Self>, BackupError> {
        let mut connection = PgConnection::connect(source.database_url.as_str()).await?;
        let taken: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(RIGHT)
            .fetch_one(&mut connection)
            .await?;
        Ok(taken.then_some(Self(connection)))
    }

    /// It ends with its connection, however that ends.
    pub(super) async fn give_back(self) {
        drop(self.0.close().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_known_by_its_name() {
        let moment = "2026-11-21T22:15:00Z".parse().unwrap();
        let id = new_id(moment);
        assert_eq!(begun_at(&id), Some(moment), "{id}");
        for other in [
            "",
            "rewrapped",
            "20261121T221500Z",
            "20261121-12345678",
            "x-12345678",
        ] {
            assert_eq!(begun_at(other), None, "{other}");
        }
    }
}
