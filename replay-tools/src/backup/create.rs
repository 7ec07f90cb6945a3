//! Making a backup.

use chrono::{DateTime, SubsecRound as _, Utc};
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

/// Whether a folder is named as a backup's.
pub(super) fn is_id(name: &str) -> bool {
    let (moment, chance) = name.split_once('-').unwrap_or_default();
    chrono::NaiveDateTime::parse_from_str(moment, "%Y%m%dT%H%M%SZ").is_ok() && chance.len() == 8
}

/// The moment that a backup shows, kept by an open transaction.
struct Moment {
    connection: PgConnection,
    snapshot: String,
    seen: Seen,
}

#[derive(FromRow)]
struct Seen {
    taken_at: DateTime<Utc>,
    events: Uuid,
    events_head: i64,
    telemetry: Uuid,
    telemetry_head: i64,
    facts_version: Option<i32>,
    facts_checkpoint: i64,
    /// Of the facts.
    waiting: String,
    roles: Vec<String>,
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

impl Backups {
    /// Makes a backup of everything, and removes those that are not kept any longer.
    pub async fn create(&self) -> Result<Manifest, BackupError> {
        let id = new_id(platform::clock::now());
        let moment = Moment::keep(&self.source).await?;
        let (url, to) = (&self.source.database_url, &self.places.backups);
        let path = manifest::path(&id, DUMP);
        let content = programs::dump(url, Some(&moment.snapshot), to, &path).await?;
        let dump = Part::new(DUMP, content);
        let facts = self.copy_facts(&id, moment).await?;
        let keys = self.create_keys(&id).await?;
        let (seen, facts) = facts;
        let manifest = Manifest {
            kind: Kind::Backup1,
            id,
            taken_at: seen.taken_at.trunc_subsecs(3),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            events: Extent {
                log: seen.events,
                head: seen.events_head,
            },
            telemetry: Extent {
                log: seen.telemetry,
                head: seen.telemetry_head,
            },
            facts,
            roles: seen.roles,
            dump,
        };
        manifest::write(&self.places.keys, &keys).await?;
        manifest::write(to, &manifest).await?;
        self.places.prune(self.retention).await?;
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
        if look(&mut connection).await?.waiting != seen.waiting {
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
        let taken_at = platform::clock::now().trunc_subsecs(3);
        let path = manifest::path(id, KEYS_DUMP);
        let (url, to) = (&self.source.keys_url, &self.places.keys);
        let content = programs::dump(url, None, to, &path).await?;
        Ok(KeyManifest {
            kind: KeyKind::KeyBackup1,
            id: id.to_owned(),
            taken_at,
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
        let id = new_id("2026-11-21T22:15:00Z".parse().unwrap());
        assert!(id.starts_with("20261121T221500Z-") && is_id(&id), "{id}");
        for other in [
            "",
            "rewrapped",
            "20261121T221500Z",
            "20261121-12345678",
            "x-12345678",
        ] {
            assert!(!is_id(other), "{other}");
        }
    }
}
