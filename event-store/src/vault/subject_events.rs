//! Which positions of the domain log hold a subject's data: what an access request and an erasure certificate rest on.

use std::sync::Arc;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{VaultError, envelope};
use crate::lease::Lease;
use crate::pool::begin;
use crate::store::RecordedEvent;
use crate::token::Token;

/// What a worker that has taken the index over finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the worker's, and complete up to this position.
    At(i64),
    /// A later worker was here.
    Fenced,
    /// It was made from another log.
    OtherIncarnation(Uuid),
}

/// Writes `keys.subject_events` from the log, with its checkpoint in the same transaction of the key database.
#[derive(Clone)]
pub struct SubjectEvents {
    keys: PgPool,
}

impl SubjectEvents {
    /// `keys` is a pool on the key database, as role `proofline_vault`.
    pub fn new(keys: PgPool) -> Self {
        Self { keys }
    }

    /// The positions that hold data of these subjects, in order. Fails where the index is not complete up to the token.
    pub async fn positions(
        &self,
        subjects: &[Uuid],
        complete_to: Token,
    ) -> Result<Vec<i64>, VaultError> {
        let row = sqlx::query!(
            r#"select exists (select from keys.subject_events_checkpoint where incarnation = $2 and position >= $3)
                        as "complete!",
                      array(select distinct position from keys.subject_events where subject_id = any($1) order by position)
                        as "positions!""#,
            subjects,
            complete_to.incarnation,
            complete_to.position
        )
        .fetch_one(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        if row.complete {
            Ok(row.positions)
        } else {
            let position = complete_to.position;
            Err(VaultError::IndexBehind { position })
        }
    }

    /// Whose data an event holds, with repeats: what the index is made of.
    pub fn subjects_of(event: &RecordedEvent) -> Result<Vec<Uuid>, VaultError> {
        let payload = event.payload_value().map_err(|_| VaultError::Malformed)?;
        envelope::subjects(&payload)
    }

    /// Empties an index that was made from another incarnation of the log, so that it is made anew. Answers whether it was.
    pub async fn begin_anew(&self, incarnation: Uuid) -> Result<bool, VaultError> {
        sqlx::query_scalar!(
            r#"select keys.begin_subject_events($1) as "begun!""#,
            incarnation
        )
        .fetch_one(&self.keys)
        .await
        .map_err(VaultError::StoreKey)
    }

    /// Takes the index over under an epoch, which no earlier worker passes from then on.
    pub async fn claim(&self, incarnation: Uuid, epoch: i64) -> Result<Claim, VaultError> {
        let row = sqlx::query!(
            r#"insert into keys.subject_events_checkpoint as c (incarnation, position, epoch) values ($1, 0, $2)
               on conflict (singleton) do update set epoch = greatest(c.epoch, excluded.epoch)
               returning incarnation, position, epoch"#,
            incarnation,
            epoch
        )
        .fetch_one(&self.keys)
        .await
        .map_err(VaultError::StoreKey)?;
        Ok(if row.incarnation != incarnation {
            Claim::OtherIncarnation(row.incarnation)
        } else if row.epoch > epoch {
            Claim::Fenced
        } else {
            Claim::At(row.position)
        })
    }

    /// Indexes events that follow where the lease stands and end at `to`. Answers `false`, with nothing written, where
    /// the checkpoint has moved from there meanwhile, or a later worker holds it.
    pub async fn apply(
        &self,
        incarnation: Uuid,
        lease: Lease,
        to: i64,
        events: &[Arc<RecordedEvent>],
    ) -> Result<bool, VaultError> {
        let rows = index(events)?;
        let mut tx = begin(&self.keys).await.map_err(VaultError::StoreKey)?;
        let moved = sqlx::query!(
            "update keys.subject_events_checkpoint set position = $3
             where incarnation = $1 and position = $2 and epoch = $4",
            incarnation,
            lease.checkpoint,
            to,
            lease.epoch
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        insert(&mut tx, rows).await?;
        tx.commit().await.map_err(VaultError::StoreKey)?;
        Ok(true)
    }

    /// Indexes events that stand before the checkpoint and were left out. Answers `false`, with nothing written, where a
    /// later worker holds the index.
    pub async fn add(
        &self,
        incarnation: Uuid,
        epoch: i64,
        events: &[Arc<RecordedEvent>],
    ) -> Result<bool, VaultError> {
        let rows = index(events)?;
        let mut tx = begin(&self.keys).await.map_err(VaultError::StoreKey)?;
        let held = sqlx::query_scalar!(
            r#"select 1 as "held!" from keys.subject_events_checkpoint where incarnation = $1 and epoch = $2 for update"#,
            incarnation,
            epoch
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        if held.is_none() {
            return Ok(false);
        }
        insert(&mut tx, rows).await?;
        tx.commit().await.map_err(VaultError::StoreKey)?;
        Ok(true)
    }
}

/// Subjects and positions, side by side.
type Rows = (Vec<Uuid>, Vec<i64>);

fn index(events: &[Arc<RecordedEvent>]) -> Result<Rows, VaultError> {
    let mut rows = Rows::default();
    for event in events {
        for subject in SubjectEvents::subjects_of(event)? {
            rows.0.push(subject);
            rows.1.push(event.position);
        }
    }
    Ok(rows)
}

async fn insert(connection: &mut PgConnection, rows: Rows) -> Result<(), VaultError> {
    sqlx::query!(
        "insert into keys.subject_events (subject_id, position) select * from unnest($1::uuid[], $2::bigint[])
         on conflict do nothing",
        &rows.0,
        &rows.1
    )
    .execute(connection)
    .await
    .map_err(VaultError::StoreKey)?;
    Ok(())
}
