//! Reading a log from its beginning, beside the fastest way in which Postgres hands out the same rows.

use std::time::Instant;

use anyhow::{Result, ensure};
use event_store::{EventLog, Reader, Role, connect};
use futures::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};

use crate::load::Measured;

/// What a reader far behind asks for at once.
const BATCH: i64 = 5_000;

/// Every event up to `to` through the reader, each checked for its position and then dropped.
pub(crate) async fn read(url: &str, to: i64) -> Result<Measured> {
    let log = EventLog::open(connect(url, Role::Projector, 2)?).await?;
    let mut reader = Reader::after(log, 0);
    let began = Instant::now();
    while reader.position() < to {
        let limit = BATCH.min(to - reader.position());
        ensure!(!reader.next(limit).await?.is_empty(), "the log ends early");
    }
    Ok(Measured::bulk(u64::try_from(to)?, began.elapsed()))
}

/// The same rows by binary COPY, received and dropped.
pub(crate) async fn copy(url: &str, to: i64) -> Result<Measured> {
    let mut connection = PgConnection::connect(url).await?;
    let statement = format!(
        "copy (select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
                      recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
               from es.events where position > 0 and position <= {to} order by position) to stdout (format binary)"
    );
    let began = Instant::now();
    let mut rows = connection.copy_out_raw(&statement).await?;
    let mut bytes = 0;
    while let Some(chunk) = rows.try_next().await? {
        bytes += chunk.len();
    }
    ensure!(bytes > 0, "nothing was copied");
    Ok(Measured::bulk(u64::try_from(to)?, began.elapsed()))
}
