mod settle;

use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::{Client, RowOwned, RowWrite};
use chrono::{DateTime, Utc};
use event_store::fault::{self, Mutant};
use event_store::{Intent, Lease, Positioned, ProjectionStatus, Repair};
use serde::Serialize;
use uuid::Uuid;

use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::{Batch, Sink, SinkError, Standing};
use crate::sink::Ledger;

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

/// The setting that names an insert.
const TOKEN: &str = "insert_deduplication_token";

/// What a record is as a row of a ClickHouse table.
pub trait FactProjector: Send + Sync + 'static {
    const PROJECTION: Projection;
    /// Of the first version.
    const TABLE: &'static str;

    /// The table of sums that follows the first version's table by a materialized view.
    const ROLLED_UP: &'static str;
    /// Selects those positions of a range that stand in `{table}`. A range is what came after `{after}` up to `{to}`,
    /// received from `{since}` to `{until}` (microseconds since 1970).
    const PRESENT: &'static str;
    /// Selects what has to be added to `{rolled_up}`, modulo 2^64, for it to have the sums of `{table}` in every group that a
    /// row of the range belongs to.
    const UNEVEN: &'static str;

    type Record: Positioned;
    type Row: RowOwned + RowWrite + Serialize + Send + Sync;

    fn row(&self, record: &Self::Record) -> Result<Self::Row, serde_json::Error>;

    /// What the table is partitioned by.
    fn received_at(record: &Self::Record) -> DateTime<Utc>;
}

/// Rows in ClickHouse. The range is written down in Postgres first, and sent under a token by which ClickHouse knows a
/// repeat, so that an insert that comes late changes nothing. Of a range that may have been sent before, what is there is
/// looked at, and what is absent is inserted: the token alone would not do.
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

    /// Inserts rows of the range, known by the token.
    async fn insert(
        &self,
        rows: impl Iterator<Item = &P::Row>,
        token: String,
        &Intent { from, to, .. }: &Intent,
    ) -> Result<(), SinkError> {
        match tokio::time::timeout(INSERT_DEADLINE, self.send(rows, token)).await {
            Ok(sent) => sent.map_err(|source| SinkError::Insert { from, to, source }),
            Err(_) => Err(SinkError::InsertDeadline {
                from,
                to,
                deadline: INSERT_DEADLINE,
            }),
        }
    }

    async fn send(
        &self,
        rows: impl Iterator<Item = &P::Row>,
        token: String,
    ) -> Result<(), ::clickhouse::error::Error> {
        let mut insert = self.client.insert::<P::Row>(&self.table).await?;
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(*name, *value);
        }
        insert = insert.with_setting(TOKEN, token);
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await
    }

    /// What all tokens of this version begin with.
    fn tokens(&self) -> String {
        let (name, version) = self.ledger.identity();
        format!("{}:{name}:{version}:", self.incarnation)
    }

    /// Stored in ClickHouse's deduplication window; never change.
    fn token(&self, intent: &Intent) -> String {
        let (tokens, from, to) = (self.tokens(), intent.from, intent.to);
        let key = intent
            .bucket
            .map_or_else(String::new, |bucket| format!("b{}:", bucket.as_i16()));
        format!("{tokens}0:{key}{from}-{to}")
    }

    /// Writes the intent down, unless it stands already, and the rows. What is left is to move the checkpoint.
    async fn write(
        &mut self,
        records: impl Iterator<Item = Arc<P::Record>>,
        lease: &Lease,
        intent: &Intent,
    ) -> Result<(), SinkError> {
        let range = self.range(records, intent)?;
        let Ledger {
            pool, checkpoints, ..
        } = &self.ledger;
        let is_standing = match &self.standing {
            Some(standing) if standing == intent => true,
            Some(_) => return Err(SinkError::Fenced),
            None => {
                checkpoints.intend(pool, lease, intent).await?;
                false
            }
        };
        fault::point("clickhouse.before_write");
        if fault::is_mutant(Mutant::NoSettling) {
            let token = Uuid::new_v4().to_string();
            self.insert(range.rows.iter(), token, intent).await?;
        } else if is_standing {
            self.settle(&range, lease).await?;
        } else {
            let token = self.token(intent);
            self.insert(range.rows.iter(), token, intent).await?;
        }
        fault::point("clickhouse.after_write");
        Ok(())
    }

    fn range<'a>(
        &self,
        records: impl Iterator<Item = Arc<P::Record>>,
        intent: &'a Intent,
    ) -> Result<Range<'a, P::Row>, SinkError> {
        let mut range = Range {
            intent,
            rows: Vec::new(),
            positions: Vec::new(),
            received: None,
        };
        for record in records {
            let place = Place::of(&record);
            let row = self.projector.row(&record);
            range
                .rows
                .push(row.map_err(|source| SinkError::Telemetry { place, source })?);
            range.positions.push(place.position.cast_unsigned());
            let at = P::received_at(&record);
            let (since, until) = range.received.unwrap_or((at, at));
            range.received = Some((since.min(at), until.max(at)));
        }
        Ok(range)
    }
}

/// What is written down to be written, as rows.
struct Range<'a, R> {
    intent: &'a Intent,
    rows: Vec<R>,
    /// Of the rows.
    positions: Vec<u64>,
    /// When the first and the last of them were received.
    received: Option<(DateTime<Utc>, DateTime<Utc>)>,
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
