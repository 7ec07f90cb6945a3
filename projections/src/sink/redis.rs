use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use event_store::fault::{self, Mutant};
use event_store::{Lease, Positioned, ProjectionStatus, Repair};
use redis::aio::ConnectionManager;
use redis::{Pipeline, Script};
use uuid::Uuid;

use super::ledger::Ledger;
use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};

const APPLY: &str = include_str!("../../lua/apply.lua");
const CLAIM: &str = include_str!("../../lua/claim.lua");

/// What a record counts for. All keys of a shard stand under its tag.
pub trait CounterProjector: Send + Sync + 'static {
    const PROJECTION: Projection;

    type Record: Positioned;
    /// One field of one hash.
    type Counter: Ord + Hash + Send;

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
/// and moves the checkpoint, under the highest epoch that was ever seen. Postgres mirrors the checkpoints for people and
/// for those who wait.
pub struct RedisSink<P> {
    projector: P,
    connection: ConnectionManager,
    prefix: String,
    ledger: Ledger,
    incarnation: Uuid,
    apply: Script,
    claim: Script,
}

/// What one call of the script moves, and how far.
struct Step<'a> {
    lease: &'a Lease,
    /// Of the shard's state.
    field: String,
    from: i64,
    to: i64,
}

/// By key: when it expires, and its increments.
type Hashes = BTreeMap<(String, Option<i64>), Vec<(String, u64)>>;

impl<P: CounterProjector> RedisSink<P> {
    /// `ledger` is that of a version of the projector's own projection, `incarnation` that of the log; `prefix` begins
    /// every key.
    pub fn new(
        projector: P,
        connection: ConnectionManager,
        prefix: String,
        ledger: Ledger,
        incarnation: Uuid,
    ) -> Self {
        Self {
            projector,
            connection,
            prefix,
            ledger,
            incarnation,
            apply: Script::new(&apply_script()),
            claim: Script::new(CLAIM),
        }
    }

    fn tag(&self, shard: i16) -> String {
        let (name, version) = self.ledger.identity();
        tag(&self.prefix, name, version, shard)
    }

    /// Adds records up per shard.
    fn fold<'a>(
        &self,
        records: impl Iterator<Item = &'a Arc<P::Record>>,
        shard: impl Fn(&P::Record) -> i16,
    ) -> Result<HashMap<i16, Hashes>, SinkError> {
        let mut counts: HashMap<(i16, P::Counter), u64> = HashMap::new();
        for record in records {
            let counters =
                self.projector
                    .counters(record)
                    .map_err(|source| SinkError::Telemetry {
                        place: Place::of(record),
                        source,
                    })?;
            for counter in counters {
                *counts.entry((shard(record), counter)).or_default() += 1;
            }
        }
        let mut shards: HashMap<i16, Hashes> = HashMap::new();
        for ((shard, counter), count) in counts {
            let key = P::key(&counter, &self.tag(shard));
            shards
                .entry(shard)
                .or_default()
                .entry(key)
                .or_default()
                .push((P::field(&counter), count));
        }
        Ok(shards)
    }

    fn call(&self, pipeline: &mut Pipeline, step: &Step<'_>, hashes: &Hashes) {
        let command = pipeline
            .cmd("EVALSHA")
            .arg(self.apply.get_hash())
            .arg(1 + hashes.len())
            .arg(state_key(&self.tag(step.lease.shard)));
        for (key, _) in hashes.keys() {
            command.arg(key);
        }
        command
            .arg(self.incarnation.to_string())
            .arg(step.lease.epoch)
            .arg(&step.field)
            .arg(step.from)
            .arg(step.to);
        for ((_, expires_at), increments) in hashes {
            command.arg(expires_at.unwrap_or(0)).arg(increments.len());
            for (field, count) in increments {
                command.arg(field).arg(*count);
            }
        }
    }

    async fn run(&mut self, pipeline: Pipeline) -> Result<(), SinkError> {
        fault::point("redis.before_write");
        let answers: Vec<(String, String)> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(SinkError::ApplyRedis)?;
        for (verdict, value) in answers {
            if verdict != "applied" {
                return Err(self.refused(&verdict, value));
            }
        }
        fault::point("redis.after_write");
        Ok(())
    }

    fn refused(&self, verdict: &str, value: String) -> SinkError {
        match verdict {
            "incarnation" => SinkError::OtherIncarnation {
                expected: self.incarnation,
                found: value,
            },
            // `epoch` or `checkpoint`: somebody else was here.
            _ => SinkError::Fenced,
        }
    }
}

