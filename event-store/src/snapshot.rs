//! The state of a long stream as of one of its events, so that loading it reads the tail only.
//!
//! What is kept is the fold of stored events and nothing else, and the tail is applied to it once: a snapshot and its
//! tail give what the whole stream gives. Nothing rests on a snapshot, so one that can't be used is ignored.
//!
//! **Rule:** no personal data. A state that holds an envelope is not kept, so an aggregate that knows persons has no
//! snapshots; else an erased person would live on in one.

use cqrs_es::Aggregate;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use uuid::Uuid;

use crate::cqrs::Loaded;
use crate::store::{StoreError, StreamId, Streams};
use crate::vault::holds_personal_data;

/// A stream is folded from its beginning up to here; after so many events since the last one, a snapshot is taken.
pub(crate) const SNAPSHOT_EVERY: usize = 100;

/// Tells states that were folded alike from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSchema([u8; 32]);

impl SnapshotSchema {
    /// `revision` is raised whenever the shape of the state changes, or what an event does to it.
    pub fn of<A: Aggregate>(revision: u32) -> Self {
        Self(Sha256::digest(format!("{}:{revision}", A::TYPE)).into())
    }
}

impl Streams {
    /// [`Streams::load`], with the help of a snapshot where the stream is long and there is one.
    pub async fn load_kept<A: Aggregate>(
        &self,
        tenant: Uuid,
        aggregate_id: &str,
        schema: SnapshotSchema,
    ) -> Result<Loaded<A>, StoreError> {
        let stream = StreamId::of::<A>(aggregate_id);
        // One read for a stream that is short, as most are.
        let first = self
            .read_events(&stream, 0, Some(SNAPSHOT_EVERY as i64 + 1))
            .await?;
        if first.len() <= SNAPSHOT_EVERY {
            let mut loaded = Loaded::absent();
            self.fold(tenant, &mut loaded, first).await?;
            return Ok(loaded);
        }
        let mut loaded = match self.snapshot::<A>(tenant, &stream, schema).await? {
            Some(kept) => kept,
            None => Loaded::absent(),
        };
        let kept = loaded.version;
        if kept == 0 {
            self.fold(tenant, &mut loaded, first).await?;
        }
        let tail = self.events_after(&stream, loaded.version).await?;
        self.fold(tenant, &mut loaded, tail).await?;
        if loaded.version - kept >= SNAPSHOT_EVERY as i64 {
            self.keep(tenant, &stream, schema, &loaded).await;
        }
        Ok(loaded)
    }

    async fn snapshot<A: Aggregate>(
        &self,
        tenant: Uuid,
        stream: &StreamId,
        schema: SnapshotSchema,
    ) -> Result<Option<Loaded<A>>, StoreError> {
        let row = sqlx::query!(
            r#"select tenant_id, sequence, position, state as "state: Json<Box<RawValue>>" from es.snapshots
               where aggregate_type = $1 and aggregate_id = $2 and schema_hash = $3"#,
            stream.aggregate_type,
            stream.aggregate_id,
            &schema.0
        )
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::ReadSnapshot)?;
        let Some(row) = row else { return Ok(None) };
        if row.tenant_id != tenant {
            return Err(StoreError::NotFound);
        }
        match serde_json::from_str(row.state.0.get()) {
            Ok(aggregate) => Ok(Some(Loaded {
                aggregate,
                version: row.sequence,
                last_position: row.position,
            })),
            Err(error) => {
                tracing::error!(
                    aggregate = stream.aggregate_type,
                    error = %error,
                    "a snapshot does not decode though its schema is ours: its revision was not raised"
                );
                Ok(None)
            }
        }
    }

    /// Without it the next load takes as long as this one, so a failure is nobody's but the log's.
    async fn keep<A: Aggregate>(
        &self,
        tenant: Uuid,
        stream: &StreamId,
        schema: SnapshotSchema,
        loaded: &Loaded<A>,
    ) {
        let state = match serde_json::to_value(&loaded.aggregate) {
            Ok(state) if !holds_personal_data(&state) => state,
            Ok(_) => {
                tracing::error!(
                    aggregate = stream.aggregate_type,
                    "a state with personal data is not kept; the aggregate must not ask for snapshots"
                );
                return;
            }
            Err(error) => {
                tracing::error!(aggregate = stream.aggregate_type, error = %error, "a state does not serialise");
                return;
            }
        };
        let stored = self.store_snapshot(
            tenant,
            stream,
            schema,
            loaded.version,
            loaded.last_position,
            state,
        );
        if let Err(error) = stored.await {
            tracing::warn!(aggregate = stream.aggregate_type, error = %error, "could not keep a snapshot");
        }
    }

    /// One row per stream; a newer one replaces it, and one of another schema too, since it is of no use here.
    async fn store_snapshot(
        &self,
        tenant: Uuid,
        stream: &StreamId,
        schema: SnapshotSchema,
        sequence: i64,
        position: i64,
        state: Value,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into es.snapshots as s (aggregate_type, aggregate_id, tenant_id, schema_hash, sequence, position, state)
             values ($1, $2, $3, $4, $5, $6, $7::text::json)
             on conflict on constraint snapshots_pkey do update
               set schema_hash = excluded.schema_hash, sequence = excluded.sequence, position = excluded.position,
                   state = excluded.state, taken_at = excluded.taken_at
               where s.schema_hash <> excluded.schema_hash or s.sequence < excluded.sequence",
            stream.aggregate_type,
            stream.aggregate_id,
            tenant,
            &schema.0,
            sequence,
            position,
            state.to_string()
        )
        .execute(self.pool())
        .await
        .map(drop)
    }
}
