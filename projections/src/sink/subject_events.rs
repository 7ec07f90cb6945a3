use event_store::vault::SubjectEvents;
use event_store::{ProjectionStatus, RecordedEvent};
use sqlx::PgPool;
use uuid::Uuid;

use super::ledger::Ledger;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// Which events hold whose data: rows and checkpoint in the key database, mirrored in `es.projections`. Keyed by person,
/// so a single shard.
pub struct SubjectEventsSink {
    index: SubjectEvents,
    ledger: Ledger,
    incarnation: Uuid,
}

impl SubjectEventsSink {
    /// `pool` connects as [`event_store::Role::Projector`]; `incarnation` is that of the domain log.
    pub fn new(index: SubjectEvents, pool: PgPool, incarnation: Uuid) -> Self {
        Self {
            index,
            ledger: Ledger::single(pool, Projection::SubjectEvents, incarnation),
            incarnation,
        }
    }
}

impl Sink<RecordedEvent> for SubjectEventsSink {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        self.ledger.resume().await?;
        let checkpoint = match self.index.checkpoint().await.map_err(SinkError::Index)? {
            None => 0,
            Some((found, position)) if found == self.incarnation => position,
            Some((found, _)) => {
                return Err(SinkError::OtherIncarnation {
                    expected: self.incarnation,
                    found: found.to_string(),
                });
            }
        };
        self.ledger.mirror(&[checkpoint]).await?;
        Ok(Standing {
            checkpoints: vec![checkpoint],
            intent: None,
        })
    }

    async fn apply(&mut self, batch: Batch<RecordedEvent>) -> Result<(), SinkError> {
        let (from, to) = (batch.from()[0], batch.to());
        let events: Vec<RecordedEvent> = batch.into_pending().collect();
        let moved = self
            .index
            .apply(self.incarnation, from, to, &events)
            .await
            .map_err(SinkError::Index)?;
        if !moved {
            return Err(SinkError::Fenced);
        }
        self.ledger.mirror(&[to]).await
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}
