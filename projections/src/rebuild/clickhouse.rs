//! A new version of facts in ClickHouse: the same inserts as ever, in large blocks, while the next records are read.

use std::sync::Arc;

use ::clickhouse::sql::Identifier;
use ::clickhouse::{Client, Row};
use event_store::{Log, Reader, TelemetryEvent, TelemetryLog, Withheld};
use serde::Deserialize;
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::error::RebuildError;
use super::progress::Tracker;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, Standing};
use crate::sink::table;

/// Of one block, of which three are in memory at a time: one is read, one waits, one is inserted.
const BLOCK_RECORDS: i64 = 100_000;
const BLOCK_BYTES: usize = 48 << 20;
/// Positions whose rows are told apart by one checksum.
const PART: u64 = 1 << 16;

/// How the tables of a version are made.
struct FactTable {
    name: String,
    statement: String,
}

/// Creates the version's tables.
pub(super) async fn create(
    pool: &PgPool,
    client: &Client,
    projection: Projection,
    version: i32,
) -> Result<(), RebuildError> {
    for FactTable { statement, .. } in tables(pool, projection, version).await? {
        client
            .query(&statement)
            .execute()
            .await
            .map_err(RebuildError::ClickHouse)?;
    }
    Ok(())
}

/// Drops those of the version's tables that stand, at once.
pub(super) async fn drop_tables(
    pool: &PgPool,
    client: &Client,
    projection: Projection,
    version: i32,
) -> Result<(), RebuildError> {
    for FactTable { name, .. } in tables(pool, projection, version).await?.into_iter().rev() {
        client
            .query("drop table if exists ? sync")
            .bind(Identifier(&name))
            .execute()
            .await
            .map_err(RebuildError::ClickHouse)?;
    }
    Ok(())
}

async fn tables(
    pool: &PgPool,
    projection: Projection,
    version: i32,
) -> Result<Vec<FactTable>, RebuildError> {
    let rows = sqlx::query!(
        "select table_name, statement from es.fact_tables where name = $1 order by ordinal",
        projection.name()
    )
    .fetch_all(pool)
    .await
    .map_err(RebuildError::Tables)?;
    let suffix = table("", version);
    Ok(rows
        .into_iter()
        .map(|row| FactTable {
            name: row.table_name.replace("{v}", &suffix),
            statement: row.statement.replace("{v}", &suffix),
        })
        .collect())
}

/// Inserts the log up to `head`, except what is withheld.
pub(super) async fn insert<S: Sink<Arc<TelemetryEvent>>>(
    log: &TelemetryLog,
    sink: &mut S,
    head: i64,
    withheld: Withheld,
    tracker: &Tracker,
) -> Result<(), RebuildError> {
    tracker.begin_pass(1, head);
    let withheld = Arc::new(withheld);
    let Standing { mut leases, .. } = sink.resume().await?;
    let (sender, mut blocks) = mpsc::channel(1);
    let reader = Reader::after(log.clone(), 0).with_bytes_max(BLOCK_BYTES);
    let reading = tokio::spawn(read_blocks(reader, head, sender));
    while let Some(records) = blocks.recv().await {
        let records = records.into_iter().map(Arc::new).collect();
        if let Some(batch) = Batch::new(leases.clone(), records) {
            leases = batch.reached();
            let to = batch.to();
            sink.apply(batch.without(withheld.clone())).await?;
            tracker.reached(to);
        }
    }
    reading.await.map_err(RebuildError::Panicked)?
}

async fn read_blocks<L: Log>(
    mut reader: Reader<L>,
    head: i64,
    sender: mpsc::Sender<Vec<L::Record>>,
) -> Result<(), RebuildError> {
    while reader.position() < head {
        let left = head - reader.position();
        let block = reader.next(BLOCK_RECORDS.min(left)).await?;
        if block.is_empty() {
            let position = reader.position();
            return Err(RebuildError::EndsEarly { position, head });
        }
        if sender.send(block).await.is_err() {
            // The insert has failed and tells why.
            return Ok(());
        }
    }
    Ok(())
}

/// How many rows some positions, or some hours, have, and a sum of their hashes.
#[derive(Row, Deserialize, PartialEq, Eq)]
struct Checksum {
    part: u64,
    rows: u64,
    hashes: u64,
}

