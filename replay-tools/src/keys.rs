//! Where the keys are, for commands that open, seal or sign.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use commands::Secrets;
use event_store::vault::{LocalKeyFile, Vault};
use event_store::{Role, TagKey, connect};
use sqlx::PgPool;

const CONNECTIONS: u32 = 4;

#[derive(Args)]
pub(crate) struct KeyArgs {
    /// The database of subject keys; by default the same server's database with `_keys` after its name.
    #[arg(long, env = "KEYS_DATABASE_URL", hide_env_values = true)]
    keys_database_url: Option<String>,
    /// The platform's key file; by default that in the data directory.
    #[arg(long, env = "PROOFLINE_KEY_FILE")]
    key_file: Option<PathBuf>,
}

/// Passwords stay out of logs.
impl fmt::Debug for KeyArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyArgs").finish_non_exhaustive()
    }
}

/// What derives from the platform's keys.
pub(crate) struct Keys {
    pub(crate) provider: Arc<LocalKeyFile>,
    pub(crate) vault: Vault,
    /// On the key database, as [`Role::Vault`].
    pub(crate) pool: PgPool,
    pub(crate) secrets: Secrets,
    pub(crate) tags: TagKey,
}

impl KeyArgs {
    /// A key file is never made here: what keys of one's own seal could not be read by the platform.
    pub(crate) async fn open(&self, database_url: &str, data_dir: &Path) -> Result<Keys> {
        let key_file = match &self.key_file {
            Some(named) => named.clone(),
            None => data_dir.join("keys.json"),
        };
        let provider = LocalKeyFile::open(&key_file)
            .with_context(|| format!("could not open {}", key_file.display()))?;
        let url = match &self.keys_database_url {
            Some(url) => url.clone(),
            None => beside(database_url),
        };
        let pool = connect(&url, Role::Vault, CONNECTIONS).context("KEYS_DATABASE_URL")?;
        let (secrets, tags) = (Secrets::of(&provider), TagKey::of(&provider));
        let fingerprint = provider.fingerprint();
        let provider = Arc::new(provider);
        let vault = Vault::new(pool.clone(), provider.clone());
        vault.bind(fingerprint).await?;
        Ok(Keys {
            provider,
            vault,
            pool,
            secrets,
            tags,
        })
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
