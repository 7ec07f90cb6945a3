//! Redis: every hash and every field, counted again from the telemetry log.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use crate::Verify;
use crate::progress::{Progress, SHARDS, shard};
use crate::report::{Check, Report};
use crate::telemetry::{Observed, TelemetryLog};

const NAME: &str = "telemetry_counters";
const DAYS_KEPT: i64 = 90;
const KEYS_AT_ONCE: usize = 500;

/// A hash: the second at which it expires, -1 for never, and its fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hash {
    expires_at: i64,
    fields: BTreeMap<String, i64>,
}

pub(crate) async fn check(
    verify: &Verify,
    progress: &Progress,
    log: &TelemetryLog,
    report: &mut Report,
) -> Result<()> {
    let client = redis::Client::open(&*verify.redis_url).context("REDIS_URL")?;
    let mut redis = client
        .get_multiplexed_async_connection()
        .await
        .context("connect to Redis")?;
    let mut counters = Check::new("13", "Redis counters are a recount of the telemetry log");
    for (version, standing) in progress.versions(NAME) {
        let tag = |shard: usize| format!("{{{}:{NAME}:v{version}:{shard}}}", verify.redis_prefix);
        let mut stands = Vec::with_capacity(SHARDS);
        for shard in 0..SHARDS {
            let key = format!("{}:state", tag(shard));
            let (incarnation, checkpoint): (Option<String>, Option<i64>) = redis
                .hmget(&key, &["incarnation", "checkpoint"])
                .await
                .context("read a shard's state")?;
            let checkpoint = checkpoint.unwrap_or(0);
            counters.expect(
                incarnation.is_none_or(|found| found == log.incarnation.to_string()),
                || format!("shard {shard} stands in another incarnation"),
            );
            counters.expect(checkpoint <= log.head(), || {
                format!(
                    "shard {shard} stands at {checkpoint}, beyond {}",
                    log.head()
                )
            });
            let mirrored = standing
                .checkpoints
                .get(&i16::try_from(shard)?)
                .copied()
                .unwrap_or(0);
            counters.expect(!verify.drained || mirrored == checkpoint, || {
                format!("shard {shard} is told to stand at {mirrored} and stands at {checkpoint}")
            });
            stands.push(checkpoint);
        }
        let expected = recount(log, &stands, tag);
        let found = read(
            &mut redis,
            &format!("{}:{NAME}:v{version}", verify.redis_prefix),
        )
        .await?;
        compare(&expected, &found, &mut counters);
    }
    report.add(counters);
    Ok(())
}

fn recount(
    log: &TelemetryLog,
    stands: &[i64],
    tag: impl Fn(usize) -> String,
) -> HashMap<String, Hash> {
    let mut hashes: HashMap<String, Hash> = HashMap::new();
    for event in &log.events {
        let shard = usize::from(shard(event.bucket).cast_unsigned());
        if event.position > stands[shard] {
            continue;
        }
        let field = format!("{}:{}", event.notification, event.kind);
        let site = format!("{}:site:{}", tag(shard), event.owner);
        let (hour, expires_at) = hour(event);
        for (key, expires_at) in [
            (format!("{site}:total"), -1),
            (format!("{site}:{hour}"), expires_at),
        ] {
            let hash = hashes.entry(key).or_default();
            hash.expires_at = expires_at;
            *hash.fields.entry(field.clone()).or_default() += 1;
        }
    }
    hashes
}

/// The hour it happened in, as `2026112106`, and 90 days after that hour's end.
fn hour(event: &Observed) -> (String, i64) {
    let begins_at = event.occurred_at.timestamp().div_euclid(3600) * 3600;
    let begins: DateTime<Utc> = DateTime::from_timestamp(begins_at, 0).unwrap_or_default();
    let expires = begins + TimeDelta::hours(1) + TimeDelta::days(DAYS_KEPT);
    (begins.format("%Y%m%d%H").to_string(), expires.timestamp())
}

/// Every key of the projection but the shards' states.
async fn read(
    redis: &mut MultiplexedConnection,
    projection: &str,
) -> Result<HashMap<String, Hash>> {
    let mut keys: Vec<String> = redis
        .keys(format!("{{{projection}:*"))
        .await
        .context("list the keys")?;
    keys.retain(|key| !key.ends_with(":state"));
    let mut found = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.hgetall(key).cmd("EXPIRETIME").arg(key);
        }
        let mut answers: std::vec::IntoIter<redis::Value> = pipeline
            .query_async::<Vec<redis::Value>>(redis)
            .await
            .context("read the hashes")?
            .into_iter();
        for key in keys {
            let (Some(fields), Some(expires_at)) = (answers.next(), answers.next()) else {
                anyhow::bail!("Redis answered too little");
            };
            let hash = Hash {
                expires_at: redis::from_redis_value(expires_at)?,
                fields: redis::from_redis_value(fields)?,
            };
            found.insert(key.clone(), hash);
        }
    }
    Ok(found)
}

fn compare(expected: &HashMap<String, Hash>, found: &HashMap<String, Hash>, check: &mut Check) {
    let nothing = Hash::default();
    for (key, hash) in expected {
        let found = found.get(key).unwrap_or(&nothing);
        for (field, count) in &hash.fields {
            let counted = found.fields.get(field).copied().unwrap_or(0);
            check.expect(counted == *count, || {
                format!("{key} {field} is {counted} and must be {count}")
            });
        }
        check.expect(found.expires_at == hash.expires_at, || {
            format!(
                "{key} expires at {} and must at {}",
                found.expires_at, hash.expires_at
            )
        });
    }
    for (key, hash) in found {
        for (field, count) in &hash.fields {
            let known = expected
                .get(key)
                .is_some_and(|hash| hash.fields.contains_key(field));
            check.expect(known, || {
                format!("{key} {field} is {count} and must not be there")
            });
        }
    }
}
