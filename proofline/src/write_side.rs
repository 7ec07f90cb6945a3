//! The write side of one process.

use anyhow::{Context as _, Result};
use commands::{Commands, Telemetry};
use event_store::vault::Vault;
use event_store::{Role, Store, Streams, TelemetryLane, TelemetryLog, connect};

use crate::config::Connections;
use crate::secrets::Secrets;

/// The lane has two calls in flight and one connection to find out about lost replies.
const LANE_CONNECTIONS: u32 = 3;
const LOAD_CONNECTIONS: u32 = 8;
const KEY_CONNECTIONS: u32 = 4;

/// Opens the event store; Postgres must serve.
pub async fn open(connections: &Connections, secrets: &Secrets) -> Result<Commands> {
    let url = &connections.database_url;
    let pool = connect(url, Role::Writer, LOAD_CONNECTIONS).context("DATABASE_URL")?;
    let streams = Streams::new(
        pool.clone(),
        vault(connections, secrets)?,
        domain::upcasters(),
    );
    let store = Store::open(connect(url, Role::Writer, LANE_CONNECTIONS)?, streams)
        .await
        .context("could not open the event store; was the database migrated?")?;
    let telemetry = Telemetry::new(
        TelemetryLane::start(connect(url, Role::Writer, LANE_CONNECTIONS)?),
        TelemetryLog::open(pool)
            .await
            .context("could not open the telemetry log")?,
    );
    Ok(Commands::new(store, telemetry, secrets.commands.clone()))
}

/// The vault over the key database.
pub fn vault(connections: &Connections, secrets: &Secrets) -> Result<Vault> {
    let keys = connect(&connections.keys_url()?, Role::Vault, KEY_CONNECTIONS)
        .context("KEYS_DATABASE_URL")?;
    Ok(Vault::new(keys, secrets.provider.clone()))
}
