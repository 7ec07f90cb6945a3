use event_store::{
    CheckpointError, Checkpoints, Lease, Leases, ProjectionStatus, Repair, Share, Withheld, Worker,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::SinkError;

/// A projection's rows in `es.projections`, as one worker sees them: the checkpoints' authority for sinks that can share
/// a transaction with them, and a mirror for the others.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) pool: PgPool,
    pub(crate) checkpoints: Checkpoints,
    worker: Worker,
}

impl Ledger {
    /// `pool` connects as [`event_store::Role::Projector`]; `incarnation` is that of the log.
    pub fn new(
        pool: PgPool,
        worker: Worker,
        projection: Projection,
        version: i32,
        incarnation: Uuid,
    ) -> Self {
        let checkpoints = Checkpoints::new(
            projection.name(),
            version,
            incarnation,
            projection.is_sharded(),
        );
        Self {
            pool,
            checkpoints,
            worker,
        }
    }

    /// Takes this worker's share of the projection, which is registered where it is new.
    pub(crate) async fn settle(&self) -> Result<Leases, SinkError> {
        self.checkpoints.register(&self.pool).await?;
        Ok(self.checkpoints.settle(&self.pool, &self.worker).await?)
    }

    pub(crate) async fn is_settled(&self, held: &Leases) -> Result<bool, SinkError> {
        let settled = self.checkpoints.is_settled(&self.pool, &self.worker, held);
        Ok(settled.await?)
    }

    pub(crate) async fn seize(&self) -> Result<(), SinkError> {
        Ok(self.checkpoints.seize(&self.pool, &self.worker).await?)
    }

    /// Whether the shards stay with the worker when a runner of it has ended: a tool gives them back itself, once it has
    /// done what it holds them for.
    pub(crate) fn is_kept(&self) -> bool {
        self.worker.share() == Share::All
    }

    pub(crate) async fn release(&self) -> Result<(), SinkError> {
        Ok(self.checkpoints.release(&self.pool, &self.worker).await?)
    }

    pub(crate) async fn withheld(&self) -> Result<Withheld, CheckpointError> {
        self.checkpoints.withheld(&self.pool).await
    }

    pub(crate) async fn park(
        &self,
        lease: &Lease,
        place: Place,
        error: &str,
        attempts: u32,
    ) -> Result<bool, CheckpointError> {
        let Place { position, bucket } = place;
        self.checkpoints
            .park(&self.pool, lease, bucket, position, error, attempts)
            .await
    }

    /// Moves a key over what a sink outside Postgres has written of it.
    pub(crate) async fn unpark(&self, repair: &Repair) -> Result<(), SinkError> {
        let mut connection = self.pool.acquire().await.map_err(SinkError::Begin)?;
        Ok(self.checkpoints.unpark(&mut connection, repair).await?)
    }

    /// Where the shard furthest behind stands, whoever holds it.
    pub(crate) async fn lowest(&self) -> Result<Option<i64>, CheckpointError> {
        self.checkpoints.lowest(&self.pool).await
    }

    pub(crate) async fn mirror(&self, at: &Leases) -> Result<(), SinkError> {
        Ok(self.checkpoints.mirror(&self.pool, at).await?)
    }

    pub(crate) fn identity(&self) -> (&str, i32) {
        (self.checkpoints.name(), self.checkpoints.version())
    }

    pub(crate) async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        if let Err(error) = self
            .checkpoints
            .report(&self.pool, &self.worker, status, last_error)
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
