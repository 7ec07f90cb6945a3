use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use event_store::{Positioned, ProjectionStatus};
use redis::aio::ConnectionManager;
use redis::{Pipeline, Script};
use sqlx::PgPool;
use uuid::Uuid;

use super::ledger::{Ledger, SHARD_COUNT};
use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// Leases come with several workers; until then there is one epoch.
const LEASE_EPOCH: i64 = 0;

/// What a record counts for. All keys of a shard stand under its tag.
pub trait CounterProjector: Send + Sync + 'static {
    const PROJECTION: Projection;

    type Record: Positioned;
    /// One field of one hash.
    type Counter: Eq + Hash + Send;

    /// The counters that the record adds one to.
    fn counters(
        &self,
        record: &Self::Record,
    ) -> Result<impl IntoIterator<Item = Self::Counter>, serde_json::Error>;

    /// The hash's key, and the Unix second at which it expires.
    fn key(counter: &Self::Counter, tag: &str) -> (String, Option<i64>);

    fn field(counter: &Self::Counter) -> String;
}

/// Counters in Redis, whose own checkpoints are the authority: one script per batch and shard applies the increments
/// and moves the checkpoint. Postgres mirrors them for people and for those who wait.
pub struct RedisSink<P> {
    projector: P,
    connection: ConnectionManager,
    prefix: String,
    ledger: Ledger,
    incarnation: Uuid,
    script: Script,
}

/// By key: when it expires, and its increments.
type Hashes = BTreeMap<(String, Option<i64>), Vec<(String, u64)>>;

impl<P: CounterProjector> RedisSink<P> {
    /// `pool` connects as [`event_store::Role::Projector`]; `incarnation` is that of the log; `prefix` begins every
    /// key.
    pub fn new(
        projector: P,
        connection: ConnectionManager,
        prefix: String,
        pool: PgPool,
        incarnation: Uuid,
    ) -> Self {
        Self {
            projector,
            connection,
            prefix,
            ledger: Ledger::sharded(pool, P::PROJECTION, incarnation),
            incarnation,
            script: Script::new(include_str!("../../lua/apply.lua")),
        }
    }

    /// Adds the batch up per shard.
    fn fold(&self, batch: &Batch<P::Record>) -> Result<Vec<Hashes>, SinkError> {
        let mut counts: HashMap<(usize, P::Counter), u64> = HashMap::new();
        for record in batch.pending() {
            let shard = batch.shard(record);
            let counters =
                self.projector
                    .counters(record)
                    .map_err(|source| SinkError::Telemetry {
                        place: Place::of(record),
                        source,
                    })?;
            for counter in counters {
                *counts.entry((shard, counter)).or_default() += 1;
            }
        }
        let mut shards: Vec<Hashes> = (0..SHARD_COUNT).map(|_| Hashes::new()).collect();
        for ((shard, counter), count) in counts {
            let key = P::key(&counter, &tag(&self.prefix, P::PROJECTION, shard));
            shards[shard]
                .entry(key)
                .or_default()
                .push((P::field(&counter), count));
        }
        Ok(shards)
    }

    fn call(&self, pipeline: &mut Pipeline, shard: usize, hashes: &Hashes, from: i64, to: i64) {
        let command = pipeline
            .cmd("EVALSHA")
            .arg(self.script.get_hash())
            .arg(1 + hashes.len())
            .arg(state_key(&tag(&self.prefix, P::PROJECTION, shard)));
        for (key, _) in hashes.keys() {
            command.arg(key);
        }
        command
            .arg(self.incarnation.to_string())
            .arg(from)
            .arg(to)
            .arg(LEASE_EPOCH);
        for ((_, expires_at), increments) in hashes {
            command.arg(expires_at.unwrap_or(0)).arg(increments.len());
            for (field, count) in increments {
                command.arg(field).arg(*count);
            }
        }
    }
}

impl<P: CounterProjector> Sink<P::Record> for RedisSink<P> {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    /// A Redis that lost its newest writes stands behind what was mirrored, and is simply continued from there.
    async fn resume(&mut self) -> Result<Standing, SinkError> {
        self.ledger.resume().await?;
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SCRIPT")
            .arg("LOAD")
            .arg(include_str!("../../lua/apply.lua"))
            .ignore();
        for shard in 0..SHARD_COUNT {
            let key = state_key(&tag(&self.prefix, P::PROJECTION, shard));
            pipeline.hmget(key, &["incarnation", "checkpoint"]);
        }
        let states: Vec<(Option<String>, Option<i64>)> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(SinkError::ReadRedis)?;
        let mut checkpoints = Vec::with_capacity(states.len());
        for (incarnation, checkpoint) in states {
            match incarnation {
                Some(found) if found != self.incarnation.to_string() => {
                    return Err(SinkError::OtherIncarnation {
                        expected: self.incarnation,
                        found,
                    });
                }
                Some(_) | None => checkpoints.push(checkpoint.unwrap_or(0)),
            }
        }
        self.ledger.mirror(&checkpoints).await?;
        Ok(Standing {
            checkpoints,
            intent: None,
        })
    }

    /// Idle shards move too, so that all resume together.
    async fn apply(&mut self, batch: Batch<P::Record>) -> Result<(), SinkError> {
        let shards = self.fold(&batch)?;
        let (to, reached) = (batch.to(), batch.reached());
        let mut pipeline = Pipeline::new();
        for (shard, (hashes, from)) in shards.iter().zip(batch.from()).enumerate() {
            if *from < to {
                self.call(&mut pipeline, shard, hashes, *from, to);
            }
        }
        drop((batch, shards));
        let answers: Vec<(String, String)> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(SinkError::ApplyRedis)?;
        for (verdict, value) in answers {
            match verdict.as_str() {
                "applied" => {}
                "incarnation" => {
                    return Err(SinkError::OtherIncarnation {
                        expected: self.incarnation,
                        found: value,
                    });
                }
                // `epoch` or `checkpoint`: somebody else was here.
                _ => return Err(SinkError::Fenced),
            }
        }
        self.ledger.mirror(&reached).await
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}

/// What the keys of one shard have in common, in braces: Redis Cluster puts them into one slot by it. Stored; never
/// change.
pub(crate) fn tag(prefix: &str, projection: Projection, shard: usize) -> String {
    format!(
        "{{{prefix}:{}:v{}:{shard}}}",
        projection.name(),
        projection.version()
    )
}

/// The hash of a shard's incarnation, checkpoint and epoch. Stored; never change.
pub(crate) fn state_key(tag: &str) -> String {
    format!("{tag}:state")
}
