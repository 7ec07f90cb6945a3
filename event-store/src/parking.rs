//! Poison: an event that a projection can't write parks its key. What comes later of the key waits behind it in the log,
//! in order; the others go on.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

use crate::bucket::Bucket;
use crate::checkpoint::{CheckpointError, Checkpoints};
use crate::lease::Lease;
use crate::pool::begin;

/// A key that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    pub bucket: Bucket,
    /// The first event of the key that is not written.
    pub from: i64,
    /// Whether somebody asked for another try.
    pub retry: bool,
}

/// What of its log a version of a projection does not write: keys that wait, and events that were discarded. A discard
/// holds for every version of the projection, those to come too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    parked: BTreeMap<Bucket, ParkedKey>,
    discarded: BTreeSet<i64>,
}

impl Withheld {
    pub fn new(
        parked: impl IntoIterator<Item = ParkedKey>,
        discarded: impl IntoIterator<Item = i64>,
    ) -> Self {
        Self {
            parked: parked.into_iter().map(|key| (key.bucket, key)).collect(),
            discarded: discarded.into_iter().collect(),
        }
    }

    /// Whether an event is not to be written.
    pub fn holds(&self, bucket: Bucket, position: i64) -> bool {
        let parked = self.parked.get(&bucket);
        parked.is_some_and(|key| position >= key.from) || self.has_discarded(position)
    }

    pub fn has_discarded(&self, position: i64) -> bool {
        self.discarded.contains(&position)
    }

    pub fn parked(&self) -> impl ExactSizeIterator<Item = &ParkedKey> {
        self.parked.values()
    }

    /// What of it touches the positions after `after` up to `to`.
    pub fn within(&self, after: i64, to: i64) -> LeftOut {
        let parked = self.parked.values().filter(|key| key.from <= to);
        LeftOut {
            parked: parked.map(|key| (key.bucket.as_i16(), key.from)).collect(),
            ..self.discarded_within(after, to)
        }
    }

    /// The same without the keys that wait.
    pub fn discarded_within(&self, after: i64, to: i64) -> LeftOut {
        let discarded = self.discarded.range(after + 1..=to).copied();
        LeftOut {
            parked: Vec::new(),
            discarded: discarded.collect(),
        }
    }
}

/// What a range that is about to be written leaves out. Stored; never change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Keys that wait, and from where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parked: Vec<(i16, i64)>,
    /// Events that somebody decided to leave out for good.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    discarded: BTreeSet<i64>,
}

impl LeftOut {
    pub fn withheld(&self) -> Withheld {
        let parked = self.parked.iter().filter_map(|(bucket, from)| {
            Some(ParkedKey {
                bucket: Bucket::from_stored(*bucket)?,
                from: *from,
                retry: false,
            })
        });
        Withheld::new(parked, self.discarded.iter().copied())
    }
}

/// A part of what waits of a key, now to be written: the key's events after `after` up to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub key: ParkedKey,
    /// Of the key's shard.
    pub lease: Lease,
    /// Exclusive.
    pub after: i64,
    /// Inclusive.
    pub to: i64,
    pub left_out: LeftOut,
}

impl Repair {
    /// Whether the key waits for nothing any more once this is written.
    pub fn is_last(&self) -> bool {
        self.to >= self.lease.checkpoint
    }
}

/// An event that could not be written, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub name: String,
    pub version: i32,
    pub position: i64,
    pub bucket: i16,
    pub error: String,
    pub attempts: i32,
    pub parked_at: DateTime<Utc>,
    pub projected_at: Option<DateTime<Utc>>,
    pub discarded_at: Option<DateTime<Utc>>,
    pub discarded_by: Option<String>,
    pub reason: Option<String>,
}

