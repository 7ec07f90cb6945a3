//! The write side of one process.

use anyhow::{Context as _, Result};
use commands::{Commands, Telemetry};
use event_store::vault::{KeyCopies, Vault};
use event_store::{
    LogName, Notifier, Role, Store, Streams, TelemetryLane, TelemetryLog, connect, connect_lane,
};

use crate::config::Connections;
use crate::secrets::Secrets;

const LOAD_CONNECTIONS: u32 = 8;
const KEY_CONNECTIONS: u32 = 4;

/// Opens the event store; Postgres must serve.
pub async fn open(connections: &Connections, secrets: &Secrets) -> Result<Commands> {
    let vault = vault(connections, secrets).await?;
    open_with(connections, secrets, vault).await
}

/// The same, with the vault that the process has.
pub(crate) async fn open_with(
    connections: &Connections,
    secrets: &Secrets,
    vault: Vault,
) -> Result<Commands> {
    let url = &connections.database_url;
    let pool = connect(url, Role::Writer, LOAD_CONNECTIONS).context("DATABASE_URL")?;
    let streams = Streams::new(pool.clone(), vault, domain::upcasters());
    let announce =
        |log| Ok::<_, anyhow::Error>(Notifier::start(connect(url, Role::Writer, 1)?, log));
    let store = Store::open(connect_lane(url)?, streams, secrets.tags.clone())
        .await
        .context("could not open the event store; was the database migrated?")?
        .announcing(announce(LogName::Events)?);
    let telemetry_log = TelemetryLog::open(pool)
        .await
        .context("could not open the telemetry log")?;
    let telemetry = Telemetry::new(
        TelemetryLane::start(connect_lane(url)?, &telemetry_log)
            .announcing(announce(LogName::Telemetry)?),
        telemetry_log,
    );
    Ok(Commands::new(store, telemetry, secrets.commands.clone()))
}

/// The vault over the key database, which must have been made with these secrets.
pub async fn vault(connections: &Connections, secrets: &Secrets) -> Result<Vault> {
    let keys = connect(&connections.keys_url()?, Role::Vault, KEY_CONNECTIONS)
        .context("KEYS_DATABASE_URL")?;
    let copies = KeyCopies::new(connections.key_backups().await?);
    let vault = Vault::new(keys, secrets.provider.clone(), copies);
    vault
        .bind(secrets.fingerprint)
        .await
        .context("could not use the key database")?;
    Ok(vault)
}
