//! How often each notification of a site was seen, clicked, and so on: hashes in Redis, in all and per hour.

mod keys;
mod projector;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{NotificationId, SiteId};
use event_store::{Bucket, LogName, Token};
use redis::Pipeline;
use redis::aio::ConnectionManager;
use uuid::Uuid;

pub use self::keys::Counter;
pub use self::projector::TelemetryCounters;
use crate::projection::Projection;
use crate::read::{AsOf, ReadError};
use crate::served::Served;
use crate::sink::{state_key, tag};

const MODEL: Projection = Projection::TelemetryCounters;
const HOURS_SHOWN: i32 = 24;

/// Events by notification and kind. Kinds are stored names, such as `impression`.
pub type Counts = BTreeMap<NotificationId, BTreeMap<String, u64>>;

/// A site's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Since the site's first event.
    pub total: Counts,
    /// The last 24 hours up to the current one, in order, by when it happened; empty hours too.
    pub hours: Vec<HourCounts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCounts {
    /// The beginning of the hour, UTC.
    pub hour: DateTime<Utc>,
    pub counts: Counts,
}

/// Where the counters are.
#[derive(Clone)]
pub(crate) struct CounterReads {
    pub(crate) connection: ConnectionManager,
    pub(crate) prefix: String,
    pub(crate) served: Served,
    /// Of the telemetry log.
    pub(crate) incarnation: Uuid,
}

type State = (Option<String>, Option<i64>);
type Hash = BTreeMap<String, u64>;

impl CounterReads {
    /// Counters and the position they stand at, in one look. Whether the site is the caller's is the caller's to know.
    pub(crate) async fn read(
        &self,
        site: SiteId,
        now: DateTime<Utc>,
    ) -> Result<AsOf<Counters>, ReadError> {
        let version = self.served.version(MODEL).await?;
        let shard = Bucket::of(site.into()).shard().as_i16();
        let tag = tag(&self.prefix, MODEL.name(), version, shard);
        let hours = last_hours(now);
        let mut pipeline = Pipeline::new();
        pipeline
            .atomic()
            .hmget(state_key(&tag), &["incarnation", "checkpoint"])
            .hgetall(keys::total(&tag, site.into()));
        for hour in &hours {
            pipeline.hgetall(keys::hour(&tag, site.into(), *hour));
        }
        let mut answers: Vec<redis::Value> = pipeline
            .query_async(&mut self.connection.clone())
            .await
            .map_err(ReadError::Counters)?;
        let hashes = answers.split_off(2);
        let total = answers.pop().unwrap_or(redis::Value::Nil);
        let state = answers.pop().unwrap_or(redis::Value::Nil);
        let hours = hours
            .into_iter()
            .zip(hashes)
            .map(|(hour, hash)| {
                Ok(HourCounts {
                    hour,
                    counts: counts(hash)?,
                })
            })
            .collect::<Result<_, ReadError>>()?;
        Ok(AsOf {
            value: Counters {
                total: counts(total)?,
                hours,
            },
            position: self.position(state)?,
        })
    }

    fn position(&self, state: redis::Value) -> Result<Token, ReadError> {
        let (incarnation, checkpoint): State =
            redis::from_redis_value(state).map_err(|error| ReadError::Counters(error.into()))?;
        match incarnation {
            Some(found) if found != self.incarnation.to_string() => {
                Err(ReadError::OtherIncarnation)
            }
            Some(_) | None => Ok(Token {
                log: LogName::Telemetry,
                incarnation: self.incarnation,
                position: checkpoint.unwrap_or(0),
            }),
        }
    }
}

fn counts(hash: redis::Value) -> Result<Counts, ReadError> {
    let hash: Hash =
        redis::from_redis_value(hash).map_err(|error| ReadError::Counters(error.into()))?;
    let mut counts = Counts::new();
    for (field, count) in hash {
        let Some((notification, kind)) = keys::parse_field(&field) else {
            return Err(ReadError::Stored {
                model: MODEL,
                value: field,
            });
        };
        counts
            .entry(notification.into())
            .or_default()
            .insert(kind.to_owned(), count);
    }
    Ok(counts)
}

/// The beginnings of the last 24 hours, the current one last.
fn last_hours(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let current = keys::hour_of(now);
    (0..HOURS_SHOWN)
        .rev()
        .map(|back| current - TimeDelta::hours(back.into()))
        .collect()
}
