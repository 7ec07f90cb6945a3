//! `proofline migrate`.

use anyhow::{Context as _, Result};

use crate::config::Connections;

/// Brings every engine up to date. Safe to run again, and from several processes at once.
pub async fn migrate(connections: &Connections) -> Result<()> {
    migrations::postgres(&connections.database_url).await?;
    migrations::keys(&connections.keys_url()?).await?;
    migrations::clickhouse(&connections.clickhouse()?, &connections.clickhouse_database)
        .await
        .context("could not migrate ClickHouse")
}
