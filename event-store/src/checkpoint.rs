//! Where a projection stands in its log, per virtual shard.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::bucket::Shard;

/// Why a checkpoint could not be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("could not register projection {name}")]
    Register { name: String, source: sqlx::Error },
    #[error("could not read the checkpoint of projection {name}")]
    Read { name: String, source: sqlx::Error },
    #[error("could not move the checkpoint of projection {name}")]
    Advance { name: String, source: sqlx::Error },
    #[error("could not store the intent of projection {name}")]
    StoreIntent { name: String, source: sqlx::Error },
    #[error("could not note the status of projection {name}")]
    Report { name: String, source: sqlx::Error },
    #[error("projection {name} stands in incarnation {found} of its log, which is now {expected}")]
    OtherIncarnation {
        name: String,
        expected: Uuid,
        found: Uuid,
    },
    #[error("another worker has moved projection {name} on")]
    Fenced { name: String },
}

/// Whether a projection follows its log. Stored; never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionStatus {
    Running,
    Stopped,
}

impl ProjectionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// `None` for a text that is not a status.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Stopped]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A range of positions that is about to be written where our transactions do not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Exclusive.
    pub from: i64,
    /// Inclusive.
    pub to: i64,
}

/// The checkpoints of one version of one projection.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    name: String,
    version: i32,
    incarnation: Uuid,
    shards: Vec<i16>,
}

impl Checkpoints {
    /// `sharded` projections have a checkpoint per virtual shard, the others one, in shard 0.
    pub fn new(name: &str, version: i32, incarnation: Uuid, sharded: bool) -> Self {
        let shards = if sharded {
            Shard::all().map(Shard::as_i16).collect()
        } else {
            vec![0]
        };
        Self {
            name: name.to_owned(),
            version,
            incarnation,
            shards,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn version(&self) -> i32 {
        self.version
    }

    /// The log's identity, which the checkpoints belong to.
    pub fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// Puts a new projection at position 0 and leaves a known one where it is.
    pub async fn register(&self, pool: &PgPool) -> Result<(), CheckpointError> {
        sqlx::query!(
            "insert into es.projections (name, version, shard, incarnation)
             select $1, $2, shard, $3 from unnest($4::smallint[]) shard on conflict do nothing",
            self.name,
            self.version,
            self.incarnation,
            &self.shards
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Register {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// One checkpoint per shard, in order of shards.
    pub async fn read(&self, pool: &PgPool) -> Result<Vec<i64>, CheckpointError> {
        let rows = sqlx::query!(
            "select incarnation, checkpoint from es.projections where name = $1 and version = $2 order by shard",
            self.name,
            self.version
        )
        .fetch_all(pool)
        .await
        .map_err(|source| CheckpointError::Read { name: self.name.clone(), source })?;
        if let Some(row) = rows.iter().find(|row| row.incarnation != self.incarnation) {
            return Err(CheckpointError::OtherIncarnation {
                name: self.name.clone(),
                expected: self.incarnation,
                found: row.incarnation,
            });
        }
        Ok(rows.into_iter().map(|row| row.checkpoint).collect())
    }

    /// Moves every shard to `to`, or none: part of the transaction that writes the rows. `from` has one checkpoint per
    /// shard, in order of shards; a shard that is at `to` or beyond stays.
    pub async fn advance(
        &self,
        connection: &mut PgConnection,
        from: &[i64],
        to: i64,
    ) -> Result<(), CheckpointError> {
        let moved = sqlx::query!(
            "update es.projections p set checkpoint = $4, updated_at = clock_timestamp()
             from unnest($3::smallint[], $6::bigint[]) s(shard, checkpoint)
             where p.name = $1 and p.version = $2 and p.shard = s.shard and p.incarnation = $5
               and p.checkpoint = s.checkpoint and p.checkpoint < $4",
            self.name,
            self.version,
            &self.shards,
            to,
            self.incarnation,
            from
        )
        .execute(connection)
        .await
        .map_err(|source| CheckpointError::Advance {
            name: self.name.clone(),
            source,
        })?;
        let behind = from.iter().filter(|checkpoint| **checkpoint < to).count();
        if from.len() == self.shards.len() && moved.rows_affected() == behind as u64 {
            Ok(())
        } else {
            Err(CheckpointError::Fenced {
                name: self.name.clone(),
            })
        }
    }

    /// Copies checkpoints whose authority is the sink itself, backwards too: a sink that lost its newest writes must not
    /// be taken for one that has them.
    pub async fn mirror(&self, pool: &PgPool, checkpoints: &[i64]) -> Result<(), CheckpointError> {
        sqlx::query!(
            "update es.projections p set checkpoint = m.checkpoint, updated_at = clock_timestamp()
             from unnest($4::smallint[], $5::bigint[]) m(shard, checkpoint)
             where p.name = $1 and p.version = $2 and p.incarnation = $3 and p.shard = m.shard
               and p.checkpoint <> m.checkpoint",
            self.name,
            self.version,
            self.incarnation,
            &self.shards,
            checkpoints
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Advance {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// Notes whether the projection runs, and what went wrong last, for people to read.
    pub async fn report(
        &self,
        pool: &PgPool,
        status: ProjectionStatus,
        last_error: Option<&str>,
    ) -> Result<(), CheckpointError> {
        sqlx::query!(
            "update es.projections set status = $3, last_error = $4, updated_at = clock_timestamp()
             where name = $1 and version = $2 and (status, last_error) is distinct from ($3, $4)",
            self.name,
            self.version,
            status.as_str(),
            last_error
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Report {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// What was about to be written when the process ended, if anything.
    pub async fn intent(&self, pool: &PgPool) -> Result<Option<Intent>, CheckpointError> {
        let row = sqlx::query!(
            "select position_from, position_to from es.intents
             where name = $1 and version = $2 and shard = 0 and incarnation = $3",
            self.name,
            self.version,
            self.incarnation
        )
        .fetch_optional(pool)
        .await
        .map_err(|source| CheckpointError::Read {
            name: self.name.clone(),
            source,
        })?;
        Ok(row.map(|row| Intent {
            from: row.position_from,
            to: row.position_to,
        }))
    }

    /// Writes down what is about to be written. Refused as fenced where another intent stands.
    pub async fn intend(&self, pool: &PgPool, intent: Intent) -> Result<(), CheckpointError> {
        let stored = sqlx::query!(
            "insert into es.intents (name, version, shard, incarnation, position_from, position_to)
             values ($1, $2, 0, $3, $4, $5) on conflict do nothing",
            self.name,
            self.version,
            self.incarnation,
            intent.from,
            intent.to
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::StoreIntent {
            name: self.name.clone(),
            source,
        })?;
        if stored.rows_affected() == 1 {
            Ok(())
        } else {
            Err(CheckpointError::Fenced {
                name: self.name.clone(),
            })
        }
    }

    /// Moves the checkpoint over what was written and forgets the intent, in one transaction.
    pub async fn fulfil(&self, pool: &PgPool, intent: Intent) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Advance {
            name: self.name.clone(),
            source,
        };
        let mut tx = pool.begin().await.map_err(failed)?;
        self.advance(&mut tx, &[intent.from], intent.to).await?;
        sqlx::query!(
            "delete from es.intents where name = $1 and version = $2 and shard = 0",
            self.name,
            self.version
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}
