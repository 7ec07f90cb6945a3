//! `proofline migrate`.

use anyhow::{Context as _, Result};
use domain::DataRegion;
use event_store::{Regions, Role, connect};

use crate::config::Connections;

/// Brings every engine up to date, and tells the databases in which region they are. Safe to run again, and from several
/// processes at once.
pub async fn migrate(connections: &Connections) -> Result<()> {
    migrations::postgres(&connections.database_url).await?;
    migrations::keys(&connections.keys_url()?).await?;
    migrations::clickhouse(&connections.clickhouse()?, &connections.clickhouse_database)
        .await
        .context("could not migrate ClickHouse")?;
    match &connections.region {
        Some(own) => regions(connections)?.bind(own.as_str()).await?,
        None => check_region(connections).await?,
    }
    Ok(())
}

/// Refuses databases that belong to another region than this process.
pub(crate) async fn check_region(connections: &Connections) -> Result<()> {
    let own = connections.region.as_ref().map(DataRegion::as_str);
    regions(connections)?.check(own).await?;
    Ok(())
}

fn regions(connections: &Connections) -> Result<Regions> {
    Ok(Regions {
        events: connect(&connections.database_url, Role::Writer, 1).context("DATABASE_URL")?,
        keys: connect(&connections.keys_url()?, Role::Vault, 1).context("KEYS_DATABASE_URL")?,
    })
}
