//! Where the keys are, for commands that open, seal or sign; and `replay keys`.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use commands::Secrets;
use domain::DataRegion;
use event_store::vault::{KeyCopies, KeyProvider, Vault};
use event_store::{Location, Place, Regions, Role, TagKey, connect};
use key_providers::KeyProviderArgs;
use sqlx::PgPool;

const CONNECTIONS: u32 = 4;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Put new keys in the place of all that wrap people's keys, and have the old ones destroyed
    Rotate(KeyArgs),
}

pub(crate) async fn run(
    database_url: &str,
    data_dir: &Path,
    command: KeysCommand,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    match command {
        KeysCommand::Rotate(args) => {
            let keys = args.open(database_url, data_dir).await?;
            let rotated = keys.vault.rotate().await?;
            writeln!(out, "keys replaced and destroyed: {rotated}")?;
            Ok(())
        }
    }
}

#[derive(Args)]
pub(crate) struct KeyArgs {
    /// The database of subject keys; by default the same server's database with `_keys` after its name.
    #[arg(long, env = "KEYS_DATABASE_URL", hide_env_values = true)]
    keys_database_url: Option<String>,
    #[command(flatten)]
    pub(crate) key_provider: KeyProviderArgs,
    /// The platform's key file, where that is its key provider; by default that in the data directory.
    #[arg(long, env = "PROOFLINE_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Where backups of the key database are, a folder or `s3://BUCKET/PREFIX`; by default the folder `key-backups` beside the key
    /// file.
    #[arg(long, env = "PROOFLINE_KEY_BACKUPS", value_parser = Location::of_argument)]
    key_backups: Option<Location>,
    /// The platform's region, where it has one.
    #[arg(long, env = "PROOFLINE_REGION")]
    region: Option<DataRegion>,
}

/// Passwords stay out of logs.
impl fmt::Debug for KeyArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyArgs").finish_non_exhaustive()
    }
}

/// What derives from the platform's keys.
pub(crate) struct Keys {
    pub(crate) provider: Arc<dyn KeyProvider>,
    pub(crate) vault: Vault,
    /// On the key database, as [`Role::Vault`].
    pub(crate) pool: PgPool,
    pub(crate) secrets: Secrets,
    pub(crate) tags: TagKey,
}

impl KeyArgs {
    /// Neither a key file nor a root is made here: what keys of one's own seal could not be read by the platform.
    pub(crate) async fn open(&self, database_url: &str, data_dir: &Path) -> Result<Keys> {
        let url = self.url(database_url);
        let pool = connect(&url, Role::Vault, CONNECTIONS).context("KEYS_DATABASE_URL")?;
        let regions = Regions {
            events: connect(database_url, Role::Reader, 1).context("DATABASE_URL")?,
            keys: pool.clone(),
        };
        let own = self.region().map(DataRegion::as_str);
        regions.check(own).await?;
        let key_file = self.key_file(data_dir);
        let (provider, root) = self.key_provider.open(&key_file, &pool).await?;
        let copies = KeyCopies::new(self.backups(data_dir).await?);
        let vault = Vault::new(pool.clone(), provider.clone(), copies);
        vault.bind(root.fingerprint()).await?;
        Ok(Keys {
            provider,
            vault,
            pool,
            secrets: Secrets::of(&root),
            tags: TagKey::of(&root),
        })
    }

    pub(crate) fn region(&self) -> Option<&DataRegion> {
        self.region.as_ref()
    }

    pub(crate) fn key_file(&self, data_dir: &Path) -> PathBuf {
        let in_data_dir = || data_dir.join("keys.json");
        self.key_file.clone().unwrap_or_else(in_data_dir)
    }

    /// Where the subject keys are.
    pub(crate) fn url(&self, database_url: &str) -> String {
        let beside = || beside(database_url);
        self.keys_database_url.clone().unwrap_or_else(beside)
    }

    /// Where their backups are.
    pub(crate) async fn backups(&self, data_dir: &Path) -> Result<Place> {
        let named = self.key_backups.clone();
        let location = named.unwrap_or_else(|| self.beside(data_dir, "key-backups"));
        Ok(Place::open_private(&location).await?)
    }

    /// Where the platform keeps what nobody gave a place.
    pub(crate) fn beside(&self, data_dir: &Path, name: &str) -> Location {
        Location::folder(self.key_file(data_dir).with_file_name(name))
    }
}

fn beside(database_url: &str) -> String {
    match database_url.split_once('?') {
        Some((url, query)) => format!("{url}_keys?{query}"),
        None => format!("{database_url}_keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_beside_the_log_unless_somebody_says_otherwise() {
        assert_eq!(beside("postgres://h/p"), "postgres://h/p_keys");
        assert_eq!(
            beside("postgres://h/p?sslmode=require"),
            "postgres://h/p_keys?sslmode=require"
        );
    }
}
