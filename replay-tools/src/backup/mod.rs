//! Backups: of the event store with everything that is in its database, of the facts in ClickHouse, and, apart from them, of the
//! key database. Counters in Redis are made anew from the log.
//!
//! Each shows one moment: the dump is made in one snapshot of Postgres, and the rows of the facts are those up to where their
//! checkpoint stood in it. Keys are dumped afterwards, so that nothing stands in the events whose key is missing. What a backup
//! of keys lost to later erasures is in the copies beside it ([`event_store::vault::KeyCopies`]).

mod cli;
mod create;
mod keep;
mod manifest;
mod programs;
mod restore;

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clickhouse::Client;
use event_store::vault::{KeyCopies, VaultError};
use event_store::{Place, PlaceError, RegionError};
use key_providers::OpenError;
use projections::rebuild::RebuildError;
use projections::runtime::SinkError;
use url::Url;

pub(crate) use self::cli::{BackupCommand, run};
pub use self::keep::{Keep, KeepError};
use self::manifest::Described;
pub use self::manifest::{Extent, Facts, KeyKind, KeyManifest, Kind, Manifest, Part};
pub use self::restore::{Restored, Target};

/// What was begun and is no backup after so long will not become one.
const UNFINISHED_AFTER: TimeDelta = TimeDelta::days(2);
/// The clock of a place and ours.
const CLOCKS_APART: TimeDelta = TimeDelta::hours(1);
/// How often a process looks whether a backup is due.
const LOOKED_EVERY: Duration = Duration::from_secs(60);
/// After one that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What is backed up.
#[derive(Clone)]
pub struct Source {
    /// As a user that may become `proofline_maintenance`, which reads everything: whoever migrates.
    pub database_url: Url,
    pub keys_url: Url,
    /// Of the database that the facts are in.
    pub clickhouse: Client,
}

/// Where backups are, the keys apart from the rest.
#[derive(Clone, Debug)]
pub struct Places {
    pub backups: Place,
    pub keys: Place,
}

/// How long both are kept.
#[derive(Clone, Copy, Debug, Args)]
pub struct Retention {
    /// The newest backups of so many days, weeks and months are kept.
    #[arg(long, env = "PROOFLINE_BACKUP_KEEP", default_value_t = Self::default().backup_keep)]
    pub backup_keep: Keep,
    /// The same of backups of keys, of which the newest serves every other backup.
    #[arg(long, env = "PROOFLINE_KEY_BACKUP_KEEP", default_value_t = Self::default().key_backup_keep)]
    pub key_backup_keep: Keep,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days| Keep {
            days,
            weeks: 0,
            months: 0,
        };
        Self {
            backup_keep: Keep {
                weeks: 4,
                months: 12,
                ..days(7)
            },
            key_backup_keep: days(7),
        }
    }
}