impl Checkpoints {
    /// What this version of the projection does not write for now, or ever.
    pub async fn withheld(&self, pool: &PgPool) -> Result<Withheld, CheckpointError> {
        let rows = sqlx::query!(
            r#"select bucket as "bucket?", position_from as "position!", retry as "retry!" from es.parked_keys
               where name = $1 and version = $2
               union all
               select distinct null::smallint, position, false from es.dead_letters
               where name = $1 and discarded_at is not null"#,
            self.name(),
            self.version()
        )
        .fetch_all(pool)
        .await
        .map_err(|source| self.parking(source))?;
        let (parked, discarded): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.bucket.is_some());
        let parked = parked.into_iter().filter_map(|row| {
            Some(ParkedKey {
                bucket: Bucket::from_stored(row.bucket?)?,
                from: row.position,
                retry: row.retry,
            })
        });
        let discarded = discarded.into_iter().map(|row| row.position);
        Ok(Withheld::new(parked, discarded))
    }

    /// Parks a key from `position` on, by whoever holds its shard. A key that is parked from before it already, and failed
    /// again, stays where it is and asks for no further try. Committed before the sink's checkpoint moves over the position.
    /// An event that was discarded meanwhile parks nothing. Answers whether the key is parked.
    pub async fn park(
        &self,
        pool: &PgPool,
        lease: &Lease,
        bucket: Bucket,
        position: i64,
        error: &str,
        attempts: u32,
    ) -> Result<bool, CheckpointError> {
        let failed = |source| self.parking(source);
        let mut tx = begin(pool).await.map_err(failed)?;
        self.hold(&mut tx, lease).await?;
        let is_discarded = sqlx::query_scalar!(
            r#"select exists (
                 select from es.dead_letters where name = $1 and position = $2 and discarded_at is not null
               ) as "is_discarded!""#,
            self.name(),
            position
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        if is_discarded {
            return Ok(false);
        }
        sqlx::query!(
            "insert into es.parked_keys as k (name, version, bucket, position_from) values ($1, $2, $3, $4)
             on conflict on constraint parked_keys_pkey
               do update set retry = false, position_from = least(k.position_from, excluded.position_from)",
            self.name(),
            self.version(),
            bucket.as_i16(),
            position
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        sqlx::query!(
            "insert into es.dead_letters as d (name, version, position, bucket, error, attempts)
             values ($1, $2, $3, $4, $5, $6)
             on conflict on constraint dead_letters_pkey
               do update set error = excluded.error, attempts = d.attempts + excluded.attempts",
            self.name(),
            self.version(),
            position,
            bucket.as_i16(),
            error,
            attempts.cast_signed()
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Moves a key over what was written of it: part of the transaction that writes the rows, where there is one.
    pub async fn unpark(
        &self,
        connection: &mut PgConnection,
        repair: &Repair,
    ) -> Result<(), CheckpointError> {
        let failed = |source| self.parking(source);
        self.hold(connection, &repair.lease).await?;
        let moved = sqlx::query!(
            "with moved as (
               update es.parked_keys set position_from = $5
               where name = $1 and version = $2 and bucket = $3 and position_from = $4 and not $6
               returning 1
             ), gone as (
               delete from es.parked_keys
               where name = $1 and version = $2 and bucket = $3 and position_from = $4 and $6
               returning 1
             )
             select (select count(*) from moved) + (select count(*) from gone) as \"keys!\"",
            self.name(),
            self.version(),
            repair.key.bucket.as_i16(),
            repair.key.from,
            repair.to + 1,
            repair.is_last()
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        if moved.keys != 1 {
            return Err(self.fenced());
        }
        sqlx::query!(
            "update es.dead_letters set projected_at = clock_timestamp()
             where name = $1 and version = $2 and bucket = $3 and position <= $4
               and projected_at is null and discarded_at is null",
            self.name(),
            self.version(),
            repair.key.bucket.as_i16(),
            repair.to
        )
        .execute(connection)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Locks the shard's row against being taken over until the transaction ends.
    async fn hold(
        &self,
        connection: &mut PgConnection,
        lease: &Lease,
    ) -> Result<(), CheckpointError> {
        let held = sqlx::query_scalar!(
            r#"select 1 as "held!" from es.projections
               where name = $1 and version = $2 and shard = $3 and lease_epoch = $4 for update"#,
            self.name(),
            self.version(),
            lease.shard,
            lease.epoch
        )
        .fetch_optional(connection)
        .await
        .map_err(|source| self.parking(source))?;
        held.map(drop).ok_or_else(|| self.fenced())
    }

    fn parking(&self, source: sqlx::Error) -> CheckpointError {
        CheckpointError::Park {
            name: self.name().to_owned(),
            source,
        }
    }
}

/// Dead letters as an operator works on them. Needs a pool as [`crate::Role::Projector`].
#[derive(Clone, Debug)]
pub struct DeadLetters {
    pool: PgPool,
}

/// Why an operator's wish could not be met.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("could not read dead letters")]
    Read(#[source] sqlx::Error),
    #[error("could not note what is to become of a dead letter")]
    Decide(#[source] sqlx::Error),
    #[error("no event of {name} waits at position {position}")]
    NotWaiting { name: String, position: i64 },
    #[error("no key of {name} waits")]
    NothingWaits { name: String },
}

impl DeadLetters {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Those that wait, or all that ever did, in order.
    pub async fn list(
        &self,
        name: Option<&str>,
        all: bool,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        sqlx::query_as!(
            DeadLetter,
            "select name, version, position, bucket, error, attempts, parked_at, projected_at, discarded_at,
                    discarded_by, reason
             from es.dead_letters
             where ($1::text is null or name = $1) and ($2 or (projected_at is null and discarded_at is null))
             order by name, version, position",
            name,
            all
        )
        .fetch_all(&self.pool)
        .await
        .map_err(DeadLetterError::Read)
    }

    /// Asks whoever holds the shards to try again what waits: everything of the projection, or one key. Answers how many
    /// keys were asked for.
    pub async fn retry(&self, name: &str, position: Option<i64>) -> Result<u64, DeadLetterError> {
        let asked = sqlx::query!(
            "update es.parked_keys k set retry = true
             where k.name = $1 and ($2::bigint is null or exists (
               select from es.dead_letters d
               where d.name = k.name and d.version = k.version and d.bucket = k.bucket and d.position = $2))",
            name,
            position
        )
        .execute(&self.pool)
        .await
        .map_err(DeadLetterError::Decide)?;
        match (asked.rows_affected(), position) {
            (0, Some(position)) => Err(DeadLetterError::NotWaiting {
                name: name.to_owned(),
                position,
            }),
            (0, None) => Err(DeadLetterError::NothingWaits {
                name: name.to_owned(),
            }),
            (keys, _) => Ok(keys),
        }
    }

    /// Leaves an event out of a projection for good, and asks for what waits behind it. The event itself stays in the log.
    pub async fn discard(
        &self,
        name: &str,
        position: i64,
        by: &str,
        reason: &str,
    ) -> Result<(), DeadLetterError> {
        let mut tx = begin(&self.pool).await.map_err(DeadLetterError::Decide)?;
        let discarded = sqlx::query!(
            "update es.dead_letters set discarded_at = clock_timestamp(), discarded_by = $3, reason = $4
             where name = $1 and position = $2 and projected_at is null and discarded_at is null",
            name,
            position,
            by,
            reason
        )
        .execute(&mut *tx)
        .await
        .map_err(DeadLetterError::Decide)?;
        if discarded.rows_affected() == 0 {
            return Err(DeadLetterError::NotWaiting {
                name: name.to_owned(),
                position,
            });
        }
        sqlx::query!(
            "update es.parked_keys k set retry = true from es.dead_letters d
             where d.name = $1 and d.position = $2 and k.name = d.name and k.version = d.version
               and k.bucket = d.bucket",
            name,
            position
        )
        .execute(&mut *tx)
        .await
        .map_err(DeadLetterError::Decide)?;
        tx.commit().await.map_err(DeadLetterError::Decide)
    }
}
