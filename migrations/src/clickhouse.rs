//! ClickHouse has no transactions over DDL: each file is one statement, applied in order, and noted after it.

use ::clickhouse::{Client, Row};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::MigrationError;

/// Name and statement, in order. A statement is never changed once released.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "20261121000001_telemetry",
        include_str!("../clickhouse/20261121000001_telemetry.sql"),
    ),
    (
        "20261121000002_telemetry_hourly",
        include_str!("../clickhouse/20261121000002_telemetry_hourly.sql"),
    ),
    (
        "20261121000003_telemetry_hourly_view",
        include_str!("../clickhouse/20261121000003_telemetry_hourly_view.sql"),
    ),
];

#[derive(Row, Deserialize)]
struct Applied {
    name: String,
    hash: String,
}

/// Brings `database` up to date; created where it does not stand. `client` needs no database of its own. A statement
/// that was applied just before a crash, and not yet noted, is found standing and noted now.
pub async fn migrate(client: &Client, database: &str) -> Result<(), MigrationError> {
    let failed = |name: &str, source| MigrationError::ClickHouse {
        name: name.to_owned(),
        source: Box::new(source),
    };
    client
        .query("create database if not exists ?")
        .bind(::clickhouse::sql::Identifier(database))
        .execute()
        .await
        .map_err(|error| failed("create database", error))?;
    let client = client.clone().with_database(database);
    client
        .query(
            "create table if not exists migration (name String, hash String, applied_at DateTime64(3, 'UTC'))
             engine = MergeTree order by name",
        )
        .execute()
        .await
        .map_err(|error| failed("create table migration", error))?;
    let applied: Vec<Applied> = client
        .query("select ?fields from migration")
        .fetch_all()
        .await
        .map_err(|error| failed("select from migration", error))?;
    for (name, statement) in MIGRATIONS {
        let hash = hex(&Sha256::digest(statement));
        match applied.iter().find(|row| row.name == *name) {
            Some(row) if row.hash == hash => continue,
            Some(_) => {
                return Err(MigrationError::ClickHouseChanged {
                    name: (*name).to_owned(),
                });
            }
            None => {}
        }
        if let Err(error) = client.query(statement).execute().await
            && !already_stands(&error)
        {
            return Err(failed(name, error));
        }
        client
            .query("insert into migration (name, hash, applied_at) select ?, ?, now64(3)")
            .bind(*name)
            .bind(&hash)
            .execute()
            .await
            .map_err(|error| failed(name, error))?;
    }
    Ok(())
}

/// Code 57, TABLE_ALREADY_EXISTS.
fn already_stands(error: &::clickhouse::error::Error) -> bool {
    matches!(error, ::clickhouse::error::Error::BadResponse(text) if text.contains("Code: 57."))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
