//! The telemetry log: events without a stream, taken in bulk, each once.

mod log;

use std::convert::Infallible;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use self::log::{TelemetryEvent, TelemetryLog};
use crate::append::AppendError;
use crate::bucket::Bucket;
use crate::calls::{CALLS_MAX, Calls, Failure, failure};
use crate::feed::{Log as _, Notifier};
use crate::lane::{Access, Flush, Lane, LaneError, Limits};

/// An event to collect.
#[derive(Clone, Debug)]
pub struct NewTelemetry {
    /// UUID v7, made where the event happened; the same id from the same owner counts once.
    pub id: Uuid,
    pub tenant: Uuid,
    pub owner: Uuid,
    /// Stored name, for instance `impression`.
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    /// An object without personal data.
    pub payload: Value,
}

/// What became of a batch: durable when this is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// For each event, in order, whether it was new.
    pub accepted: Vec<bool>,
    /// The head of the telemetry log, which covers the batch.
    pub position: i64,
}

/// The way into the telemetry log.
#[derive(Clone)]
pub struct TelemetryLane {
    lane: Lane<CollectFlush>,
    notifier: Option<Notifier>,
}

impl TelemetryLane {
    /// `pool` is made by [`crate::connect_lane`].
    pub fn start(pool: PgPool, log: &TelemetryLog) -> Self {
        let limits = Limits {
            held_max: 2048,
            held_weight_max: 100_000,
            parties_min: 4,
            items_max: 256,
            weight_max: 8_000,
            calls_max: CALLS_MAX,
        };
        Self {
            lane: Lane::start(
                "telemetry",
                CollectFlush {
                    calls: Calls::new(pool),
                    incarnation: log.incarnation(),
                },
                limits,
            ),
            notifier: None,
        }
    }

    /// Announces to other processes what is appended.
    pub fn announcing(mut self, notifier: Notifier) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Appends those events of the batch that are new. A batch whose outcome is unknown can be sent again as it is.
    pub async fn collect(&self, batch: Vec<NewTelemetry>) -> Result<Collected, AppendError> {
        let collected = self.lane.submit(batch).await.unwrap_or_else(|error| {
            Err(match error {
                LaneError::Full => AppendError::Overloaded,
                LaneError::Ended => AppendError::Ended,
            })
        })?;
        self.notifier.iter().for_each(Notifier::flushed);
        Ok(collected)
    }
}

struct CollectFlush {
    calls: Calls,
    incarnation: Uuid,
}

impl Flush for CollectFlush {
    type Item = Vec<NewTelemetry>;
    type Reply = Result<Collected, AppendError>;
    type Key = Infallible;

    fn keys(_: &Self::Item) -> Vec<(Infallible, Access)> {
        Vec::new()
    }

    /// A page is one shop's, so the first event speaks for its batch.
    fn party(item: &Self::Item) -> Uuid {
        item.first().map_or(Uuid::nil(), |event| event.tenant)
    }

    fn weight(item: &Self::Item) -> usize {
        item.len()
    }

    async fn flush(&self, batches: Vec<Self::Item>) -> Vec<Self::Reply> {
        let error = match self.call(&batches).await {
            Ok(collected) => return collected.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        // A value that the database refuses costs its own batch only.
        if batches.len() > 1 && matches!(failure(&error), Failure::Data) {
            let mut results = Vec::with_capacity(batches.len());
            for batch in &batches {
                results.push(
                    self.call(std::slice::from_ref(batch))
                        .await
                        .map_err(refused)
                        .map(first),
                );
            }
            return results;
        }
        let error = refused(error);
        batches.iter().map(|_| Err(error.clone())).collect()
    }
}

impl CollectFlush {
    async fn call(&self, batches: &[Vec<NewTelemetry>]) -> Result<Vec<Collected>, sqlx::Error> {
        let events: Vec<&NewTelemetry> = batches.iter().flatten().collect();
        let ids = |read: fn(&NewTelemetry) -> Uuid| {
            events.iter().map(|event| read(event)).collect::<Vec<_>>()
        };
        let buckets: Vec<i16> = events
            .iter()
            .map(|event| Bucket::of(event.owner).as_i16())
            .collect();
        let kinds: Vec<&str> = events.iter().map(|event| &*event.kind).collect();
        let occurred: Vec<DateTime<Utc>> = events.iter().map(|event| event.occurred_at).collect();
        let payloads: Vec<String> = events
            .iter()
            .map(|event| event.payload.to_string())
            .collect();
        let collect = async |connection: &mut PgConnection| {
            sqlx::query!(
                r#"select accepted as "accepted!", head as "head!" from es.collect($1, $2, $3, $4, $5, $6, $7, $8)"#,
                self.incarnation,
                &ids(|event| event.tenant),
                &ids(|event| event.owner),
                &buckets,
                &ids(|event| event.id),
                &kinds as _,
                &occurred,
                &payloads
            )
            .fetch_one(connection)
            .await
        };
        let row = self.calls.run(collect).await?;
        let mut fresh = vec![false; events.len()];
        for ordinal in row.accepted {
            fresh[ordinal as usize - 1] = true;
        }
        let mut fresh = fresh.into_iter();
        Ok(batches
            .iter()
            .map(|batch| Collected {
                accepted: fresh.by_ref().take(batch.len()).collect(),
                position: row.head,
            })
            .collect())
    }
}

fn first(mut collected: Vec<Collected>) -> Collected {
    collected.swap_remove(0)
}

fn refused(error: sqlx::Error) -> AppendError {
    let data = matches!(failure(&error), Failure::Data);
    let error = Arc::new(error);
    if data {
        AppendError::Rejected(error)
    } else {
        AppendError::Unavailable(error)
    }
}
