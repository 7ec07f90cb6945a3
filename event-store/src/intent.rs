//! What a sink outside Postgres is about to write, written down before: after a crash exactly the same is completed.

use sqlx::types::Json;
use sqlx::{PgPool, Postgres, Transaction};

use crate::bucket::Bucket;
use crate::checkpoint::{CheckpointError, Checkpoints};
use crate::lease::{Lease, Leases};
use crate::parking::{LeftOut, Repair};
use crate::pool;

/// A range of positions that is about to be written where our transactions do not reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Exclusive.
    pub from: i64,
    /// Inclusive.
    pub to: i64,
    /// Set where it is what waited of one key.
    pub bucket: Option<Bucket>,
    pub left_out: LeftOut,
}

impl Checkpoints {
    /// What was about to be written when the process ended, if anything.
    pub async fn intent(&self, pool: &PgPool) -> Result<Option<Intent>, CheckpointError> {
        let row = sqlx::query!(
            r#"select position_from, position_to, bucket, left_out as "left_out: Json<LeftOut>"
               from es.intents where name = $1 and version = $2 and shard = 0 and incarnation = $3"#,
            self.name(),
            self.version(),
            self.incarnation()
        )
        .fetch_optional(pool)
        .await
        .map_err(|source| CheckpointError::Read {
            name: self.name().to_owned(),
            source,
        })?;
        let Some(row) = row else { return Ok(None) };
        let bucket = match row.bucket {
            None => None,
            Some(stored) => {
                let known = Bucket::from_stored(stored);
                Some(known.ok_or_else(|| CheckpointError::UnknownIntent {
                    name: self.name().to_owned(),
                })?)
            }
        };
        Ok(Some(Intent {
            from: row.position_from,
            to: row.position_to,
            bucket,
            left_out: row.left_out.0,
        }))
    }

    /// Writes down what is about to be written, by whoever holds the shard. Fenced where another intent stands, or the
    /// shard is somebody else's by now.
    pub async fn intend(
        &self,
        pool: &PgPool,
        lease: &Lease,
        intent: &Intent,
    ) -> Result<(), CheckpointError> {
        // The row is locked, so that whoever takes the shard over sees the intent or keeps it from being written.
        let stored = sqlx::query!(
            "insert into es.intents (name, version, shard, incarnation, position_from, position_to, bucket, left_out)
             select p.name, p.version, p.shard, p.incarnation, $6, $7, $8, $9
             from (select * from es.projections
                   where name = $1 and version = $2 and shard = 0 and incarnation = $3 and lease_epoch = $4
                     and checkpoint = $5
                   for update) p
             on conflict do nothing",
            self.name(),
            self.version(),
            self.incarnation(),
            lease.epoch,
            lease.checkpoint,
            intent.from,
            intent.to,
            intent.bucket.map(Bucket::as_i16),
            Json(&intent.left_out) as _
        )
        .execute(pool)
        .await
        .map_err(|source| CheckpointError::StoreIntent {
            name: self.name().to_owned(),
            source,
        })?;
        if stored.rows_affected() == 1 {
            Ok(())
        } else {
            Err(self.fenced())
        }
    }

    /// Fenced where the shard is somebody else's by now, or stands elsewhere.
    pub async fn check_held(&self, pool: &PgPool, lease: &Lease) -> Result<(), CheckpointError> {
        let held = sqlx::query_scalar!(
            r#"select exists (
                 select from es.projections
                 where name = $1 and version = $2 and shard = $3 and incarnation = $4 and lease_epoch = $5 and checkpoint = $6
               ) as "held!""#,
            self.name(),
            self.version(),
            lease.shard,
            self.incarnation(),
            lease.epoch,
            lease.checkpoint
        )
        .fetch_one(pool)
        .await
        .map_err(|source| CheckpointError::Read {
            name: self.name().to_owned(),
            source,
        })?;
        if held { Ok(()) } else { Err(self.fenced()) }
    }

    /// Moves the checkpoint over what was written and forgets the intent, in one transaction.
    pub async fn fulfil(
        &self,
        pool: &PgPool,
        from: &Leases,
        to: i64,
    ) -> Result<(), CheckpointError> {
        let mut tx = self.begin(pool).await?;
        self.advance(&mut tx, from, to).await?;
        self.forget_intent(tx).await
    }

    /// Moves a parked key over what was written of it and forgets the intent, in one transaction.
    pub async fn fulfil_repair(
        &self,
        pool: &PgPool,
        repair: &Repair,
    ) -> Result<(), CheckpointError> {
        let mut tx = self.begin(pool).await?;
        self.unpark(&mut tx, repair).await?;
        self.forget_intent(tx).await
    }

    async fn begin(
        &self,
        pool: &PgPool,
    ) -> Result<Transaction<'static, Postgres>, CheckpointError> {
        pool::begin(pool)
            .await
            .map_err(|source| self.not_advanced(source))
    }

    async fn forget_intent(
        &self,
        mut tx: Transaction<'static, Postgres>,
    ) -> Result<(), CheckpointError> {
        sqlx::query!(
            "delete from es.intents where name = $1 and version = $2 and shard = 0",
            self.name(),
            self.version()
        )
        .execute(&mut *tx)
        .await
        .map_err(|source| self.not_advanced(source))?;
        tx.commit()
            .await
            .map_err(|source| self.not_advanced(source))
    }

    fn not_advanced(&self, source: sqlx::Error) -> CheckpointError {
        CheckpointError::Advance {
            name: self.name().to_owned(),
            source,
        }
    }
}