/// Why there is no backup, or none that was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("a database's URL has its password where it is not looked for, or takes none")]
    Url,
    #[error("could not start {name}, which comes with Postgres's client programs")]
    Start {
        name: &'static str,
        source: std::io::Error,
    },
    #[error("{0} has no pipe")]
    Pipe(&'static str),
    #[error("{name} failed: {said}")]
    Program { name: &'static str, said: String },
    #[error("could not ask Postgres")]
    Postgres(#[from] sqlx::Error),
    #[error("could not ask ClickHouse")]
    ClickHouse(#[from] clickhouse::error::Error),
    #[error(transparent)]
    Facts(#[from] RebuildError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Migrate(#[from] migrations::MigrationError),
    #[error("could not write down what is in a backup")]
    Serialise(#[source] serde_json::Error),
    #[error("there is a backup {0} already")]
    Exists(String),
    #[error("there is no backup {0}")]
    NotFound(String),
    #[error("there is no backup")]
    None,
    #[error("what backup {id} says of itself can't be read")]
    Malformed {
        id: String,
        source: serde_json::Error,
    },
    #[error("{part} of backup {id} is not what was written")]
    Altered { id: String, part: String },
    #[error(
        "the keys of {keys} are older than backup {id}, and some of its people would have none"
    )]
    KeysOlder { id: String, keys: String },
    #[error("backup {id} with the keys of {keys} may not be brought back here")]
    Region {
        id: String,
        keys: String,
        source: RegionError,
    },
    #[error("{0} is no name of a role")]
    Role(String),
    #[error("no version of the facts is served")]
    NotServed,
    #[error("events that waited are being projected into the facts; try again")]
    Repaired,
    #[error("there is a database {0} already")]
    DatabaseStands(String),
    #[error("ClickHouse's database {0} holds tables already")]
    TablesStand(String),
    #[error(transparent)]
    KeyProvider(#[from] OpenError),
    #[error("could not restore the keys")]
    Vault(#[from] VaultError),
    #[error("could not begin the index of whose data stands where")]
    Index(#[from] SinkError),
}

/// Makes backups and looks after them.
#[derive(Clone)]
pub struct Backups {
    pub source: Source,
    pub places: Places,
    pub retention: Retention,
}

impl Places {
    /// Every backup, oldest first.
    pub async fn all(&self) -> Result<Vec<Manifest>, BackupError> {
        manifest::all(&self.backups).await
    }

    /// Every backup of keys, oldest first.
    pub async fn all_keys(&self) -> Result<Vec<KeyManifest>, BackupError> {
        manifest::all(&self.keys).await
    }

    /// The backup of that name, or the newest where none is named.
    pub async fn find(&self, id: Option<String>) -> Result<String, BackupError> {
        match id {
            Some(id) => Ok(id),
            None => {
                let newest = self.all().await?.pop();
                Ok(newest.ok_or(BackupError::None)?.id)
            }
        }
    }

    /// Reads all of a backup, and compares it with what was written.
    pub async fn verify(&self, id: &str) -> Result<Manifest, BackupError> {
        let manifest: Manifest = manifest::read(&self.backups, id).await?;
        check(&self.backups, &manifest, &manifest.dump).await?;
        Ok(manifest)
    }

    /// The same with a backup of keys.
    pub async fn verify_keys(&self, id: &str) -> Result<KeyManifest, BackupError> {
        let manifest: KeyManifest = manifest::read(&self.keys, id).await?;
        check(&self.keys, &manifest, &manifest.dump).await?;
        Ok(manifest)
    }

    /// Removes what is not kept any longer. Answers the ids of the backups that went.
    pub async fn prune(&self, retention: Retention) -> Result<Vec<String>, BackupError> {
        let mut gone = prune::<Manifest>(&self.backups, retention.backup_keep).await?;
        gone.extend(prune::<KeyManifest>(&self.keys, retention.key_backup_keep).await?);
        if let Some(oldest) = self.all_keys().await?.first() {
            let copies = KeyCopies::new(self.keys.clone());
            copies.remove_before(oldest.taken_at - CLOCKS_APART).await?;
        }
        Ok(gone)
    }
}

impl Backups {
    /// Makes a backup whenever the newest is so old. Any number of processes may: one of them does.
    pub async fn run(&self, every: TimeDelta) -> Infallible {
        loop {
            let made = self.create_when_due(every).await;
            let failed = made.is_err();
            match made {
                Ok(Some(manifest)) => tracing::info!(id = manifest.id, "a backup was made"),
                Ok(None) => {}
                Err(error) => {
                    metrics::counter!("proofline_backup_failures_total").increment(1);
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "could not make a backup and will try again");
                }
            }
            let pause = if failed { AGAIN_AFTER } else { LOOKED_EVERY };
            tokio::time::sleep(pause).await;
        }
    }

    async fn create_when_due(&self, every: TimeDelta) -> Result<Option<Manifest>, BackupError> {
        let Some(right) = create::Right::take(&self.source).await? else {
            return Ok(None);
        };
        // First, since a disk may be full of what is not kept any longer. A place that nothing may be removed from gets its backups
        // all the same.
        let pruned = self.places.prune(self.retention).await;
        let newest = self.places.all().await?.last().map(Manifest::taken_at);
        let made = match newest {
            Some(newest) if platform::clock::now() < newest + every => None,
            _ => Some(self.create().await?),
        };
        let newest = made.as_ref().map(Manifest::taken_at).or(newest);
        if let Some(newest) = newest {
            metrics::gauge!("proofline_backup_newest_timestamp_seconds")
                .set(newest.timestamp() as f64);
        }
        right.give_back().await;
        pruned.map(|_| made)
    }
}

/// Reads every part, and has Postgres' own program read the dump.
async fn check(place: &Place, manifest: &impl Described, dump: &Part) -> Result<(), BackupError> {
    manifest::compare(place, manifest).await?;
    programs::list(place, &manifest::path(manifest.id(), &dump.name)).await
}

async fn prune<M: Described>(place: &Place, keep: Keep) -> Result<Vec<String>, BackupError> {
    let all: Vec<M> = manifest::all(place).await?;
    let moments: Vec<DateTime<Utc>> = all.iter().map(M::taken_at).collect();
    let superseded = keep.superseded(&moments);
    let mut gone = Vec::new();
    for manifest in all
        .iter()
        .filter(|one| superseded.contains(&one.taken_at()))
    {
        manifest::remove(place, manifest.id()).await?;
        gone.push(manifest.id().to_owned());
    }
    let unfinished_before = platform::clock::now() - UNFINISHED_AFTER;
    for id in place.folders().await? {
        let begun_at = create::begun_at(&id);
        if begun_at.is_some_and(|at| at < unfinished_before)
            && !manifest::stands(place, &id).await?
        {
            manifest::remove(place, &id).await?;
        }
    }
    Ok(gone)
}
