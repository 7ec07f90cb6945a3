//! One call of `es.append` for many commands, or of `es.append_one` for one, and what is done when it fails.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::sealed::{Sealed, SealedEvent};
use super::{AppendError, Appended};
use crate::calls::{Calls, Failure, failure};
use crate::fault;

/// How often a lost connection is followed up before the caller is told, and the pause before each further try.
const RESOLVE_ATTEMPTS: u32 = 4;
const RESOLVE_PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct AppendFlush {
    calls: Calls,
    /// Of the log that this process knows; the lane refuses to append to another.
    incarnation: Uuid,
}

type Outcome = Result<Appended, AppendError>;

impl AppendFlush {
    pub(super) fn new(pool: PgPool, incarnation: Uuid) -> Self {
        Self {
            calls: Calls::new(pool),
            incarnation,
        }
    }

    pub(super) async fn append_all(&self, items: &[Sealed]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
        let all: Range<usize> = 0..items.len();
        let mut open = vec![all];
        while let Some(range) = open.pop() {
            let batch = &items[range.clone()];
            match self.call(batch).await {
                Ok(results) => {
                    fault::point("after_commit");
                    for (slot, result) in outcomes[range].iter_mut().zip(results) {
                        *slot = Some(result);
                    }
                }
                Err(error) => match failure(&error) {
                    Failure::Lost => {
                        tracing::warn!(error = %error, commands = batch.len(), "lost the connection while appending");
                        let resolved = join_all(batch.iter().map(|item| self.resolve(item))).await;
                        for (slot, result) in outcomes[range].iter_mut().zip(resolved) {
                            *slot = Some(result);
                        }
                    }
                    Failure::Data if batch.len() > 1 => {
                        let middle = range.start + batch.len() / 2;
                        open.push(middle..range.end);
                        open.push(range.start..middle);
                    }
                    Failure::Data => {
                        outcomes[range.start] = Some(Err(AppendError::Rejected(Arc::new(error))))
                    }
                    Failure::Unreachable | Failure::Refused => {
                        let error = Arc::new(error);
                        for index in range {
                            outcomes[index] = Some(Err(AppendError::Unavailable(error.clone())));
                        }
                    }
                },
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Err(AppendError::Ended)))
            .collect()
    }

