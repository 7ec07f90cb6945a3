//! What a writing process looks after beside appending: partitions ahead of both logs' heads, ids of telemetry that are
//! too old to come again, accesses that were noted long ago, and erasures that were cut short.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::PgPool;

use crate::vault::{Vault, VaultError};

const EVERY: Duration = Duration::from_secs(60);
/// Ids or accesses forgotten in one transaction.
const PRUNED_BATCH_MAX: i32 = 5_000;
/// Batches of one round, so that a backlog does not keep the round from ending.
const PRUNED_BATCHES_MAX: usize = 200;
/// Seven years.
const ACCESSES_KEPT_DAYS: u16 = 2_557;
/// Beyond this part of the last partition somebody has to look: making the next one has failed for long.
const FILLED_ALERT: f64 = 0.8;

/// Why something was left undone until the next round.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error("could not make partitions ahead of the logs")]
    EnsurePartitions(#[source] sqlx::Error),
    #[error("could not forget old telemetry ids")]
    PruneIds(#[source] sqlx::Error),
    #[error("could not forget accesses that were noted long ago")]
    ForgetAccesses(#[source] sqlx::Error),
    #[error("could not finish erasures")]
    FinishErasures(#[source] VaultError),
}

/// Any number of processes may do it at once.
#[derive(Clone)]
pub struct Upkeep {
    pool: PgPool,
    vault: Vault,
    accesses_kept_days: u16,
}

impl Upkeep {
    /// `pool` connects as [`crate::Role::Writer`].
    pub fn new(pool: PgPool, vault: Vault) -> Self {
        Self {
            pool,
            vault,
            accesses_kept_days: ACCESSES_KEPT_DAYS,
        }
    }

    /// For so many days it stays known who opened personal data; the database insists on a year.
    pub fn keeping_accesses(self, days: u16) -> Self {
        Self {
            accesses_kept_days: days,
            ..self
        }
    }

    /// Now, and then every minute.
    pub async fn run(&self) -> Infallible {
        loop {
            let failed = [
                self.ensure_partitions().await.err(),
                self.prune_ids().await.err(),
                self.forget_accesses().await.err(),
                self.finish_erasures().await.err(),
            ];
            for error in failed.into_iter().flatten() {
                tracing::error!(error = %error, source = ?std::error::Error::source(&error), "upkeep failed");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Answers how many partitions were made.
    pub async fn ensure_partitions(&self) -> Result<u32, UpkeepError> {
        let logs = sqlx::query!(
            r#"select log_name as "log_name!", created as "created!", filled as "filled!" from es.ensure_partitions()"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(UpkeepError::EnsurePartitions)?;
        let mut created = 0;
        for log in logs {
            metrics::gauge!("proofline_log_last_partition_filled_ratio", "log" => log.log_name.clone())
                .set(log.filled);
            if log.created > 0 {
                tracing::info!(
                    log = log.log_name,
                    created = log.created,
                    "made partitions ahead of the log"
                );
            }
            if log.filled > FILLED_ALERT {
                tracing::error!(
                    log = log.log_name,
                    filled = log.filled,
                    "the last partition is nearly full"
                );
            }
            created += log.created.cast_unsigned();
        }
        Ok(created)
    }

    async fn finish_erasures(&self) -> Result<(), UpkeepError> {
        let finished = self.vault.finish_erasures().await;
        finished.map_err(UpkeepError::FinishErasures)
    }

    /// Answers how many accesses were forgotten.
    pub async fn forget_accesses(&self) -> Result<u64, UpkeepError> {
        let mut forgotten = 0;
        for _ in 0..PRUNED_BATCHES_MAX {
            let batch = sqlx::query_scalar!(
                r#"select es.forget_accesses($1, $2) as "forgotten!""#,
                i32::from(self.accesses_kept_days),
                PRUNED_BATCH_MAX
            )
            .fetch_one(&self.pool)
            .await
            .map_err(UpkeepError::ForgetAccesses)?;
            forgotten += u64::from(batch.cast_unsigned());
            if batch < PRUNED_BATCH_MAX {
                break;
            }
        }
        if forgotten > 0 {
            let days = self.accesses_kept_days;
            tracing::info!(forgotten, days, "forgot accesses that were noted long ago");
        }
        Ok(forgotten)
    }

    /// Answers how many ids were forgotten.
    pub async fn prune_ids(&self) -> Result<u64, UpkeepError> {
        let mut pruned = 0;
        for _ in 0..PRUNED_BATCHES_MAX {
            let batch = sqlx::query_scalar!(
                r#"select es.prune_telemetry_ids($1) as "pruned!""#,
                PRUNED_BATCH_MAX
            )
            .fetch_one(&self.pool)
            .await
            .map_err(UpkeepError::PruneIds)?;
            pruned += u64::from(batch.cast_unsigned());
            if batch < PRUNED_BATCH_MAX {
                break;
            }
        }
        metrics::counter!("proofline_telemetry_ids_pruned_total").increment(pruned);
        Ok(pruned)
    }
}
