use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::{Client, RowOwned, RowWrite};
use event_store::fault::{self, Mutant};
use event_store::{Intent, Lease, Positioned, ProjectionStatus, Repair};
use serde::Serialize;
use uuid::Uuid;

use super::ledger::Ledger;
use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// For one insert as a whole. Shorter than any lease, so that a worker whose lease was taken is not still inserting.
pub(crate) const INSERT_DEADLINE: Duration = Duration::from_secs(8);

/// What makes one HTTP insert one block, known by its token, and on disk when it is answered.
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("input_format_parallel_parsing", "0"),
    ("insert_deduplicate", "1"),
    ("max_insert_block_size", "1048576"),
    ("min_insert_block_size_rows", "1048576"),
];

/// What a record is as a row of a ClickHouse table.
pub trait FactProjector: Send + Sync + 'static {
    const PROJECTION: Projection;
    /// Of the first version.
    const TABLE: &'static str;

    type Record: Positioned;
    type Row: RowOwned + RowWrite + Serialize + Send + Sync;

    fn row(&self, record: &Self::Record) -> Result<Self::Row, serde_json::Error>;
}

/// Rows in ClickHouse. The range is written down in Postgres first; after a crash exactly the same range goes again
/// under the same token, which ClickHouse takes for the insert that it was.
pub struct ClickHouseSink<P> {
    projector: P,
    client: Client,
    table: String,
    ledger: Ledger,
    incarnation: Uuid,
    /// The range that is written down and not known to be inserted.
    standing: Option<Intent>,
}

impl<P: FactProjector> ClickHouseSink<P> {
    /// `client` names the database; `ledger` is that of a version of the projector's own projection, `incarnation` that
    /// of the log.
    pub fn new(projector: P, client: Client, ledger: Ledger, incarnation: Uuid) -> Self {
        let (_, version) = ledger.identity();
        Self {
            projector,
            table: table(P::TABLE, version),
            // The row types are checked by the tests, against the real table.
            client: client.with_validation(false),
            ledger,
            incarnation,
            standing: None,
        }
    }

    async fn insert(
        &self,
        rows: &[P::Row],
        intent: &Intent,
    ) -> Result<(), ::clickhouse::error::Error> {
        let mut insert = self.client.insert::<P::Row>(&self.table).await?;
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(*name, *value);
        }
        let token = if fault::is_mutant(Mutant::NoDeduplicationToken) {
            // Without any, ClickHouse would go by a hash of the rows, and take equal rows for a repeat as well.
            Uuid::new_v4().to_string()
        } else {
            self.token(intent)
        };
        insert = insert.with_setting("insert_deduplication_token", token);
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await
    }

    /// Stored in ClickHouse's deduplication window; never change.
    fn token(&self, intent: &Intent) -> String {
        let (name, version) = self.ledger.identity();
        let (incarnation, from, to) = (self.incarnation, intent.from, intent.to);
        let key = intent
            .bucket
            .map_or_else(String::new, |bucket| format!("b{}:", bucket.as_i16()));
        format!("{incarnation}:{name}:{version}:0:{key}{from}-{to}")
    }

    /// Writes the intent down, unless it stands already, and the rows. What is left is to move the checkpoint.
    async fn write(
        &mut self,
        records: impl Iterator<Item = Arc<P::Record>>,
        lease: &Lease,
        intent: &Intent,
    ) -> Result<(), SinkError> {
        let mut rows = Vec::new();
        for record in records {
            let place = Place::of(&record);
            rows.push(
                self.projector
                    .row(&record)
                    .map_err(|source| SinkError::Telemetry { place, source })?,
            );
        }
        let Ledger {
            pool, checkpoints, ..
        } = &self.ledger;
        match &self.standing {
            Some(standing) if standing == intent => {}
            Some(_) => return Err(SinkError::Fenced),
            None => checkpoints.intend(pool, lease, intent).await?,
        }
        let (from, to) = (intent.from, intent.to);
        fault::point("clickhouse.before_write");
        match tokio::time::timeout(INSERT_DEADLINE, self.insert(&rows, intent)).await {
            Ok(Ok(())) => {
                fault::point("clickhouse.after_write");
                Ok(())
            }
            Ok(Err(source)) => Err(SinkError::Insert { from, to, source }),
            Err(_) => Err(SinkError::InsertDeadline {
                from,
                to,
                deadline: INSERT_DEADLINE,
            }),
        }
    }
}

impl<P: FactProjector> Sink<Arc<P::Record>> for ClickHouseSink<P> {
    fn identity(&self) -> (&str, i32) {
        self.ledger.identity()
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        let leases = self.ledger.settle().await?;
        let ledger = &self.ledger;
        self.standing = match leases.lowest() {
            None => None,
            Some(_) => ledger.checkpoints.intent(&ledger.pool).await?,
        };
        if let Some(intent) = &self.standing
            && intent.bucket.is_none()
            && leases.lowest() != Some(intent.from)
        {
            // Read one after the other, so another worker was at it in between.
            return Err(SinkError::Fenced);
        }
        Ok(Standing {
            leases,
            intent: self.standing.clone(),
        })
    }

    async fn apply(&mut self, batch: Batch<Arc<P::Record>>) -> Result<(), SinkError> {
        let leases = batch.from().clone();
        let Some(lease) = leases.iter().next() else {
            return Ok(());
        };
        let intent = Intent {
            from: lease.checkpoint,
            to: batch.to(),
            bucket: None,
            left_out: batch.withheld().within(lease.checkpoint, batch.to()),
        };
        self.write(batch.into_pending(), lease, &intent).await?;
        let Ledger {
            pool, checkpoints, ..
        } = &self.ledger;
        checkpoints.fulfil(pool, &leases, intent.to).await?;
        self.standing = None;
        Ok(())
    }

    async fn repair(
        &mut self,
        repair: Repair,
        records: Vec<Arc<P::Record>>,
    ) -> Result<(), SinkError> {
        let intent = Intent {
            from: repair.after,
            to: repair.to,
            bucket: Some(repair.key.bucket),
            left_out: repair.left_out.clone(),
        };
        self.write(records.into_iter(), &repair.lease, &intent)
            .await?;
        let Ledger {
            pool, checkpoints, ..
        } = &self.ledger;
        checkpoints.fulfil_repair(pool, &repair).await?;
        self.standing = None;
        Ok(())
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.ledger.report(status, last_error).await;
    }
}

/// A table of a version: the first has the plain name. Stored; never change.
pub(crate) fn table(name: &str, version: i32) -> String {
    match version {
        1 => name.to_owned(),
        later => format!("{name}_v{later}"),
    }
}
