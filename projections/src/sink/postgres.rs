use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use event_store::{Leases, ProjectionStatus, RecordedEvent, Repair, begin, fault};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::copy::CopyRows;
use super::ledger::Ledger;
use crate::fold::{Change, Fold, Folded, Place, ProjectError, Rows};
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// The table that keeps the rows of a read model. Everything runs inside a transaction with `search_path` at the
/// version's own schema.
pub trait PgProjector: Rows {
    /// Those of the rows that stand.
    fn load(
        tx: &mut PgConnection,
        keys: &[Uuid],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;

    /// Puts each row in the place of the one with its key, if any.
    fn store(
        tx: &mut PgConnection,
        rows: &[Self::Row],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Removes those of the rows that stand.
    fn remove(
        tx: &mut PgConnection,
        keys: &[Uuid],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The statement that takes rows in bulk, as [`PgProjector::copy`] writes them.
    const COPY: &'static str;

    fn copy(row: &Self::Row, out: &mut CopyRows);
}

/// A Postgres read model: rows and checkpoint commit together.
pub struct PgSink<P> {
    /// Nothing but what the type says.
    _projector: P,
    ledger: Ledger,
    schema: String,
}

/// What moves with the rows.
enum Moved<'a> {
    Batch { from: &'a Leases, to: i64 },
    Key(&'a Repair),
}

impl<P: PgProjector> PgSink<P> {
    /// `ledger` is that of a version of the projector's own projection.
    pub fn new(projector: P, ledger: Ledger) -> Self {
        let (name, version) = ledger.identity();
        Self {
            _projector: projector,
            schema: schema(name, version),
            ledger,
        }
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, SinkError> {
        let mut tx = begin(&self.ledger.pool).await.map_err(SinkError::Begin)?;
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
        Ok(tx)
    }

    /// However many events, a handful of statements.
    async fn write(
        &self,
        records: impl Iterator<Item = &Arc<RecordedEvent>>,
        moved: Moved<'_>,
    ) -> Result<(), SinkError> {
        let mut changes = Vec::new();
        for recorded in records {
            changes.extend(Change::<P>::of(recorded)?);
        }
        fault::point("postgres.before_write");
        let mut tx = self.begin().await?;
        // Before the rows: of two workers, the later is to be fenced and not to meet the other's rows.
        let checkpoints = &self.ledger.checkpoints;
        match moved {
            Moved::Batch { from, to } => checkpoints.advance(&mut tx, from, to).await?,
            Moved::Key(repair) => checkpoints.unpark(&mut tx, repair).await?,
        }
        if !changes.is_empty() {
            let outcome = Outcome::of(fold(&mut tx, changes).await?);
            if let Err(error) = outcome.write::<P>(&mut tx).await {
                drop(tx);
                if !error.is_transient() {
                    self.find_refused(&outcome).await?;
                }
                return Err(error);
            }
        }
        fault::point("postgres.after_write");
        tx.commit().await.map_err(SinkError::Commit)
    }

    /// Fails with the first event of a row which the table refuses: stores the rows one by one, in a transaction
    /// that is dropped.
    async fn find_refused(&self, outcome: &Outcome<P::Row>) -> Result<(), SinkError> {
        let mut tx = self.begin().await?;
        outcome.remove::<P>(&mut tx).await?;
        for (row, place) in outcome.rows.iter().zip(&outcome.places) {
            P::store(&mut tx, std::slice::from_ref(row))
                .await
                .map_err(|source| SinkError::Project {
                    place: *place,
                    source: ProjectError::Store(source),
                })?;
        }
        Ok(())
    }
}

impl<P: PgProjector> Sink<Arc<RecordedEvent>> for PgSink<P> {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        Ok(Standing {
            leases: self.ledger.settle().await?,
            intent: None,
        })
    }

    async fn apply(&mut self, batch: Batch<Arc<RecordedEvent>>) -> Result<(), SinkError> {
        let moved = Moved::Batch {
            from: batch.from(),
            to: batch.to(),
        };
        self.write(batch.pending(), moved).await
    }

    async fn repair(
        &mut self,
        repair: Repair,
        records: Vec<Arc<RecordedEvent>>,
    ) -> Result<(), SinkError> {
        self.write(records.iter(), Moved::Key(&repair)).await
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}

async fn fold<P: PgProjector>(
    tx: &mut PgConnection,
    changes: Vec<Change<'_, P>>,
) -> Result<HashMap<Uuid, Folded<P::Row>>, SinkError> {
    let keys: HashSet<Uuid> = changes.iter().map(Change::key).collect();
    let keys: Vec<Uuid> = keys.into_iter().collect();
    let rows = P::load(tx, &keys).await.map_err(SinkError::LoadRows)?;
    let mut rows: HashMap<Uuid, P::Row> = rows.into_iter().map(|row| (P::key(&row), row)).collect();
    let mut fold = Fold::<P>::default();
    for change in changes {
        fold.apply(change, |key| rows.remove(&key))?;
    }
    Ok(fold.into_rows())
}

/// What a batch leaves in the table.
struct Outcome<R> {
    rows: Vec<R>,
    /// For each row, the first event that changed it.
    places: Vec<Place>,
    removed: Vec<Uuid>,
}

impl<R> Outcome<R> {
    /// In order of the events.
    fn of(folded: HashMap<Uuid, Folded<R>>) -> Self {
        let mut folded: Vec<_> = folded.into_iter().collect();
        folded.sort_unstable_by_key(|(_, Folded { place, .. })| place.position);
        let (mut rows, mut places, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (key, Folded { row, place }) in folded {
            match row {
                Some(row) => {
                    rows.push(row);
                    places.push(place);
                }
                None => removed.push(key),
            }
        }
        Self {
            rows,
            places,
            removed,
        }
    }

    async fn write<P: PgProjector<Row = R>>(&self, tx: &mut PgConnection) -> Result<(), SinkError> {
        self.remove::<P>(tx).await?;
        if !self.rows.is_empty() {
            P::store(tx, &self.rows)
                .await
                .map_err(SinkError::StoreRows)?;
        }
        Ok(())
    }

    async fn remove<P: PgProjector<Row = R>>(
        &self,
        tx: &mut PgConnection,
    ) -> Result<(), SinkError> {
        if !self.removed.is_empty() {
            P::remove(tx, &self.removed)
                .await
                .map_err(SinkError::RemoveRows)?;
        }
        Ok(())
    }
}

/// A version's own. Stored; never change.
pub(crate) fn schema(name: &str, version: i32) -> String {
    format!("rm_{name}_v{version}")
}

/// One value of every row, to be one of the arrays that a statement takes apart again.
pub(crate) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
