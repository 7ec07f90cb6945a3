use event_store::{Checkpoints, ProjectionStatus, SHARDS};
use sqlx::PgPool;
use uuid::Uuid;

use crate::projection::Projection;
use crate::runtime::SinkError;

/// A projection's rows in `es.projections`: the checkpoints' authority for sinks that can share a transaction with
/// them, and a mirror for the others.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) pool: PgPool,
    pub(crate) checkpoints: Checkpoints,
}

impl Ledger {
    /// `pool` connects as [`event_store::Role::Projector`].
    pub(crate) fn sharded(pool: PgPool, projection: Projection, incarnation: Uuid) -> Self {
        Self::new(pool, projection, incarnation, true)
    }

    pub(crate) fn single(pool: PgPool, projection: Projection, incarnation: Uuid) -> Self {
        Self::new(pool, projection, incarnation, false)
    }

    fn new(pool: PgPool, projection: Projection, incarnation: Uuid, sharded: bool) -> Self {
        let (name, version) = (projection.name(), projection.version());
        Self {
            pool,
            checkpoints: Checkpoints::new(name, version, incarnation, sharded),
        }
    }

    /// Registers the projection where it is new, and tells where its shards stand.
    pub(crate) async fn resume(&self) -> Result<Vec<i64>, SinkError> {
        self.checkpoints.register(&self.pool).await?;
        Ok(self.checkpoints.read(&self.pool).await?)
    }

    pub(crate) async fn mirror(&self, checkpoints: &[i64]) -> Result<(), SinkError> {
        Ok(self.checkpoints.mirror(&self.pool, checkpoints).await?)
    }

    pub(crate) fn identity(&self) -> (&str, i32) {
        (self.checkpoints.name(), self.checkpoints.version())
    }

    pub(crate) async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        if let Err(error) = self
            .checkpoints
            .report(&self.pool, status, last_error)
            .await
        {
            tracing::debug!(
                projector.name = self.checkpoints.name(),
                error = format!("{error:#}"),
                "could not note a projection's status"
            );
        }
    }
}

/// The number of shards as a length.
pub(crate) const SHARD_COUNT: usize = SHARDS as usize;
