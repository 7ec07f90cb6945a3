//! How far the projections are by the tables, and by what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Verify;
use crate::report::{Check, Report};

pub(crate) const SHARDS: usize = 64;
const BUCKETS_PER_SHARD: u16 = 16;

/// Where one version of one projection stands.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) incarnation: Uuid,
    /// By shard; a projection that is not sharded has one, which takes every bucket.
    pub(crate) checkpoints: BTreeMap<i16, i64>,
    pub(crate) statuses: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
}

/// By name and version.
pub(crate) struct Progress {
    pub(crate) all: BTreeMap<(String, i32), Standing>,
    pub(crate) intents: Vec<Intent>,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Intent {
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) shard: i16,
    pub(crate) position_from: i64,
    pub(crate) position_to: i64,
}

#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) events: i64,
    pub(crate) telemetry: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    version: i32,
    shard: i16,
    incarnation: Uuid,
    checkpoint: i64,
    status: String,
    last_error: Option<String>,
}

/// One projection as `replay status --json` tells it.
#[derive(Deserialize)]
struct Reported {
    name: String,
    version: i32,
    checkpoint: i64,
    head: i64,
    lag: i64,
}

impl Standing {
    /// The checkpoint that an owner's bucket goes by.
    pub(crate) fn checkpoint(&self, bucket: u16) -> i64 {
        let shard = if self.checkpoints.len() == 1 {
            0
        } else {
            shard(bucket)
        };
        self.checkpoints.get(&shard).copied().unwrap_or(0)
    }

    /// Of the slowest shard.
    pub(crate) fn lowest(&self) -> i64 {
        self.checkpoints.values().copied().min().unwrap_or(0)
    }
}

impl Progress {
    /// Every version of a projection that was ever run.
    pub(crate) fn versions(&self, name: &str) -> impl Iterator<Item = (i32, &Standing)> {
        self.all
            .iter()
            .filter(move |((found, _), _)| found == name)
            .map(|((_, version), standing)| (*version, standing))
    }
}

pub(crate) fn shard(bucket: u16) -> i16 {
    (bucket / BUCKETS_PER_SHARD).cast_signed()
}

/// Which log a projection follows.
fn follows_telemetry(name: &str) -> bool {
    name.starts_with("telemetry")
}

pub(crate) async fn read(postgres: &mut PgConnection) -> Result<Progress> {
    let rows: Vec<Row> = sqlx::query_as(
        "select name, version, shard, incarnation, checkpoint, status, last_error from es.projections
         order by name, version, shard",
    )
    .fetch_all(&mut *postgres)
    .await
    .context("read es.projections")?;
    let mut all = BTreeMap::new();
    for row in rows {
        let standing = all
            .entry((row.name, row.version))
            .or_insert_with(|| Standing {
                incarnation: row.incarnation,
                checkpoints: BTreeMap::new(),
                statuses: BTreeSet::new(),
                errors: BTreeSet::new(),
            });
        standing.checkpoints.insert(row.shard, row.checkpoint);
        standing.statuses.insert(row.status);
        standing.errors.extend(row.last_error);
    }
    let intents = sqlx::query_as(
        "select name, version, shard, position_from, position_to from es.intents order by name, version, shard",
    )
    .fetch_all(postgres)
    .await
    .context("read es.intents")?;
    Ok(Progress { all, intents })
}

pub(crate) async fn check(
    postgres: &mut PgConnection,
    progress: &Progress,
    heads: Heads,
    verify: &Verify,
    report: &mut Report,
) -> Result<()> {
    let head = |name: &str| {
        if follows_telemetry(name) {
            heads.telemetry
        } else {
            heads.events
        }
    };
    let mut stands = Check::new(
        "13",
        "no projection stands beyond its log, or in another incarnation",
    );
    let mut drained = Check::new(
        "13",
        "every projection runs, stands at its head and intends nothing",
    );
    for ((name, version), standing) in &progress.all {
        let incarnation: Option<Uuid> =
            sqlx::query_scalar("select incarnation from es.log where name = $1")
                .bind(if follows_telemetry(name) {
                    "telemetry"
                } else {
                    "events"
                })
                .fetch_optional(&mut *postgres)
                .await
                .context("read es.log")?;
        stands.expect(Some(standing.incarnation) == incarnation, || {
            format!("{name} version {version} stands in another incarnation")
        });
        for (shard, checkpoint) in &standing.checkpoints {
            let head = head(name);
            stands.expect(*checkpoint <= head, || {
                format!(
                    "{name} version {version} shard {shard} stands at {checkpoint}, beyond {head}"
                )
            });
            drained.expect(!verify.drained || *checkpoint == head, || {
                format!("{name} version {version} shard {shard} stands at {checkpoint}, the log at {head}")
            });
        }
        drained.expect(
            !verify.drained || standing.statuses.iter().all(|status| status == "running"),
            || {
                format!(
                    "{name} version {version} is {:?}: {:?}",
                    standing.statuses, standing.errors
                )
            },
        );
    }
    for intent in &progress.intents {
        let standing = progress.all.get(&(intent.name.clone(), intent.version));
        let from = standing.and_then(|standing| standing.checkpoints.get(&intent.shard));
        stands.expect(from == Some(&intent.position_from), || {
            format!("{intent:?} does not begin where its projection stands, at {from:?}")
        });
        drained.expect(!verify.drained, || format!("{intent:?} is left"));
    }
    report.add(stands);
    report.add(parked(postgres).await?);
    if verify.drained {
        report.add(drained);
    }
    if let Some(path) = &verify.status {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let reported: Vec<Reported> = serde_json::from_str(&text).context("read the status")?;
        report.add(lag(progress, &reported, head));
    }
    Ok(())
}

/// An event that can't be projected parks its key. None that the loads send is of that kind, so that whatever is parked
/// was parked for something that would have passed.
async fn parked(postgres: &mut PgConnection) -> Result<Check> {
    let mut check = Check::new(
        "18",
        "nothing was parked or discarded, since nothing was poison",
    );
    let keys: Vec<(String, i32, i16)> =
        sqlx::query_as("select name, version, bucket from es.parked_keys")
            .fetch_all(&mut *postgres)
            .await
            .context("read es.parked_keys")?;
    let letters: Vec<(String, i32, i64, String)> =
        sqlx::query_as("select name, version, position, error from es.dead_letters")
            .fetch_all(postgres)
            .await
            .context("read es.dead_letters")?;
    check.expect(keys.is_empty(), || format!("parked: {keys:?}"));
    check.expect(letters.is_empty(), || format!("dead letters: {letters:?}"));
    Ok(check)
}

/// What the platform says of itself, recounted.
fn lag(progress: &Progress, reported: &[Reported], head: impl Fn(&str) -> i64) -> Check {
    let mut check = Check::new("20", "reported positions, heads and lags equal a recount");
    for one in reported {
        let key = (one.name.clone(), one.version);
        let checkpoint = progress.all.get(&key).map_or(0, Standing::lowest);
        let head = head(&one.name);
        let counted = (checkpoint, head, head - checkpoint);
        check.expect((one.checkpoint, one.head, one.lag) == counted, || {
            format!(
                "{} version {} is said to stand at {} of {} with a lag of {}; counted {counted:?}",
                one.name, one.version, one.checkpoint, one.head, one.lag
            )
        });
    }
    for (name, version) in progress.all.keys() {
        let told = reported
            .iter()
            .any(|one| (&one.name, one.version) == (name, *version));
        check.expect(told, || {
            format!("nothing is said of {name} version {version}")
        });
    }
    check
}
