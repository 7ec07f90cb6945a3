use std::sync::Arc;

use event_store::vault::{Claim, SubjectEvents};
use event_store::{ProjectionStatus, RecordedEvent, Repair};
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
    /// `incarnation` is that of the domain log.
    pub fn new(index: SubjectEvents, ledger: Ledger, incarnation: Uuid) -> Self {
        Self {
            index,
            ledger,
            incarnation,
        }
    }
}

/// Begins the index anew where it was made from another incarnation of the log than this one, as after a restore: nothing of it
/// is of use then. Answers whether it was. `projector` connects as [`event_store::Role::Projector`].
pub async fn begin_subject_events_anew(
    projector: &PgPool,
    index: &SubjectEvents,
    incarnation: Uuid,
) -> Result<bool, SinkError> {
    let begun = index.begin_anew(incarnation).await;
    let begun = begun.map_err(SinkError::Index)?;
    for forget in [
        "delete from es.parked_keys k using es.projections p
         where k.name = p.name and k.version = p.version and p.name = $1 and p.incarnation <> $2",
        "delete from es.projections where name = $1 and incarnation <> $2",
    ] {
        sqlx::query(forget)
            .bind(Projection::SubjectEvents.name())
            .bind(incarnation)
            .execute(projector)
            .await
            .map_err(SinkError::Begin)?;
    }
    Ok(begun)
}

impl Sink<Arc<RecordedEvent>> for SubjectEventsSink {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        let leases = self.ledger.settle().await?;
        let Some(lease) = leases.iter().next() else {
            return Ok(Standing {
                leases,
                intent: None,
            });
        };
        let claimed = self.index.claim(self.incarnation, lease.epoch).await;
        let checkpoint = match claimed.map_err(SinkError::Index)? {
            Claim::At(position) => position,
            Claim::Fenced => return Err(SinkError::Fenced),
            Claim::OtherIncarnation(found) => {
                return Err(SinkError::OtherIncarnation {
                    expected: self.incarnation,
                    found: found.to_string(),
                });
            }
        };
        let leases = leases.map(|_| checkpoint);
        self.ledger.mirror(&leases).await?;
        Ok(Standing {
            leases,
            intent: None,
        })
    }

    async fn apply(&mut self, batch: Batch<Arc<RecordedEvent>>) -> Result<(), SinkError> {
        let (reached, to) = (batch.reached(), batch.to());
        let Some(lease) = batch.from().iter().next().copied() else {
            return Ok(());
        };
        let events: Vec<Arc<RecordedEvent>> = batch.into_pending().collect();
        let moved = self
            .index
            .apply(self.incarnation, lease, to, &events)
            .await
            .map_err(SinkError::Index)?;
        if !moved {
            return Err(SinkError::Fenced);
        }
        self.ledger.mirror(&reached).await
    }

    /// Indexing again changes nothing, so the key may move after it.
    async fn repair(
        &mut self,
        repair: Repair,
        records: Vec<Arc<RecordedEvent>>,
    ) -> Result<(), SinkError> {
        let (incarnation, epoch) = (self.incarnation, repair.lease.epoch);
        let indexed = self.index.add(incarnation, epoch, &records).await;
        if !indexed.map_err(SinkError::Index)? {
            return Err(SinkError::Fenced);
        }
        self.ledger.unpark(&repair).await
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}
