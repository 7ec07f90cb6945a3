//! Reading the telemetry log.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::bucket::Bucket;
use crate::feed::{
    CopyError, Extent, FeedError, Fields, Gathered, Log, Page, Positioned, copy_page,
};
use crate::store::{StoreError, incarnation};
use crate::token::LogName;

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct TelemetryEvent {
    pub position: i64,
    pub tenant: Uuid,
    pub owner: Uuid,
    pub bucket: Bucket,
    pub event_id: Uuid,
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub payload: Box<RawValue>,
}

/// The telemetry log.
#[derive(Clone)]
pub struct TelemetryLog {
    pool: PgPool,
    incarnation: Uuid,
}

impl TelemetryLog {
    /// `pool` connects as [`crate::Role::Projector`] or [`crate::Role::Writer`].
    pub async fn open(pool: PgPool) -> Result<Self, StoreError> {
        let incarnation = incarnation(&pool, LogName::Telemetry).await?;
        Ok(Self { pool, incarnation })
    }

    async fn query(&self, extent: Extent) -> Result<Page<TelemetryEvent>, sqlx::Error> {
        let mut rows = sqlx::query_file_as!(
            TelemetryRow,
            "sql/select_telemetry.sql",
            extent.after,
            extent.records_max
        )
        .fetch(&self.pool);
        let log = rows.try_next().await?.ok_or(sqlx::Error::RowNotFound)?;
        let mut gathered = Gathered::new(extent.bytes_max);
        while !gathered.is_full()
            && let Some(row) = rows.try_next().await?
        {
            gathered.push(TelemetryEvent::try_from(row)?);
        }
        Ok(Page {
            records: gathered.records,
            head: log.position,
            incarnation: log.tenant_id,
        })
    }

    async fn copy(&self, extent: Extent) -> Result<Option<Page<TelemetryEvent>>, sqlx::Error> {
        // COPY takes no parameters; two integers can say nothing else than two integers.
        let statement = format!(
            include_str!("../../sql/copy_telemetry.sql"),
            after = extent.after,
            to = extent.to()
        );
        copy_page(&self.pool, &statement, extent.bytes_max, event).await
    }
}

impl Log for TelemetryLog {
    type Record = TelemetryEvent;

    const NAME: LogName = LogName::Telemetry;

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn page(&self, extent: Extent) -> Result<Page<TelemetryEvent>, FeedError> {
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
                      coalesce((select position from es.telemetry order by position desc limit 1), 0) as "head!"
               from es.log where name = 'telemetry'"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.head, row.incarnation))
    }

    async fn age_seconds(&self, position: i64) -> Result<Option<f64>, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select extract(epoch from clock_timestamp() - received_at)::float8 as "age!"
               from es.telemetry where position = $1"#,
            position
        )
        .fetch_optional(&self.pool)
        .await
    }
}

impl Positioned for TelemetryEvent {
    fn position(&self) -> i64 {
        self.position
    }

    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.payload.get().len() + 50
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    /// The lane's clock never steps back.
    fn follows(&self, previous: &Self) -> bool {
        self.received_at >= previous.received_at
    }
}

struct TelemetryRow {
    position: i64,
    tenant_id: Uuid,
    owner_id: Uuid,
    bucket: i16,
    event_id: Uuid,
    kind: String,
    occurred_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    payload: Json<Box<RawValue>>,
}

impl TryFrom<TelemetryRow> for TelemetryEvent {
    type Error = sqlx::Error;

    fn try_from(row: TelemetryRow) -> Result<Self, sqlx::Error> {
        let bucket = Bucket::from_stored(row.bucket).ok_or_else(|| {
            sqlx::Error::Decode(format!("bucket {} is out of range", row.bucket).into())
        })?;
        Ok(Self {
            position: row.position,
            tenant: row.tenant_id,
            owner: row.owner_id,
            bucket,
            event_id: row.event_id,
            kind: row.kind,
            occurred_at: row.occurred_at,
            received_at: row.received_at,
            payload: row.payload.0,
        })
    }
}

/// A row of `sql/copy_telemetry.sql`.
fn event(fields: &mut Fields<'_>) -> Result<TelemetryEvent, CopyError> {
    Ok(TelemetryEvent {
        position: fields.i64()?,
        tenant: fields.uuid()?,
        owner: fields.uuid()?,
        bucket: fields.bucket()?,
        event_id: fields.uuid()?,
        kind: fields.text()?,
        occurred_at: fields.timestamp()?,
        received_at: fields.timestamp()?,
        payload: fields.json()?,
    })
}
