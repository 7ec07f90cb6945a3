//! The domain log as its users see it: append, load, look up.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::persist::EventUpcaster;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::append::{self, Append, AppendError, AppendLane, Appended, Tag, TagKey};
use crate::bucket::Bucket;
use crate::feed::Notifier;
use crate::pool::recognise_cluster;
use crate::region;
use crate::token::{LogName, Token};
use crate::vault::{Vault, VaultError};

/// The address of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// Stored name, for instance `site`.
    pub aggregate_type: String,
    pub aggregate_id: String,
}

/// An event that was found by a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub aggregate_id: String,
    /// Stored name.
    pub event_type: String,
    pub position: i64,
}

impl StreamId {
    pub fn of<A: Aggregate>(aggregate_id: &str) -> Self {
        Self {
            aggregate_type: A::TYPE.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
        }
    }
}

/// An event as it is stored. `payload` is the stored text, personal data in it sealed.
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    pub position: i64,
    pub tenant: Uuid,
    pub stream: StreamId,
    pub sequence: i64,
    pub bucket: Bucket,
    pub event_id: Uuid,
    pub event_type: String,
    pub event_version: String,
    pub recorded_at: DateTime<Utc>,
    pub command_id: Uuid,
    pub correlation_id: Uuid,
    pub causation_id: Option<Uuid>,
    pub actor: String,
    pub payload: Box<RawValue>,
    pub metadata: Box<RawValue>,
}

impl RecordedEvent {
    /// The payload, parsed; personal data in it stays sealed.
    pub fn payload_value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.payload.get())
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHead {
    pub tenant: Uuid,
    pub version: i64,
    pub last_position: i64,
}

/// The stored result of a command that came with a client's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    pub request_hash: Vec<u8>,
    pub aggregate_id: String,
    pub version: i64,
    pub last_position: i64,
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not read the log's identity")]
    ReadLog(#[source] sqlx::Error),
    #[error("could not read a stream's head")]
    ReadHead(#[source] sqlx::Error),
    #[error("could not read a stream's events")]
    ReadEvents(#[source] sqlx::Error),
    #[error("could not read a snapshot")]
    ReadSnapshot(#[source] sqlx::Error),
    #[error("could not look a command up")]
    ReadCommand(#[source] sqlx::Error),
    #[error("could not find an event by its tag")]
    ReadTag(#[source] sqlx::Error),
    #[error("the stream belongs to another tenant")]
    NotFound,
    #[error("event {event} could not be opened")]
    Open { event: Uuid, source: VaultError },
    #[error("event {event} ({event_type}) does not decode")]
    Decode {
        event: Uuid,
        event_type: String,
        source: serde_json::Error,
    },
    #[error("event {event_type} does not serialise to an object under its stored name")]
    Encode { event_type: String },
}

/// Reading streams. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pool: PgPool,
    vault: Vault,
    upcasters: Arc<Vec<Box<dyn EventUpcaster>>>,
}

/// The write side of the domain log, one per process. Cheap to clone; all clones share the lane.
#[derive(Clone)]
pub struct Store {
    streams: Streams,
    lane: AppendLane,
    tags: TagKey,
    incarnation: Uuid,
    region: Option<Arc<str>>,
    notifier: Option<Notifier>,
}

impl Store {
    /// `lane` is a pool of the lane's own, made by [`crate::connect_lane`], so that loads never starve it.
    pub async fn open(lane: PgPool, streams: Streams, tags: TagKey) -> Result<Self, StoreError> {
        let incarnation = incarnation(&streams.pool, LogName::Events).await?;
        let region = region::of_events(&streams.pool).await;
        let region = region.map_err(StoreError::ReadLog)?.map(Arc::from);
        Ok(Self {
            streams,
            lane: append::start(lane, incarnation),
            tags,
            incarnation,
            region,
            notifier: None,
        })
    }

    /// Announces to other processes what is appended.
    pub fn announcing(mut self, notifier: Notifier) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Seals the command's personal data and appends through the lane.
    pub async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        for event in &mut append.events {
            self.streams
                .vault
                .seal(append.tenant, event.id, &mut event.payload)
                .await?;
        }
        let appended = append::append(&self.lane, &self.tags, append).await?;
        self.notifier.iter().for_each(Notifier::flushed);
        Ok(appended)
    }

    /// The stored result of a command, if it was accepted before.
    pub async fn find_command(
        &self,
        tenant: Uuid,
        command_id: Uuid,
    ) -> Result<Option<StoredCommand>, StoreError> {
        sqlx::query_as!(
            StoredCommand,
            "select request_hash, aggregate_id, version, last_position from es.commands
             where tenant_id = $1 and command_id = $2",
            tenant,
            command_id
        )
        .fetch_optional(&self.streams.pool)
        .await
        .map_err(StoreError::ReadCommand)
    }

    /// The tenant's last event that has the tag and one of the types.
    pub async fn tagged(
        &self,
        tenant: Uuid,
        tag: &Tag,
        types: &[&str],
    ) -> Result<Option<Tagged>, StoreError> {
        sqlx::query_as!(
            Tagged,
            r#"select aggregate_id as "aggregate_id!", event_type as "event_type!", position as "position!"
               from es.tagged($1, $2, $3)"#,
            tenant,
            self.tags.hash(tag).to_vec(),
            types as _
        )
        .fetch_optional(&self.streams.pool)
        .await
        .map_err(StoreError::ReadTag)
    }

    /// The token of a position in the domain log.
    pub fn token(&self, position: i64) -> Token {
        Token {
            log: LogName::Events,
            incarnation: self.incarnation,
            position,
        }
    }

    /// Where the log's data may lie, as it was told before it was opened.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub fn streams(&self) -> &Streams {
        &self.streams
    }
}

impl Streams {
    /// `pool` connects as a role that sees every tenant's events: [`crate::Role::Writer`] or
    /// [`crate::Role::Projector`].
    pub fn new(pool: PgPool, vault: Vault, upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        Self {
            pool,
            vault,
            upcasters: Arc::new(upcasters),
        }
    }

    /// Where the stream stands; `None` where it has no event.
    pub async fn head(&self, stream: &StreamId) -> Result<Option<StreamHead>, StoreError> {
        let row = sqlx::query!(
            "select tenant_id, version, last_position from es.streams where aggregate_type = $1 and aggregate_id = $2",
            stream.aggregate_type,
            stream.aggregate_id
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::ReadHead)?;
        Ok(row.map(|row| StreamHead {
            tenant: row.tenant_id,
            version: row.version,
            last_position: row.last_position,
        }))
    }

    /// Where those of several streams of one type stand that have an event.
    pub async fn heads(
        &self,
        aggregate_type: &str,
        aggregate_ids: &[String],
    ) -> Result<HashMap<String, StreamHead>, StoreError> {
        let rows = sqlx::query!(
            "select aggregate_id, tenant_id, version, last_position from es.streams
             where aggregate_type = $1 and aggregate_id = any($2)",
            aggregate_type,
            aggregate_ids
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::ReadHead)?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let head = StreamHead {
                    tenant: row.tenant_id,
                    version: row.version,
                    last_position: row.last_position,
                };
                (row.aggregate_id, head)
            })
            .collect())
    }

    /// The stream's events after `sequence`, in order, as stored.
    pub async fn events_after(
        &self,
        stream: &StreamId,
        sequence: i64,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.read_events(stream, sequence, None).await
    }

    /// The first of them. The positions bound which partitions are read.
    pub(crate) async fn read_events(
        &self,
        stream: &StreamId,
        sequence: i64,
        limit: Option<i64>,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let rows = sqlx::query_file_as!(
            EventRow,
            "sql/select_stream_events.sql",
            stream.aggregate_type,
            stream.aggregate_id,
            sequence,
            limit
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::ReadEvents)?;
        rows.into_iter()
            .map(|row| row.try_into().map_err(StoreError::ReadEvents))
            .collect()
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn upcasters(&self) -> &[Box<dyn EventUpcaster>] {
        &self.upcasters
    }
}

