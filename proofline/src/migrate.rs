//! `proofline migrate`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::DataRegion;
use event_store::{Regions, Role, connect};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::config::Connections;

const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// Brings every engine up to date, and tells the databases in which region they are; those of another region are left as they
/// are. Safe to run again, and from several processes at once.
pub async fn migrate(connections: &Connections) -> Result<()> {
    let (url, keys_url) = (&connections.database_url, connections.keys_url()?);
    let regions = Regions {
        events: owner(url).context("DATABASE_URL")?,
        keys: owner(&keys_url).context("KEYS_DATABASE_URL")?,
    };
    let own = connections.region.as_ref().map(DataRegion::as_str);
    regions.check_known(own).await?;
    migrations::postgres(url).await?;
    migrations::keys(&keys_url).await?;
    migrations::clickhouse(&connections.clickhouse()?, &connections.clickhouse_database)
        .await
        .context("could not migrate ClickHouse")?;
    if let Some(own) = own {
        regions.bind(own).await?;
    }
    Ok(())
}

/// Refuses databases that belong to another region than this process.
pub(crate) async fn check_region(connections: &Connections) -> Result<()> {
    let regions = Regions {
        events: connect(&connections.database_url, Role::Reader, 1).context("DATABASE_URL")?,
        keys: connect(&connections.keys_url()?, Role::Vault, 1).context("KEYS_DATABASE_URL")?,
    };
    let own = connections.region.as_ref().map(DataRegion::as_str);
    regions.check(own).await?;
    Ok(())
}

/// As whoever may change what the database is made of.
fn owner(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECTED_WITHIN)
        .connect_lazy(url)
}
