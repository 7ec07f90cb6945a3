//! Reading a log in order, and stopping loudly where it is not what it must be.

use std::future::Future;

use sqlx::PgPool;
use uuid::Uuid;

use crate::bucket::Bucket;
use crate::store::{EventRow, RecordedEvent, StoreError, incarnation};
use crate::token::{LogName, Token};

/// What stands in a log at a position.
pub trait Positioned: Send + Sync + 'static {
    /// 1, 2, 3 … in commit order, without a gap.
    fn position(&self) -> i64;
    fn bucket(&self) -> Bucket;
    /// About how much memory it takes.
    fn size_bytes(&self) -> usize;
}

/// A log that can be read from any position on.
pub trait Log: Clone + Send + Sync + 'static {
    type Record: Positioned;

    const NAME: LogName;

    /// The log's identity when it was opened.
    fn incarnation(&self) -> Uuid;

    /// Up to `limit` records after `position`, in order.
    fn read(
        &self,
        position: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Self::Record>, sqlx::Error>> + Send;

    /// The last position, and the log's identity now.
    fn head(&self) -> impl Future<Output = Result<(i64, Uuid), sqlx::Error>> + Send;

    /// How long ago, in seconds of the database's clock, the record at `position` was appended. `None` where none
    /// stands there.
    fn age_seconds(
        &self,
        position: i64,
    ) -> impl Future<Output = Result<Option<f64>, sqlx::Error>> + Send;

    fn token(&self, position: i64) -> Token {
        Token {
            log: Self::NAME,
            incarnation: self.incarnation(),
            position,
        }
    }
}

/// Why a reader stopped. Only [`FeedError::Read`] is worth another try; the others say that the log is broken, or is
/// not the one that the reader knew.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("could not read the {log} log", log = .log.as_str())]
    Read { log: LogName, source: sqlx::Error },
    #[error("the {log} log is not contiguous: position {expected} was expected and {found} was found", log = .log.as_str())]
    NotContiguous {
        log: LogName,
        expected: i64,
        found: i64,
    },
    #[error("the {log} log ends at position {head}, before the reader's position {position}", log = .log.as_str())]
    LostTail {
        log: LogName,
        position: i64,
        head: i64,
    },
    #[error("the {log} log is now incarnation {found}, and the reader knows {expected}", log = .log.as_str())]
    OtherIncarnation {
        log: LogName,
        expected: Uuid,
        found: Uuid,
    },
}

/// Reads a log batch by batch and asserts that it is contiguous.
pub struct Reader<L> {
    log: L,
    position: i64,
}

impl<L: Log> Reader<L> {
    /// Starts after `position`.
    pub fn after(log: L, position: i64) -> Self {
        Self { log, position }
    }

    /// The last position that was read.
    pub fn position(&self) -> i64 {
        self.position
    }

    pub fn log(&self) -> &L {
        &self.log
    }

    /// The next records in order; empty at the head. After an error the position is where it was.
    pub async fn next(&mut self, limit: i64) -> Result<Vec<L::Record>, FeedError> {
        let read = |source| FeedError::Read {
            log: L::NAME,
            source,
        };
        let records = self.log.read(self.position, limit).await.map_err(read)?;
        for (record, expected) in records.iter().zip(self.position + 1..) {
            if record.position() != expected {
                return Err(FeedError::NotContiguous {
                    log: L::NAME,
                    expected,
                    found: record.position(),
                });
            }
        }
        // Neither an empty nor a full batch proves that this is still the log it was: its tail may have been lost, and
        // positions be handed out again, while nobody looked.
        self.check_head(self.position + records.len() as i64)
            .await?;
        self.position += records.len() as i64;
        Ok(records)
    }

    async fn check_head(&self, position: i64) -> Result<(), FeedError> {
        let (head, found) = self.log.head().await.map_err(|source| FeedError::Read {
            log: L::NAME,
            source,
        })?;
        let expected = self.log.incarnation();
        if found != expected {
            return Err(FeedError::OtherIncarnation {
                log: L::NAME,
                expected,
                found,
            });
        }
        if head < position {
            return Err(FeedError::LostTail {
                log: L::NAME,
                position,
                head,
            });
        }
        Ok(())
    }
}

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
}

impl Log for EventLog {
    type Record = RecordedEvent;

    const NAME: LogName = LogName::Events;

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn read(&self, position: i64, limit: i64) -> Result<Vec<RecordedEvent>, sqlx::Error> {
        sqlx::query_file_as!(EventRow, "sql/select_events.sql", position, limit)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(RecordedEvent::try_from)
            .collect()
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
}
