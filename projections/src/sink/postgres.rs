use std::future::Future;

use domain::Event;
use event_store::{ProjectionStatus, RecordedEvent};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::ledger::Ledger;
use crate::decode::decode;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// What an event means for the rows of a Postgres read model.
pub trait PgProjector: Send + Sync + 'static {
    const PROJECTION: Projection;

    /// Runs inside the batch's transaction, with `search_path` at the version's own schema. Events come in order, each
    /// once. `recorded` holds the payload as stored, personal data sealed.
    fn project(
        &self,
        tx: &mut PgConnection,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> impl Future<Output = Result<(), ProjectError>> + Send;
}

/// Why an event could not be projected.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("could not write a row")]
    Write(#[from] sqlx::Error),
    #[error("the stream's id is not a UUID")]
    AggregateId(#[source] uuid::Error),
    #[error("the payload is not of its shape")]
    Payload(#[source] serde_json::Error),
    #[error("the event changes a row that an earlier event should have made")]
    MissingRow,
}

/// A Postgres read model: rows and checkpoint commit together.
pub struct PgSink<P> {
    projector: P,
    ledger: Ledger,
    schema: String,
}

impl<P: PgProjector> PgSink<P> {
    /// `pool` connects as [`event_store::Role::Projector`]; `incarnation` is that of the domain log.
    pub fn new(projector: P, pool: PgPool, incarnation: Uuid) -> Self {
        let projection = P::PROJECTION;
        Self {
            projector,
            ledger: Ledger::sharded(pool, projection, incarnation),
            schema: format!("rm_{}_v{}", projection.name(), projection.version()),
        }
    }

    async fn project(
        &self,
        tx: &mut PgConnection,
        recorded: &RecordedEvent,
    ) -> Result<(), SinkError> {
        let position = recorded.position;
        let event = decode(recorded).map_err(|source| SinkError::Decode { position, source })?;
        self.projector
            .project(tx, &event, recorded)
            .await
            .map_err(|source| SinkError::Project { position, source })
    }
}

impl<P: PgProjector> Sink<RecordedEvent> for PgSink<P> {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        Ok(Standing {
            checkpoints: self.ledger.resume().await?,
            intent: None,
        })
    }

    async fn apply(&mut self, batch: Batch<RecordedEvent>) -> Result<(), SinkError> {
        let mut tx = self.ledger.pool.begin().await.map_err(SinkError::Begin)?;
        // Rows and checkpoint are lost together or not at all, and come again from the log: so this commit need not
        // wait for the disk, and takes no sync from the lane's.
        sqlx::query!(
            "select set_config('search_path', $1, true) as search_path,
                    set_config('synchronous_commit', 'off', true) as synchronous_commit",
            self.schema
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(|source| SinkError::EnterSchema {
            schema: self.schema.clone(),
            source,
        })?;
        for recorded in batch.pending() {
            self.project(&mut tx, recorded).await?;
        }
        self.ledger
            .checkpoints
            .advance(&mut tx, batch.from(), batch.to())
            .await?;
        tx.commit().await.map_err(SinkError::Commit)
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}

/// The stream's id, for aggregates that are addressed by a UUID: all of ours.
pub(crate) fn aggregate_id(recorded: &RecordedEvent) -> Result<Uuid, ProjectError> {
    Uuid::parse_str(&recorded.stream.aggregate_id).map_err(ProjectError::AggregateId)
}

/// An update that is to change exactly one row.
pub(crate) fn changed_one(
    result: sqlx::Result<sqlx::postgres::PgQueryResult>,
) -> Result<(), ProjectError> {
    match result?.rows_affected() {
        1 => Ok(()),
        _ => Err(ProjectError::MissingRow),
    }
}
