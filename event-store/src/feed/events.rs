//! Reading the domain log.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::{CopyError, Extent, FeedError, Fields, Gathered, Log, Page, Positioned, copy_page};
use crate::bucket::Bucket;
use crate::store::{EventRow, RecordedEvent, StoreError, StreamId, incarnation};
use crate::token::LogName;

/// The domain log.
#[derive(Clone)]
pub struct EventLog {
    pool: PgPool,
    incarnation: Uuid,
}

impl EventLog {
    /// `pool` connects as [`crate::Role::Projector`], or as any role that sees every tenant's events.
    pub async fn open(pool: PgPool) -> Result<Self, StoreError> {
        let incarnation = incarnation(&pool, LogName::Events).await?;
        Ok(Self { pool, incarnation })
    }

    /// The tenant's events after position `from` up to `to`, in order.
    pub async fn read_tenant(
        &self,
        tenant: Uuid,
        from: i64,
        to: i64,
    ) -> Result<Vec<RecordedEvent>, sqlx::Error> {
        sqlx::query_file_as!(EventRow, "sql/select_tenant_events.sql", tenant, from, to)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(RecordedEvent::try_from)
            .collect()
    }

    /// The stream's events after `sequence` in order, at most `limit`, as stored.
    pub async fn read_stream(
        &self,
        stream: &StreamId,
        sequence: i64,
        limit: i64,
    ) -> Result<Vec<RecordedEvent>, sqlx::Error> {
        sqlx::query_file_as!(
            EventRow,
            "sql/select_stream_events.sql",
            stream.aggregate_type,
            stream.aggregate_id,
            sequence,
            limit
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(RecordedEvent::try_from)
        .collect()
    }

    /// Whether events of the tenant wait behind one that a served version of one of these projections can't take.
    pub async fn has_waiting(
        &self,
        tenant: Uuid,
        projections: &[&str],
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select exists (
                 select from es.parked_keys k left join es.active_view v on v.name = k.name
                 where k.name = any($2) and coalesce(v.version, k.version) = k.version
                   and exists (select from es.events e
                               where e.tenant_id = $1 and e.bucket = k.bucket and e.position >= k.position_from)
               ) as "waiting!""#,
            tenant,
            projections as _
        )
        .fetch_one(&self.pool)
        .await
    }

    /// The events at these positions, in order.
    pub async fn read_at(&self, positions: &[i64]) -> Result<Vec<RecordedEvent>, sqlx::Error> {
        sqlx::query_file_as!(EventRow, "sql/select_events_at.sql", positions)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(RecordedEvent::try_from)
            .collect()
    }

    /// The last position that was appended at `time` or before; 0 before the first. `None` while the time is yet to come
    /// by the database's clock, since events may still be appended before it.
    pub async fn position_at(&self, time: DateTime<Utc>) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_file_scalar!("sql/select_position_at.sql", time)
            .fetch_one(&self.pool)
            .await
    }

    async fn query(&self, extent: Extent) -> Result<Page<RecordedEvent>, sqlx::Error> {
        let mut rows = sqlx::query_file_as!(
            EventRow,
            "sql/select_events.sql",
            extent.after,
            extent.records_max
        )
        .fetch(&self.pool);
        let log = rows.try_next().await?.ok_or(sqlx::Error::RowNotFound)?;
        let mut gathered = Gathered::new(extent.bytes_max);
        while !gathered.is_full()
            && let Some(row) = rows.try_next().await?
        {
            gathered.push(RecordedEvent::try_from(row)?);
        }
        Ok(Page {
            records: gathered.records,
            head: log.position,
            incarnation: log.tenant_id,
        })
    }

    async fn copy(&self, extent: Extent) -> Result<Option<Page<RecordedEvent>>, sqlx::Error> {
        // COPY takes no parameters; two integers can say nothing else than two integers.
        let statement = format!(
            include_str!("../../sql/copy_events.sql"),
            after = extent.after,
            to = extent.to()
        );
        copy_page(&self.pool, &statement, extent.bytes_max, event).await
    }
}

impl Log for EventLog {
    type Record = RecordedEvent;

    const NAME: LogName = LogName::Events;

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn page(&self, extent: Extent) -> Result<Page<RecordedEvent>, FeedError> {
        let failed = FeedError::read(Self::NAME, extent.after);
        if extent.bulk
            && let Some(page) = self.copy(extent).await.map_err(&failed)?
        {
            return Ok(page);
        }
        self.query(extent).await.map_err(failed)
    }

    async fn head(&self) -> Result<(i64, Uuid), sqlx::Error> {
        let row = sqlx::query!(
            r#"select incarnation,
                      coalesce((select position from es.events order by position desc limit 1), 0) as "head!"
               from es.log where name = 'events'"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.head, row.incarnation))
    }

    async fn age_seconds(&self, position: i64) -> Result<Option<f64>, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select extract(epoch from clock_timestamp() - recorded_at)::float8 as "age!"
               from es.events where position = $1"#,
            position
        )
        .fetch_optional(&self.pool)
        .await
    }
}

impl Positioned for RecordedEvent {
    fn position(&self) -> i64 {
        self.position
    }

    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.payload.get().len() + self.metadata.get().len() + 200
    }

    fn traceparent(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Traced {
            traceparent: Option<String>,
        }
        let traced: Traced = serde_json::from_str(self.metadata.get()).ok()?;
        traced.traceparent
    }

    /// The lane's clock never steps back, and a stream's events that lie side by side are numbered one by one.
    fn follows(&self, previous: &Self) -> bool {
        self.recorded_at >= previous.recorded_at
            && (self.stream != previous.stream || self.sequence == previous.sequence + 1)
    }
}

/// A row of `sql/copy_events.sql`.
fn event(fields: &mut Fields<'_>) -> Result<RecordedEvent, CopyError> {
    Ok(RecordedEvent {
        position: fields.i64()?,
        tenant: fields.uuid()?,
        stream: StreamId {
            aggregate_type: fields.text()?,
            aggregate_id: fields.text()?,
        },
        sequence: fields.i64()?,
        bucket: fields.bucket()?,
        event_id: fields.uuid()?,
        event_type: fields.text()?,
        event_version: fields.text()?,
        recorded_at: fields.timestamp()?,
        command_id: fields.uuid()?,
        correlation_id: fields.uuid()?,
        causation_id: fields.uuid_or_null()?,
        actor: fields.text()?,
        payload: fields.json()?,
        metadata: fields.json()?,
    })
}
