//! Where a projection stands in its log, per virtual shard.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::fault::{self, Mutant};
use crate::lease::{Holder, Lease, Leases, Moves, Seat, Worker, moves, shards};

/// Why a checkpoint could not be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("could not register projection {name}")]
    Register { name: String, source: sqlx::Error },
    #[error("could not read the checkpoint of projection {name}")]
    Read { name: String, source: sqlx::Error },
    #[error("could not settle the leases of projection {name}")]
    Settle { name: String, source: sqlx::Error },
    #[error("could not move the checkpoint of projection {name}")]
    Advance { name: String, source: sqlx::Error },
    #[error("could not store the intent of projection {name}")]
    StoreIntent { name: String, source: sqlx::Error },
    #[error("could not park a key of projection {name}, or take it up again")]
    Park { name: String, source: sqlx::Error },
    #[error("projection {name} has stored an intent that this build does not understand")]
    UnknownIntent { name: String },
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

/// The checkpoints of one version of one projection, and the leases of those who move them.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    name: String,
    version: i32,
    incarnation: Uuid,
    sharded: bool,
}

impl Checkpoints {
    /// `sharded` projections have a checkpoint per virtual shard, the others one, in shard 0.
    pub fn new(name: &str, version: i32, incarnation: Uuid, sharded: bool) -> Self {
        Self {
            name: name.to_owned(),
            version,
            incarnation,
            sharded,
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

    pub fn is_sharded(&self) -> bool {
        self.sharded
    }

    /// Puts a new projection at position 0 and leaves a known one where it is.
    pub async fn register(&self, pool: &PgPool) -> Result<(), CheckpointError> {
        sqlx::query!(
            "insert into es.projections (name, version, shard, incarnation)
             select $1, $2, shard, $3 from unnest($4::smallint[]) shard on conflict do nothing",
            self.name,
            self.version,
            self.incarnation,
            &shards(self.sharded)
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Register {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// Puts a version whose rows were loaded in bulk at `position`: part of the transaction that completes it.
    pub async fn register_at(
        &self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<(), CheckpointError> {
        sqlx::query!(
            "insert into es.projections (name, version, shard, incarnation, checkpoint)
             select $1, $2, shard, $3, $5 from unnest($4::smallint[]) shard",
            self.name,
            self.version,
            self.incarnation,
            &shards(self.sharded),
            position
        )
        .execute(connection)
        .await
        .map_err(|source| CheckpointError::Register {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// Takes every shard, whoever holds it: from here on, nobody else can move the version for as long as the worker is
    /// alive.
    pub async fn seize(&self, pool: &PgPool, worker: &Worker) -> Result<(), CheckpointError> {
        sqlx::query!(
            "update es.projections set lease_owner = $3, lease_epoch = lease_epoch + 1
             where name = $1 and version = $2 and lease_owner is distinct from $3",
            self.name,
            self.version,
            worker.id()
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Settle {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// Takes what is free, and gives back what is too much, until the worker holds its share: a step at a time, since
    /// the others have to do theirs. Answers with what it holds now.
    pub async fn settle(&self, pool: &PgPool, worker: &Worker) -> Result<Leases, CheckpointError> {
        let failed = |source| CheckpointError::Settle {
            name: self.name.clone(),
            source,
        };
        let (seats, workers) = self.seats(pool, worker).await?;
        let Moves { take, give } = moves(&seats, worker.share(), workers);
        if !give.is_empty() {
            sqlx::query!(
                "update es.projections set lease_owner = null
                 where name = $1 and version = $2 and shard = any($3) and lease_owner = $4",
                self.name,
                self.version,
                &give,
                worker.id()
            )
            .execute(pool)
            .await
            .map_err(failed)?;
        }
        if !take.is_empty() {
            let (free, seen): (Vec<i16>, Vec<i64>) = take.into_iter().unzip();
            sqlx::query!(
                "update es.projections p set lease_owner = $5, lease_epoch = p.lease_epoch + 1
                 from unnest($3::smallint[], $4::bigint[]) free(shard, epoch)
                 where p.name = $1 and p.version = $2 and p.shard = free.shard and p.lease_epoch = free.epoch",
                self.name,
                self.version,
                &free,
                &seen,
                worker.id()
            )
            .execute(pool)
            .await
            .map_err(failed)?;
        }
        // Read after the epochs were raised: what a stale owner still wrote before is seen.
        let rows = sqlx::query_as!(
            Lease,
            "select shard, lease_epoch as epoch, checkpoint from es.projections
             where name = $1 and version = $2 and lease_owner = $3",
            self.name,
            self.version,
            worker.id()
        )
        .fetch_all(pool)
        .await
        .map_err(failed)?;
        Ok(Leases::new(self.sharded, rows))
    }

    /// Whether the worker holds what it should, under the epochs that it knows.
    pub async fn is_settled(
        &self,
        pool: &PgPool,
        worker: &Worker,
        held: &Leases,
    ) -> Result<bool, CheckpointError> {
        let (seats, workers) = self.seats(pool, worker).await?;
        Ok(held.are_those(&seats) && moves(&seats, worker.share(), workers) == Moves::default())
    }

    /// Gives every lease back.
    pub async fn release(&self, pool: &PgPool, worker: &Worker) -> Result<(), CheckpointError> {
        sqlx::query!(
            "update es.projections set lease_owner = null where name = $1 and version = $2 and lease_owner = $3",
            self.name,
            self.version,
            worker.id()
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Settle { name: self.name.clone(), source })?;
        Ok(())
    }

    /// Every shard in order, and how many workers share them.
    async fn seats(
        &self,
        pool: &PgPool,
        worker: &Worker,
    ) -> Result<(Vec<Seat>, usize), CheckpointError> {
        let rows = sqlx::query_file!("sql/select_seats.sql", self.name, self.version, worker.id())
            .fetch_all(pool)
            .await
            .map_err(|source| CheckpointError::Settle {
                name: self.name.clone(),
                source,
            })?;
        let mut seats = Vec::with_capacity(rows.len());
        let mut workers = 1;
        for row in rows {
            if row.incarnation != self.incarnation {
                return Err(CheckpointError::OtherIncarnation {
                    name: self.name.clone(),
                    expected: self.incarnation,
                    found: row.incarnation,
                });
            }
            workers = row.workers as usize;
            seats.push(Seat {
                shard: row.shard,
                epoch: row.lease_epoch,
                holder: match (row.is_mine, row.is_held) {
                    (true, _) => Holder::Me,
                    (false, true) => Holder::Other,
                    (false, false) => Holder::Nobody,
                },
            });
        }
        Ok((seats, workers))
    }

    /// Where the shard furthest behind stands, whoever holds it. `None` where the projection is not known.
    pub async fn lowest(&self, pool: &PgPool) -> Result<Option<i64>, CheckpointError> {
        sqlx::query_scalar!(
            "select min(checkpoint) from es.projections where name = $1 and version = $2 and incarnation = $3",
            self.name,
            self.version,
            self.incarnation
        )
        .fetch_one(pool)
        .await
        .map_err(|source| CheckpointError::Read { name: self.name.clone(), source })
    }

    /// Moves every shard of `from` to `to`, or none: part of the transaction that writes the rows. A shard that is at
    /// `to` or beyond stays. Fenced where a checkpoint or an epoch is another meanwhile.
    pub async fn advance(
        &self,
        connection: &mut PgConnection,
        from: &Leases,
        to: i64,
    ) -> Result<(), CheckpointError> {
        let behind = || from.iter().filter(|lease| lease.checkpoint < to);
        let column = |read: fn(&Lease) -> i64| behind().map(read).collect::<Vec<_>>();
        let moved = sqlx::query!(
            "update es.projections p set checkpoint = $4, updated_at = clock_timestamp()
             from unnest($3::smallint[], $6::bigint[], $7::bigint[]) s(shard, checkpoint, epoch)
             where p.name = $1 and p.version = $2 and p.shard = s.shard and p.incarnation = $5
               and p.checkpoint = s.checkpoint and p.lease_epoch = s.epoch",
            self.name,
            self.version,
            &behind().map(|lease| lease.shard).collect::<Vec<_>>(),
            to,
            self.incarnation,
            &column(|lease| lease.checkpoint),
            &column(|lease| lease.epoch)
        )
        .execute(connection)
        .await
        .map_err(|source| CheckpointError::Advance {
            name: self.name.clone(),
            source,
        })?;
        let is_ours = moved.rows_affected() == behind().count() as u64;
        if is_ours || fault::is_mutant(Mutant::NoFencing) {
            Ok(())
        } else {
            Err(self.fenced())
        }
    }

    /// Copies checkpoints whose authority is the sink itself, backwards too: a sink that lost its newest writes must not
    /// be taken for one that has them. What belongs to another by now is left alone.
    pub async fn mirror(&self, pool: &PgPool, at: &Leases) -> Result<(), CheckpointError> {
        let column = |read: fn(&Lease) -> i64| at.iter().map(read).collect::<Vec<_>>();
        sqlx::query!(
            "update es.projections p set checkpoint = m.checkpoint, updated_at = clock_timestamp()
             from unnest($4::smallint[], $5::bigint[], $6::bigint[]) m(shard, checkpoint, epoch)
             where p.name = $1 and p.version = $2 and p.incarnation = $3 and p.shard = m.shard
               and p.lease_epoch = m.epoch and p.checkpoint <> m.checkpoint",
            self.name,
            self.version,
            self.incarnation,
            &at.iter().map(|lease| lease.shard).collect::<Vec<_>>(),
            &column(|lease| lease.checkpoint),
            &column(|lease| lease.epoch)
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Advance {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    /// Notes, for people to read, whether the shards of the worker run, and what went wrong last.
    pub async fn report(
        &self,
        pool: &PgPool,
        worker: &Worker,
        status: ProjectionStatus,
        last_error: Option<&str>,
    ) -> Result<(), CheckpointError> {
        sqlx::query!(
            "update es.projections set status = $3, last_error = $4, updated_at = clock_timestamp()
             where name = $1 and version = $2 and lease_owner = $5
               and (status, last_error) is distinct from ($3, $4)",
            self.name,
            self.version,
            status.as_str(),
            last_error,
            worker.id()
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::Report {
            name: self.name.clone(),
            source,
        })?;
        Ok(())
    }

    pub(crate) fn fenced(&self) -> CheckpointError {
        CheckpointError::Fenced {
            name: self.name.clone(),
        }
    }
}