    /// After a lost connection: looks at what stands at the expected sequence before sending again, and again where the
    /// second sending finds the stream moved, since the first may have been committed in between.
    async fn resolve(&self, item: &Sealed) -> Outcome {
        let mut last = sqlx::Error::PoolTimedOut;
        for attempt in 0..RESOLVE_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(RESOLVE_PAUSE * attempt).await;
            }
            match self.find_or_call(item).await {
                Err(error) if matches!(failure(&error), Failure::Lost | Failure::Unreachable) => {
                    last = error;
                }
                Err(error) if matches!(failure(&error), Failure::Data) => {
                    return Err(AppendError::Rejected(Arc::new(error)));
                }
                Err(error) => return Err(AppendError::Unavailable(Arc::new(error))),
                Ok(outcome) => return outcome,
            }
        }
        Err(AppendError::Unavailable(Arc::new(last)))
    }

    async fn find_or_call(&self, item: &Sealed) -> Result<Outcome, sqlx::Error> {
        if let Some(appended) = self.find(item).await? {
            return Ok(Ok(appended));
        }
        let outcome = self
            .call(std::slice::from_ref(item))
            .await?
            .pop()
            .unwrap_or(Err(AppendError::Ended));
        match outcome {
            Err(AppendError::Conflict { .. }) => Ok(self.find(item).await?.map_or(outcome, Ok)),
            other => Ok(other),
        }
    }

    /// The command's last event, if it is in the log.
    async fn find(&self, item: &Sealed) -> Result<Option<Appended>, sqlx::Error> {
        let version = item.expected + item.events.len() as i64;
        let find = async |connection: &mut PgConnection| {
            sqlx::query!(
                "select position from es.events
                 where aggregate_type = $1 and aggregate_id = $2 and sequence = $3 and command_id = $4 and tenant_id = $5",
                item.stream.aggregate_type,
                item.stream.aggregate_id,
                version,
                item.origin.command_id,
                item.tenant
            )
            .fetch_optional(connection)
            .await
        };
        let row = self.calls.run(find).await?;
        Ok(row.map(|row| Appended {
            aggregate_id: item.stream.aggregate_id.clone(),
            version,
            position: row.position,
            replayed: false,
        }))
    }

    /// One statement, one lock hold, one fsync.
    async fn call(&self, items: &[Sealed]) -> Result<Vec<Outcome>, sqlx::Error> {
        let append = async |connection: &mut PgConnection| {
            fault::point("before_lock");
            match items {
                [item] if item.is_plain() => {
                    let row = self.append_one(connection, item).await?;
                    Ok(vec![outcome(row)])
                }
                _ => {
                    let rows = self.append_many(connection, items).await?;
                    Ok(rows.into_iter().map(outcome).collect())
                }
            }
        };
        self.calls.run(append).await
    }

    async fn append_one(
        &self,
        connection: &mut PgConnection,
        item: &Sealed,
    ) -> Result<Row, sqlx::Error> {
        let events =
            |read: fn(&SealedEvent) -> &str| item.events.iter().map(read).collect::<Vec<_>>();
        let event_ids: Vec<Uuid> = item.events.iter().map(|event| event.id).collect();
        sqlx::query_file_as!(
            Row,
            "sql/append_one.sql",
            self.incarnation,
            item.origin.command_id,
            item.request_hash.as_ref().map(|hash| &hash[..]),
            item.tenant,
            item.stream.aggregate_type,
            item.stream.aggregate_id,
            item.bucket.as_i16(),
            item.expected,
            item.origin.actor,
            item.origin.correlation_id,
            item.origin.causation_id,
            item.metadata,
            &event_ids,
            &events(|event| &event.event_type) as _,
            &events(|event| &event.event_version) as _,
            &events(|event| &event.payload) as _
        )
        .fetch_one(connection)
        .await
    }

    async fn append_many(
        &self,
        connection: &mut PgConnection,
        items: &[Sealed],
    ) -> Result<Vec<Row>, sqlx::Error> {
        let ids = |read: fn(&Sealed) -> Uuid| items.iter().map(read).collect::<Vec<_>>();
        let texts = |read: fn(&Sealed) -> &str| items.iter().map(read).collect::<Vec<_>>();
        let hashes: Vec<_> = items
            .iter()
            .map(|item| item.request_hash.as_ref().map(|hash| &hash[..]))
            .collect();
        let buckets: Vec<i16> = items.iter().map(|item| item.bucket.as_i16()).collect();
        let expected: Vec<i64> = items.iter().map(|item| item.expected).collect();
        let counts: Vec<i32> = items.iter().map(|item| item.events.len() as i32).collect();
        let causations: Vec<_> = items.iter().map(|item| item.origin.causation_id).collect();
        let conditions: Vec<_> = items.iter().map(|item| item.condition.as_deref()).collect();

        let mut events = Events::default();
        for (item, command) in items.iter().zip(1..) {
            for (event, nth) in item.events.iter().zip(1..) {
                events.push(command, nth, event);
            }
        }
        sqlx::query_file_as!(
            Row,
            "sql/append.sql",
            self.incarnation,
            &ids(|item| item.origin.command_id),
            &hashes as _,
            &ids(|item| item.tenant),
            &texts(|item| &item.stream.aggregate_type) as _,
            &texts(|item| &item.stream.aggregate_id) as _,
            &buckets,
            &expected,
            &counts,
            &texts(|item| &item.origin.actor) as _,
            &ids(|item| item.origin.correlation_id),
            &causations as _,
            &texts(|item| &item.metadata) as _,
            &conditions as _,
            &events.commands,
            &events.nths,
            &events.ids,
            &events.types as _,
            &events.versions as _,
            &events.payloads as _,
            &events.tag_commands,
            &events.tag_nths,
            &events.tags
        )
        .fetch_all(connection)
        .await
    }
}

/// The events of a call, column by column, and their tags.
#[derive(Default)]
struct Events<'a> {
    commands: Vec<i32>,
    nths: Vec<i32>,
    ids: Vec<Uuid>,
    types: Vec<&'a str>,
    versions: Vec<&'a str>,
    payloads: Vec<&'a str>,
    tag_commands: Vec<i32>,
    tag_nths: Vec<i32>,
    tags: Vec<Vec<u8>>,
}

impl<'a> Events<'a> {
    fn push(&mut self, command: i32, nth: i32, event: &'a SealedEvent) {
        self.commands.push(command);
        self.nths.push(nth);
        self.ids.push(event.id);
        self.types.push(&event.event_type);
        self.versions.push(&event.event_version);
        self.payloads.push(&event.payload);
        for tag in &event.tags {
            self.tag_commands.push(command);
            self.tag_nths.push(nth);
            self.tags.push(tag.to_vec());
        }
    }
}

/// What either function answers for a command.
struct Row {
    status: String,
    aggregate_id: String,
    version: i64,
    last_position: i64,
}

fn outcome(row: Row) -> Outcome {
    match &*row.status {
        "ok" | "duplicate" => Ok(Appended {
            aggregate_id: row.aggregate_id,
            version: row.version,
            position: row.last_position,
            replayed: row.status == "duplicate",
        }),
        "key_reused" => Err(AppendError::KeyReused),
        "not_found" => Err(AppendError::NotFound),
        "closed" => Err(AppendError::Closed),
        "conflict" => Err(AppendError::Conflict {
            actual: row.version,
        }),
        "condition" => Err(AppendError::ConditionFailed {
            position: row.last_position,
        }),
        unknown => {
            let message = format!("the append lane answered with status {unknown}");
            Err(AppendError::Unavailable(Arc::new(sqlx::Error::Protocol(
                message,
            ))))
        }
    }
}
