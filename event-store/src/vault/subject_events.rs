//! Which positions of the domain log hold a subject's data: what an access request and an erasure certificate rest on.

use sqlx::PgPool;
use uuid::Uuid;

use super::{VaultError, envelope};
use crate::store::RecordedEvent;

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

    /// The incarnation and position up to which the index is complete. `None` before the first batch.
    pub async fn checkpoint(&self) -> Result<Option<(Uuid, i64)>, VaultError> {
        let row = sqlx::query!("select incarnation, position from keys.subject_events_checkpoint")
            .fetch_optional(&self.keys)
            .await
            .map_err(VaultError::ReadKeys)?;
        Ok(row.map(|row| (row.incarnation, row.position)))
    }

    /// Indexes events that follow position `from` and end at `to`. Answers `false`, with nothing written, where the
    /// checkpoint has moved from `from` meanwhile.
    pub async fn apply(
        &self,
        incarnation: Uuid,
        from: i64,
        to: i64,
        events: &[RecordedEvent],
    ) -> Result<bool, VaultError> {
        let (mut subjects, mut positions) = (Vec::new(), Vec::new());
        for event in events {
            for subject in
                envelope::subjects(&event.payload_value().map_err(|_| VaultError::Malformed)?)?
            {
                subjects.push(subject);
                positions.push(event.position);
            }
        }
        let mut tx = self.keys.begin().await.map_err(VaultError::StoreKey)?;
        sqlx::query!(
            "insert into keys.subject_events_checkpoint (incarnation, position) values ($1, 0) on conflict do nothing",
            incarnation
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        let moved = sqlx::query!(
            "update keys.subject_events_checkpoint set position = $3 where incarnation = $1 and position = $2",
            incarnation,
            from,
            to
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!(
            "insert into keys.subject_events (subject_id, position) select * from unnest($1::uuid[], $2::bigint[])
             on conflict do nothing",
            &subjects,
            &positions
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        tx.commit().await.map_err(VaultError::StoreKey)?;
        Ok(true)
    }
}