impl<P: CounterProjector> Sink<Arc<P::Record>> for RedisSink<P> {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    /// Claims every shard that is held, so that an earlier owner can't write any more, and asks where it stands. A Redis
    /// that lost its newest writes stands behind what was mirrored, and is simply continued from there.
    async fn resume(&mut self) -> Result<Standing, SinkError> {
        let leases = self.ledger.settle().await?;
        let mut pipeline = Pipeline::new();
        for script in [&*apply_script(), CLAIM] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script).ignore();
        }
        for lease in leases.iter() {
            pipeline
                .cmd("EVALSHA")
                .arg(self.claim.get_hash())
                .arg(1)
                .arg(state_key(&self.tag(lease.shard)))
                .arg(self.incarnation.to_string())
                .arg(lease.epoch);
        }
        let states: Vec<(String, String)> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(SinkError::ReadRedis)?;
        let mut found = HashMap::with_capacity(states.len());
        for (lease, (verdict, value)) in leases.iter().zip(states) {
            match (&*verdict, value.parse()) {
                ("claimed", Ok(checkpoint)) => found.insert(lease.shard, checkpoint),
                _ => return Err(self.refused(&verdict, value)),
            };
        }
        let leases = leases.map(|lease| found.get(&lease.shard).copied().unwrap_or(0));
        self.ledger.mirror(&leases).await?;
        Ok(Standing {
            leases,
            intent: None,
        })
    }

    /// Idle shards move too, so that all resume together.
    async fn apply(&mut self, batch: Batch<Arc<P::Record>>) -> Result<(), SinkError> {
        let from = batch.from();
        let shards = self.fold(batch.pending(), |record| {
            from.of(record.bucket()).map_or(0, |lease| lease.shard)
        })?;
        let (mut pipeline, nothing) = (Pipeline::new(), Hashes::new());
        for lease in from.iter().filter(|lease| lease.checkpoint < batch.to()) {
            let step = Step {
                lease,
                field: "checkpoint".to_owned(),
                from: lease.checkpoint,
                to: batch.to(),
            };
            let hashes = shards.get(&lease.shard).unwrap_or(&nothing);
            self.call(&mut pipeline, &step, hashes);
        }
        let reached = batch.reached();
        drop((batch, shards));
        self.run(pipeline).await?;
        self.ledger.mirror(&reached).await
    }

    /// How far the key was written stands in the shard's state, too: what a crash kept from being noted in Postgres is
    /// not written again.
    async fn repair(
        &mut self,
        repair: Repair,
        mut records: Vec<Arc<P::Record>>,
    ) -> Result<(), SinkError> {
        let (lease, bucket) = (&repair.lease, repair.key.bucket);
        let field = format!("parked:{}", bucket.as_i16());
        let written: Option<i64> = redis::cmd("HGET")
            .arg(state_key(&self.tag(lease.shard)))
            .arg(&field)
            .query_async(&mut self.connection)
            .await
            .map_err(SinkError::ReadRedis)?;
        let from = written.unwrap_or(0);
        if from < repair.to {
            records.retain(|record| record.position() > from);
            let shards = self.fold(records.iter(), |_| lease.shard)?;
            let step = Step {
                lease,
                field,
                from,
                to: repair.to,
            };
            let mut pipeline = Pipeline::new();
            let nothing = Hashes::new();
            let hashes = shards.get(&lease.shard).unwrap_or(&nothing);
            self.call(&mut pipeline, &step, hashes);
            self.run(pipeline).await?;
        }
        self.ledger.unpark(&repair).await
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}

fn apply_script() -> String {
    if fault::is_mutant(Mutant::NoFencing) {
        APPLY
            .replace("tonumber(epoch) > tonumber(ARGV[2])", "false")
            .replace("checkpoint ~= ARGV[4]", "false")
    } else {
        APPLY.to_owned()
    }
}

/// What the keys of one shard have in common, in braces: Redis Cluster puts them into one slot by it. Stored; never
/// change.
pub(crate) fn tag(prefix: &str, name: &str, version: i32, shard: i16) -> String {
    format!("{{{prefix}:{name}:v{version}:{shard}}}")
}

/// The hash of a shard's incarnation, checkpoint and epoch. Stored; never change.
pub(crate) fn state_key(tag: &str) -> String {
    format!("{tag}:state")
}