/// The identity of a log: it changes when a restore or a promotion may have lost a tail.
pub(crate) async fn incarnation(pool: &PgPool, log: LogName) -> Result<Uuid, StoreError> {
    let mut connection = pool.acquire().await.map_err(StoreError::ReadLog)?;
    recognise_cluster(&mut connection)
        .await
        .map_err(StoreError::ReadLog)?;
    sqlx::query_scalar!(
        "select incarnation from es.log where name = $1",
        log.as_str()
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::ReadLog)
}

/// A row of `es.events`.
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) tenant_id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
    pub(crate) bucket: i16,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) command_id: Uuid,
    pub(crate) correlation_id: Uuid,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) actor: String,
    pub(crate) payload: Json<Box<RawValue>>,
    pub(crate) metadata: Json<Box<RawValue>>,
}

impl TryFrom<EventRow> for RecordedEvent {
    type Error = sqlx::Error;

    fn try_from(row: EventRow) -> Result<Self, sqlx::Error> {
        let bucket = Bucket::from_stored(row.bucket).ok_or_else(|| {
            sqlx::Error::Decode(format!("bucket {} is out of range", row.bucket).into())
        })?;
        Ok(Self {
            position: row.position,
            tenant: row.tenant_id,
            stream: StreamId {
                aggregate_type: row.aggregate_type,
                aggregate_id: row.aggregate_id,
            },
            sequence: row.sequence,
            bucket,
            event_id: row.event_id,
            event_type: row.event_type,
            event_version: row.event_version,
            recorded_at: row.recorded_at,
            command_id: row.command_id,
            correlation_id: row.correlation_id,
            causation_id: row.causation_id,
            actor: row.actor,
            payload: row.payload.0,
            metadata: row.metadata.0,
        })
    }
}
