//! What a running platform leaves in its data directory, so that other commands find it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use key_providers::KeyProviderArgs;
use serde::{Deserialize, Serialize};

use crate::config::Connections;

/// `<data-dir>/running.json`, mode 0600: it holds the engines' passwords.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) api_url: String,
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) clickhouse_url: String,
}

impl Running {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("running.json")
    }

    /// Written beside its place and moved there, so that nobody reads half of it.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<()> {
        let beside = data_dir.join(format!(".running-{}", self.pid));
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .with_context(|| format!("could not write below {}", data_dir.display()))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        fs::rename(&beside, Self::path(data_dir)).context("could not write running.json")
    }

    /// To its engines.
    pub(crate) fn connections(
        &self,
        data_dir: &Path,
        key_provider: KeyProviderArgs,
    ) -> Result<Connections> {
        let urls = engines::Urls {
            database_url: self.database_url.clone(),
            redis_url: self.redis_url.clone(),
            clickhouse_url: self.clickhouse_url.clone(),
        };
        Connections::to_engines(&urls, data_dir, key_provider)
    }

    pub(crate) fn remove(data_dir: &Path) {
        // Whoever reads a stale one finds nobody at its address.
        let _ = fs::remove_file(Self::path(data_dir));
    }

    /// `None` where no platform has said that it runs.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>> {
        match fs::read(Self::path(data_dir)) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).context("running.json is not ours")?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("could not read running.json"),
        }
    }
}
