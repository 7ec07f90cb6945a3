//! Reading the telemetry log.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::bucket::Bucket;
use crate::feed::{Log, Positioned};
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
}

impl Log for TelemetryLog {
    type Record = TelemetryEvent;

    const NAME: LogName = LogName::Telemetry;

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn read(&self, position: i64, limit: i64) -> Result<Vec<TelemetryEvent>, sqlx::Error> {
        let rows = sqlx::query_as!(
            TelemetryRow,
            r#"select position, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at,
                      payload as "payload: _"
               from es.telemetry where position > $1 order by position limit $2"#,
            position,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(TelemetryEvent::try_from).collect()
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
