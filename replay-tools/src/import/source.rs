//! An existing database of postgres-es 0.5, read in bounded memory.

use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// One reads ahead, the others read streams that are too long to be held.
const CONNECTIONS: u32 = 4;
/// Bounds of what one query brings. The bytes are met on average: how many rows are read follows from those before.
const ROWS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;
/// Before any row was seen.
const ROWS_FIRST: usize = 100;
const ROW_BYTES_ASSUMED: usize = 1024;

/// A row of its table `events`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct SourceEvent {
    pub(super) aggregate_id: String,
    pub(super) sequence: i64,
    pub(super) event_type: String,
    pub(super) event_version: String,
    pub(super) payload: String,
    pub(super) metadata: String,
}

/// What the table holds of one kind of event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SourceType {
    pub(super) aggregate_type: String,
    pub(super) event_type: String,
    pub(super) event_version: String,
    pub(super) events: i64,
}

/// A stream as it comes out of the table.
pub(super) enum SourceStream {
    /// All its events.
    Held(Vec<SourceEvent>),
    /// Its id: it has more events than one query brought, and is read again in pieces.
    Long(String),
}

impl SourceStream {
    pub(super) fn aggregate_id(&self) -> &str {
        match self {
            Self::Held(events) => events.first().map_or("", |event| &event.aggregate_id),
            Self::Long(id) => id,
        }
    }

    /// About how much memory it takes.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Held(events) => events.iter().map(SourceEvent::size_bytes).sum(),
            Self::Long(_) => ROWS_FIRST * ROW_BYTES_ASSUMED,
        }
    }
}

impl SourceEvent {
    fn size_bytes(&self) -> usize {
        self.payload.len() + self.metadata.len() + 200
    }
}

/// Reads only; the session refuses to write.
#[derive(Clone)]
pub(super) struct Source {
    pool: PgPool,
}

impl Source {
    pub(super) fn open(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("the source's URL is not one of Postgres")?
            .application_name("proofline import")
            .options([("default_transaction_read_only", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    pub(super) async fn database_name(&self) -> Result<String> {
        sqlx::query_scalar("select current_database()::text")
            .fetch_one(&self.pool)
            .await
            .context("could not reach the source")
    }

    pub(super) async fn types(&self) -> Result<Vec<SourceType>> {
        sqlx::query_as(
            "select aggregate_type, event_type, event_version, count(*) as events from events
             group by aggregate_type, event_type, event_version
             order by aggregate_type, event_type, event_version",
        )
        .fetch_all(&self.pool)
        .await
        .context("could not read the source's table `events`; is it a database of postgres-es?")
    }

    /// The streams of a type, from the first id on.
    pub(super) fn streams(&self, aggregate_type: &str) -> SourceStreams {
        SourceStreams {
            source: self.clone(),
            aggregate_type: aggregate_type.to_owned(),
            after: (String::new(), 0),
            rows_max: ROWS_FIRST,
            ended: false,
        }
    }

    pub(super) async fn count(&self, aggregate_type: &str, aggregate_id: &str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from events where aggregate_type = $1 and aggregate_id = $2",
        )
        .bind(aggregate_type)
        .bind(aggregate_id)
        .fetch_one(&self.pool)
        .await
        .context("could not read a stream of the source")?;
        Ok(count.unsigned_abs())
    }

    /// Some of one stream's events after `sequence`, in order; none at its end.
    pub(super) async fn events_after(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        sequence: i64,
    ) -> Result<Vec<SourceEvent>> {
        sqlx::query_as(
            "select aggregate_id, sequence, event_type, event_version, payload::text as payload,
                    metadata::text as metadata
             from events where aggregate_type = $1 and aggregate_id = $2 and sequence > $3
             order by sequence limit $4",
        )
        .bind(aggregate_type)
        .bind(aggregate_id)
        .bind(sequence)
        .bind(ROWS_FIRST as i64)
        .fetch_all(&self.pool)
        .await
        .context("could not read a stream of the source")
    }
}

/// Walks a type's streams by the table's primary key. Every query begins where the last one ended, so there is no cursor
/// that could be lost, and none that would hold back the source's vacuum.
pub(super) struct SourceStreams {
    source: Source,
    aggregate_type: String,
    after: (String, i64),
    rows_max: usize,
    ended: bool,
}

impl SourceStreams {
    /// The next whole streams; none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<SourceStream>> {
        if self.ended {
            return Ok(Vec::new());
        }
        let mut rows = self.rows().await?;
        if rows.len() < self.rows_max {
            self.ended = true;
        } else if let Some(last) = rows.last().map(|row| row.aggregate_id.clone()) {
            // Whether the last stream is complete is not known; it is read again unless it fills the page alone.
            let rest = rows.partition_point(|row| row.aggregate_id != last);
            if rest == 0 {
                self.after = (last.clone(), i64::MAX);
                return Ok(vec![SourceStream::Long(last)]);
            }
            rows.truncate(rest);
        }
        if let Some(last) = rows.last() {
            self.after = (last.aggregate_id.clone(), i64::MAX);
        }
        self.learn_size(&rows);
        Ok(whole(rows))
    }

    async fn rows(&self) -> Result<Vec<SourceEvent>> {
        sqlx::query_as(
            "select aggregate_id, sequence, event_type, event_version, payload::text as payload,
                    metadata::text as metadata
             from events where aggregate_type = $1 and (aggregate_id, sequence) > ($2, $3)
             order by aggregate_id, sequence limit $4",
        )
        .bind(&self.aggregate_type)
        .bind(&self.after.0)
        .bind(self.after.1)
        .bind(self.rows_max as i64)
        .fetch(&self.source.pool)
        .try_collect()
        .await
        .context("could not read the source")
    }

    fn learn_size(&mut self, rows: &[SourceEvent]) {
        let bytes: usize = rows.iter().map(SourceEvent::size_bytes).sum();
        if let Some(average) = bytes.checked_div(rows.len()) {
            self.rows_max = (BYTES_MAX / average.max(1)).clamp(ROWS_FIRST, ROWS_MAX);
        }
    }
}

/// Rows in order of streams, as streams.
fn whole(rows: Vec<SourceEvent>) -> Vec<SourceStream> {
    let mut streams: Vec<Vec<SourceEvent>> = Vec::new();
    for row in rows {
        match streams.last_mut() {
            Some(stream) if stream[0].aggregate_id == row.aggregate_id => stream.push(row),
            _ => streams.push(vec![row]),
        }
    }
    streams.into_iter().map(SourceStream::Held).collect()
}
