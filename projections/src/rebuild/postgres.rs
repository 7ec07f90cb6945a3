//! A new version of a read model: rows folded in memory, loaded by `COPY`, indexed after.

use std::collections::HashMap;
use std::ops::Range;

use event_store::{RecordedEvent, begin_with};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::error::RebuildError;
use super::fold::Sum;
use crate::fold::{Change, Rows};
use crate::runtime::SinkError;
use crate::sink::{CopyRows, PgProjector, schema};

const COPY_BYTES: usize = 1 << 20;

/// The rows of some of the keys.
pub(super) struct RowSum<P: Rows> {
    rows: HashMap<Uuid, P::Row>,
    bytes: usize,
}

impl<P: Rows> Default for RowSum<P> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<P: Rows> RowSum<P> {
    /// In a map that has just grown, every second place is free.
    const PLACE_BYTES: usize = 2 * size_of::<(Uuid, P::Row)>();

    fn bytes_of(row: &P::Row) -> usize {
        Self::PLACE_BYTES + P::heap_bytes(row)
    }

    /// After a failure the row is gone.
    pub(super) fn fold(&mut self, change: Option<Change<'_, P>>) -> Result<(), SinkError> {
        let Some(change) = change else { return Ok(()) };
        let key = change.key();
        let before = self.rows.remove(&key);
        self.bytes -= before.as_ref().map_or(0, Self::bytes_of);
        if let Some(row) = change.apply(before)? {
            self.bytes += Self::bytes_of(&row);
            self.rows.insert(key, row);
        }
        Ok(())
    }
}

impl<P: Rows> Sum for RowSum<P> {
    type Record = RecordedEvent;

    fn slot(record: &RecordedEvent) -> Option<u16> {
        Uuid::parse_str(&record.stream.aggregate_id)
            .ok()
            .map(slot_of)
    }

    fn add(&mut self, record: &RecordedEvent) -> Result<(), SinkError> {
        self.fold(Change::of(record)?)
    }

    fn keep(&mut self, slots: &Range<u32>) {
        self.rows
            .retain(|key, _| slots.contains(&u32::from(slot_of(*key))));
        self.rows.shrink_to_fit();
        self.bytes = self.rows.values().map(Self::bytes_of).sum();
    }

    fn size_bytes(&self) -> usize {
        self.bytes
    }
}

/// The last two bytes, which are random in every kind of UUID that we make.
pub(super) fn slot_of(id: Uuid) -> u16 {
    let bytes = id.as_bytes();
    u16::from_be_bytes([bytes[14], bytes[15]])
}

/// Adds the rows to the version's table, which nobody reads yet.
pub(super) async fn load<P: PgProjector>(
    pool: &PgPool,
    version: i32,
    sums: Vec<RowSum<P>>,
) -> Result<(), RebuildError> {
    let mut tx = begin_long(pool, Sees::Committed)
        .await
        .map_err(RebuildError::Load)?;
    let schema = schema(P::PROJECTION.name(), version);
    sqlx::query!(
        "select set_config('search_path', $1, true) as search_path",
        schema
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(RebuildError::Load)?;
    let mut copy = tx.copy_in_raw(P::COPY).await.map_err(RebuildError::Load)?;
    let mut out = CopyRows::new();
    for row in sums.into_iter().flat_map(|sum| sum.rows.into_values()) {
        P::copy(&row, &mut out);
        if out.len() >= COPY_BYTES {
            copy.send(out.take()).await.map_err(RebuildError::Load)?;
        }
    }
    out.end();
    copy.send(out.take()).await.map_err(RebuildError::Load)?;
    copy.finish().await.map_err(RebuildError::Load)?;
    tx.commit().await.map_err(RebuildError::Load)
}

/// Says how a transaction is to see what others do.
#[derive(Clone, Copy)]
pub(super) enum Sees {
    /// Every statement what is committed by then.
    Committed,
    /// Everything as it is when this is answered.
    Snapshot,
}

/// A transaction that may take as long as a large table needs.
pub(super) async fn begin_long(
    pool: &PgPool,
    sees: Sees,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let statement = match sees {
        Sees::Committed => "begin",
        Sees::Snapshot => "begin isolation level repeatable read",
    };
    let mut tx = begin_with(pool, statement).await?;
    sqlx::query!(
        "select set_config('statement_timeout', '0', true) as statement_timeout,
                set_config('idle_in_transaction_session_timeout', '0', true) as idle_timeout"
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(tx)
}
