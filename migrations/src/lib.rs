//! All DDL, for Postgres and ClickHouse, and its runner.
//!
//! **Owns** every table, role, function and view. One object per file, expand and contract, never a destructive change
//! in the release that stops using it. **Must not know** what is stored in them: nothing of ours is used here.

mod clickhouse;
mod facts;
mod read_models;

use std::str::FromStr as _;

use sqlx::migrate::{MigrateDatabase as _, MigrateError};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Postgres};

pub use crate::clickhouse::migrate as clickhouse;

/// Why a database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("could not connect to migrate")]
    Connect(#[source] sqlx::Error),
    #[error("could not create the database {0}")]
    CreateDatabase(String, #[source] sqlx::Error),
    #[error("could not migrate Postgres")]
    Postgres(#[source] MigrateError),
    #[error("could not migrate the key database")]
    Keys(#[source] MigrateError),
    #[error("could not create read model {name}")]
    ReadModel {
        name: &'static str,
        source: sqlx::Error,
    },
    #[error("could not write down how the tables of {name} are made")]
    Facts {
        name: &'static str,
        source: sqlx::Error,
    },
    #[error("could not migrate ClickHouse with {name}")]
    ClickHouse {
        name: String,
        source: Box<::clickhouse::error::Error>,
    },
    #[error("ClickHouse migration {name} was changed after it was applied")]
    ClickHouseChanged { name: String },
}

/// Brings the event store and the read models up to date. `url` names a role that may create roles and schemas; the
/// database is created where it does not stand. Safe to run from several processes at once and again.
pub async fn postgres(url: &str) -> Result<(), MigrationError> {
    let pool = open(url).await?;
    sqlx::migrate!("./postgres")
        .run(&pool)
        .await
        .map_err(MigrationError::Postgres)?;
    read_models::ensure(&pool).await?;
    facts::ensure(&pool).await?;
    pool.close().await;
    Ok(())
}

/// Brings the key database up to date; created where it does not stand.
pub async fn keys(url: &str) -> Result<(), MigrationError> {
    let pool = open(url).await?;
    sqlx::migrate!("./keys")
        .run(&pool)
        .await
        .map_err(MigrationError::Keys)?;
    pool.close().await;
    Ok(())
}

/// Two connections: the migrator holds one while it takes its lock.
async fn open(url: &str) -> Result<PgPool, MigrationError> {
    if !Postgres::database_exists(url)
        .await
        .map_err(MigrationError::Connect)?
    {
        let created = Postgres::create_database(url).await;
        if let Err(error) = created
            && !Postgres::database_exists(url)
                .await
                .map_err(MigrationError::Connect)?
        {
            let name = PgConnectOptions::from_str(url)
                .ok()
                .and_then(|options| options.get_database().map(str::to_owned))
                .unwrap_or_default();
            return Err(MigrationError::CreateDatabase(name, error));
        }
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(MigrationError::Connect)?
        .options([("client_min_messages", "warning")])
        .disable_statement_logging();
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .map_err(MigrationError::Connect)
}