/// A row by its key, with a text of everything else.
#[derive(Row, Deserialize, PartialEq, Eq)]
struct Keyed {
    key: String,
    columns: Vec<String>,
}

/// The first difference between two versions that don't move: a row's key, and a column.
pub(super) async fn compare(
    client: &Client,
    one: i32,
    other: i32,
) -> Result<Option<(String, Option<String>)>, RebuildError> {
    for compared in [&TELEMETRY, &HOURLY] {
        if let Some(difference) = compared.compare(client, one, other).await? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

/// A table to be compared.
struct Compared {
    name: &'static str,
    checksums: &'static str,
    rows: &'static str,
    columns: &'static [&'static str],
}

const TELEMETRY: Compared = Compared {
    name: "telemetry",
    checksums: include_str!("../../sql/checksum_telemetry.sql"),
    rows: include_str!("../../sql/select_telemetry_part.sql"),
    columns: &[
        "account_id",
        "site_id",
        "notification_id",
        "event_id",
        "kind",
        "page",
        "occurred_at",
        "received_at",
    ],
};

const HOURLY: Compared = Compared {
    name: "telemetry_hourly",
    checksums: include_str!("../../sql/checksum_telemetry_hourly.sql"),
    rows: include_str!("../../sql/select_telemetry_hourly_part.sql"),
    columns: &["events"],
};

impl Compared {
    async fn compare(
        &self,
        client: &Client,
        one: i32,
        other: i32,
    ) -> Result<Option<(String, Option<String>)>, RebuildError> {
        let left = self.checksums(client, one).await?;
        let right = self.checksums(client, other).await?;
        let Some(part) = first_difference(&left, &right, |checksum| checksum.part) else {
            return Ok(None);
        };
        let left = self.rows(client, one, part).await?;
        let right = self.rows(client, other, part).await?;
        let Some(key) = first_difference(&left, &right, |row| &row.key) else {
            // Only hashes differ, or what stands twice: the part must do.
            return Ok(Some((format!("{} part {part}", self.name), None)));
        };
        let of = |rows: &'_ [Keyed]| {
            let row = rows.iter().find(|row| row.key == *key);
            row.map(|row| row.columns.clone())
        };
        let column = of(&left).zip(of(&right)).and_then(|(left, right)| {
            let place = left.iter().zip(&right).position(|(one, two)| one != two)?;
            self.columns.get(place).map(|column| (*column).to_owned())
        });
        Ok(Some((format!("{} {key}", self.name), column)))
    }

    async fn checksums(
        &self,
        client: &Client,
        version: i32,
    ) -> Result<Vec<Checksum>, RebuildError> {
        client
            .query(self.checksums)
            .param("table", table(self.name, version))
            .param("part_size", PART)
            .fetch_all()
            .await
            .map_err(RebuildError::ClickHouse)
    }

    async fn rows(
        &self,
        client: &Client,
        version: i32,
        part: u64,
    ) -> Result<Vec<Keyed>, RebuildError> {
        client
            .query(self.rows)
            .param("table", table(self.name, version))
            .param("part_size", PART)
            .param("part", part)
            .fetch_all()
            .await
            .map_err(RebuildError::ClickHouse)
    }
}

/// The lowest key at which two lists, each in order of keys, are not the same.
fn first_difference<'a, T: PartialEq, K: Ord>(
    left: &'a [T],
    right: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Option<K> {
    let place = left.iter().zip(right).position(|(one, two)| one != two);
    let place = place.unwrap_or(left.len().min(right.len()));
    let keys = [left.get(place), right.get(place)];
    keys.into_iter().flatten().map(key).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let first =
            |left: &[(u8, u8)], right: &[(u8, u8)]| first_difference(left, right, |row| row.0);
        assert_eq!(first(&[(1, 1), (2, 1)], &[(1, 1), (2, 1)]), None);
        assert_eq!(first(&[(1, 1), (2, 1)], &[(1, 1), (2, 2)]), Some(2));
        assert_eq!(first(&[(1, 1), (3, 1)], &[(1, 1), (2, 1), (3, 1)]), Some(2));
        assert_eq!(first(&[(1, 1)], &[(1, 1), (4, 1)]), Some(4));
        assert_eq!(first(&[], &[]), None);
    }
}
