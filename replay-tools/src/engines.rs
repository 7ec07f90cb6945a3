//! Where the engines are, for commands that write into all of them.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use clickhouse::Client;
use event_store::{Role, connect};
use projections::{Drivers, DriversConfig};
use url::Url;

use crate::Running;

/// For what goes on at the same time: driving, loading, comparing, beating, and the right to do so.
const CONNECTIONS: u32 = 8;

#[derive(Clone, Args)]
pub(crate) struct EngineArgs {
    /// By default that of the platform that runs here.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// In front of every key in Redis.
    #[arg(long, env = "PROOFLINE_REDIS_PREFIX", default_value = "proofline")]
    redis_prefix: String,
    /// By default that of the platform that runs here.
    #[arg(long, env = "CLICKHOUSE_URL", hide_env_values = true)]
    clickhouse_url: Option<String>,
    #[arg(
        long,
        env = "PROOFLINE_CLICKHOUSE_DATABASE",
        default_value = "proofline"
    )]
    clickhouse_database: String,
}

impl EngineArgs {
    /// Names no database, and which one it is.
    pub(crate) fn clickhouse(&self, running: &Running) -> Result<(Client, &str)> {
        Ok((
            clickhouse(&running.clickhouse_url)?,
            &self.clickhouse_database,
        ))
    }
}

/// Passwords stay out of logs.
impl fmt::Debug for EngineArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineArgs").finish_non_exhaustive()
    }
}

pub(crate) async fn open(
    args: &EngineArgs,
    database_url: Option<String>,
    data_dir: &Path,
) -> Result<Drivers> {
    let Running {
        database_url,
        redis_url,
        clickhouse_url,
    } = urls(args, database_url, data_dir)?;
    let config = DriversConfig {
        projector: connect(&database_url, Role::Projector, CONNECTIONS)
            .context("DATABASE_URL is no Postgres URL")?,
        redis_url,
        redis_prefix: args.redis_prefix.clone(),
        clickhouse: clickhouse(&clickhouse_url)?,
        clickhouse_database: args.clickhouse_database.clone(),
    };
    Ok(Drivers::open(config).await?)
}

/// Either every engine is named, or all are those of the platform that runs here: never some of each.
pub(crate) fn urls(
    args: &EngineArgs,
    database_url: Option<String>,
    data_dir: &Path,
) -> Result<Running> {
    let named = database_url
        .zip(args.redis_url.clone())
        .zip(args.clickhouse_url.clone());
    match named {
        Some(((database_url, redis_url), clickhouse_url)) => Ok(Running {
            database_url,
            redis_url,
            clickhouse_url,
        }),
        None if args.redis_url.is_some() || args.clickhouse_url.is_some() => {
            bail!("name all of DATABASE_URL, REDIS_URL and CLICKHOUSE_URL, or none")
        }
        None => Running::read(data_dir),
    }
}

/// User and password are taken out of the URL: the client sends them in headers.
fn clickhouse(url: &str) -> Result<Client> {
    let mut url = Url::parse(url).context("CLICKHOUSE_URL is no URL")?;
    let mut client = Client::default();
    if !url.username().is_empty() {
        client = client.with_user(url.username());
    }
    if let Some(password) = url.password() {
        client = client.with_password(password);
    }
    url.set_password(None)
        .and_then(|()| url.set_username(""))
        .map_err(|()| anyhow!("CLICKHOUSE_URL has no host"))?;
    Ok(client.with_url(url))
}
