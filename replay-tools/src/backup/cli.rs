//! `replay backup`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use event_store::vault::Taken;
use event_store::{Location, Place};
use serde_json::json;
use url::Url;

use super::{BackupError, Backups, Manifest, Places, Retention, Source, Target};
use crate::Running;
use crate::engines::{self, EngineArgs};
use crate::keys::KeyArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup of everything
    Create {
        #[command(flatten)]
        places: PlaceArgs,
        #[command(flatten)]
        engines: EngineArgs,
    },
    /// Remove backups, and copies of keys, that are not kept any longer
    Prune {
        #[command(flatten)]
        places: PlaceArgs,
        #[command(flatten)]
        retention: Retention,
    },
    /// Take copies of keys into a key database that was brought back by other means than `restore`
    TakeCopies(KeyArgs),
    /// Show every backup, oldest first
    List {
        #[command(flatten)]
        places: PlaceArgs,
        /// One JSON document instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Read all of a backup and of its keys', and compare with what was written
    Verify {
        /// As `list` shows it; by default the newest.
        id: Option<String>,
        #[command(flatten)]
        places: PlaceArgs,
    },
    /// Bring a backup back into databases that do not stand yet, named by DATABASE_URL, REDIS_URL and CLICKHOUSE_URL
    Restore {
        /// As `list` shows it; by default the newest.
        id: Option<String>,
        /// Take the keys of this backup instead of the newest.
        #[arg(long)]
        keys_of: Option<String>,
        #[command(flatten)]
        places: PlaceArgs,
        #[command(flatten)]
        engines: EngineArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Where backups of the event store are, a folder or `s3://BUCKET/PREFIX`; by default the folder `backups` beside the key file.
    #[arg(long, env = "PROOFLINE_BACKUPS", value_parser = Location::of_argument)]
    backups: Option<Location>,
    #[command(flatten)]
    keys: KeyArgs,
}

impl PlaceArgs {
    async fn open(&self, data_dir: &Path) -> Result<Places> {
        let beside = || self.keys.beside(data_dir, "backups");
        let backups = self.backups.clone().unwrap_or_else(beside);
        Ok(Places {
            backups: Place::open_private(&backups).await?,
            keys: self.keys.backups(data_dir).await?,
        })
    }
}

pub(crate) async fn run(
    database_url: Option<String>,
    data_dir: &Path,
    command: BackupCommand,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    match command {
        BackupCommand::Create { places, engines } => {
            let running = engines::urls(&engines, database_url, data_dir)?;
            let (clickhouse, database) = engines.clickhouse(&running)?;
            let backups = Backups {
                source: Source {
                    database_url: url(&running.database_url)?,
                    keys_url: url(&places.keys.url(&running.database_url))?,
                    clickhouse: clickhouse.with_database(database),
                },
                places: places.open(data_dir).await?,
                retention: Retention::default(),
            };
            let made = backups.create().await?;
            writeln!(out, "{}", line(&made))?;
        }
        BackupCommand::Prune { places, retention } => {
            for id in places.open(data_dir).await?.prune(retention).await? {
                writeln!(out, "{id}  is gone")?;
            }
        }
        BackupCommand::TakeCopies(keys) => {
            let database_url = match database_url {
                Some(url) => url,
                None => Running::read(data_dir)?.database_url,
            };
            let keys = keys.open(&database_url, data_dir).await?;
            writeln!(out, "{}", from_copies(keys.vault.take_copies().await?))?;
        }
        BackupCommand::List { places, json } => {
            let places = places.open(data_dir).await?;
            let (all, keys) = (places.all().await?, places.all_keys().await?);
            if json {
                let all = json!({ "backups": all, "key_backups": keys });
                writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
                return Ok(());
            }
            for made in &all {
                writeln!(out, "{}", line(made))?;
            }
            for made in &keys {
                writeln!(out, "{}  keys, {} bytes", made.id, made.dump.bytes)?;
            }
        }
        BackupCommand::Verify { id, places } => {
            let places = places.open(data_dir).await?;
            let id = places.find(id).await?;
            let made = places.verify(&id).await?;
            writeln!(out, "ok      {}", line(&made))?;
            match places.verify_keys(&id).await {
                Ok(keys) => writeln!(out, "ok      {}  keys, {} bytes", id, keys.dump.bytes)?,
                Err(BackupError::NotFound(_)) => {
                    writeln!(out, "        its keys are not kept any longer")?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        BackupCommand::Restore {
            id,
            keys_of,
            places,
            engines,
        } => {
            let running = engines::urls(&engines, database_url, data_dir)?;
            let (clickhouse, database) = engines.clickhouse(&running)?;
            let target = Target {
                database_url: url(&running.database_url)?,
                keys_url: url(&places.keys.url(&running.database_url))?,
                clickhouse,
                clickhouse_database: database.to_owned(),
                key_provider: places.keys.key_provider.clone(),
                key_file: places.keys.key_file(data_dir),
                region: places.keys.region().cloned(),
            };
            let places = places.open(data_dir).await?;
            let id = places.find(id).await?;
            let restored = places.restore(&id, keys_of.as_deref(), &target).await?;
            writeln!(out, "restored {}", line(&restored.manifest))?;
            writeln!(
                out,
                "with the keys of {}, and {}",
                restored.keys.id,
                from_copies(restored.copies)
            )?;
            writeln!(
                out,
                "log {} is log {} now; compare it with its anchor by: replay audit verify --restored {}",
                restored.manifest.events.log, restored.log, restored.manifest.events.log
            )?;
        }
    }
    Ok(())
}

fn from_copies(taken: Taken) -> String {
    format!(
        "{} from copies; {} can't be opened any more, as is right for who was erased",
        taken.keys, taken.lost
    )
}

fn line(made: &Manifest) -> String {
    let facts = &made.facts;
    let parts = facts.parts.iter().map(|part| part.bytes).sum::<u64>();
    format!(
        "{}  events up to {}, telemetry up to {}, facts up to {}, {} bytes",
        made.id,
        made.events.head,
        made.telemetry.head,
        facts.checkpoint,
        made.dump.bytes + parts
    )
}

/// Errors never show it: it may have a password.
fn url(text: &str) -> Result<Url> {
    Url::parse(text).context("DATABASE_URL or KEYS_DATABASE_URL is no URL")
}
