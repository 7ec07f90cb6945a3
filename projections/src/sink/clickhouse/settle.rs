//! What becomes of a range that may be in ClickHouse wholly, in part or not at all, since whoever sent it was never told.
//!
//! Sending it again under its token would not do. ClickHouse notes a token in a step of its own: before the rows are in
//! place, so that what a crash in between kept out would be kept out for ever, or, in its latest sources, afterwards, so that
//! it would come twice; and no setting syncs what was noted (ClickHouse issue 111577). A materialized view has a token, and
//! thus such a moment, of its own. So what is there is looked at, and what is absent is inserted.

use std::collections::HashSet;
use std::time::Duration;

use ::clickhouse::error::Error as ClickHouseError;
use ::clickhouse::query::Query;
use ::clickhouse::{RowOwned, RowRead};
use event_store::Lease;
use uuid::Uuid;

use super::{ClickHouseSink, FactProjector, INSERT_DEADLINE, Range, TOKEN, table};
use crate::runtime::SinkError;

/// Inserts and corrections of one range, before it is left for the next attempt.
const STEPS_MAX: u32 = 4;
/// For one look. Nothing hangs on it that somebody else could do meanwhile.
const LOOK_DEADLINE: Duration = Duration::from_secs(60);

impl<P: FactProjector> ClickHouseSink<P> {
    /// Brings every row of the range into its table once and makes the sums those of the table. Goes by what is there at
    /// each step, so that it may be cut off anywhere and begun again, here or by another worker. Fenced before each step that
    /// writes, where the lease is somebody else's by now.
    pub(super) async fn settle(
        &self,
        range: &Range<'_, P::Row>,
        lease: &Lease,
    ) -> Result<(), SinkError> {
        let (from, to) = (range.intent.from, range.intent.to);
        for step in 0..STEPS_MAX {
            // Also where another token is taken below: rows that are absent while nothing runs are not on their way.
            if self.is_inserting(range).await? {
                return Err(SinkError::StillInserting { from, to });
            }
            let absent = self.absent(range).await?;
            if !absent.is_empty() {
                let token = match step {
                    0 => self.token(range.intent),
                    // The same for whoever comes here, so that of two who do one is the repeat of the other.
                    1 => format!("{}:again", self.token(range.intent)),
                    // Both are known, and their rows are not there.
                    _ => format!("{}:{}", self.token(range.intent), Uuid::now_v7()),
                };
                let rows = absent.len();
                tracing::info!(from, to, step, rows, "inserting what is absent");
                self.check_held(lease).await?;
                self.insert(absent.into_iter(), token, range.intent).await?;
                continue;
            }
            let (uneven, looked_at) = self.uneven(range).await?;
            if uneven == 0 {
                return Ok(());
            }
            tracing::warn!(
                from,
                to,
                step,
                uneven,
                table = P::ROLLED_UP,
                "correcting sums"
            );
            self.check_held(lease).await?;
            self.even_out(range, looked_at).await?;
        }
        Err(SinkError::Unsettled { from, to })
    }

    async fn check_held(&self, lease: &Lease) -> Result<(), SinkError> {
        let checkpoints = &self.ledger.checkpoints;
        Ok(checkpoints.check_held(&self.ledger.pool, lease).await?)
    }

    /// Whether the server works on an insert of this version, such as one that its client gave up.
    async fn is_inserting(&self, range: &Range<'_, P::Row>) -> Result<bool, SinkError> {
        let running: Vec<u64> = self.look(RUNNING, range).await?;
        Ok(running != [0])
    }

    async fn absent<'a>(&self, range: &'a Range<'_, P::Row>) -> Result<Vec<&'a P::Row>, SinkError> {
        let present: Vec<u64> = self.look(P::PRESENT, range).await?;
        let present: HashSet<u64> = present.into_iter().collect();
        let rows = range.positions.iter().zip(&range.rows);
        Ok(rows
            .filter(|(position, _)| !present.contains(position))
            .map(|(_, row)| row)
            .collect())
    }

    /// How many sums are not those of the table, and when that was, by the server's clock (milliseconds since 1970).
    async fn uneven(&self, range: &Range<'_, P::Row>) -> Result<(u64, i64), SinkError> {
        let count = format!(
            "select count(), toUnixTimestamp64Milli(now64(3)) from ({})",
            P::UNEVEN
        );
        let counted: Vec<(u64, i64)> = self.look(&count, range).await?;
        // One row, as an aggregation without groups has.
        Ok(counted.first().copied().unwrap_or_default())
    }

    /// Adds what is missing of the sums, and takes away what is too much. Not while somebody inserts: of what is on its way
    /// only one of the two tables may have its part. Nor two seconds later than it was looked at, when a worker that froze in
    /// between is taken for dead. Never taken for a repeat.
    async fn even_out(&self, range: &Range<'_, P::Row>, looked_at: i64) -> Result<(), SinkError> {
        let correct = format!(
            "insert into {{rolled_up:Identifier}} select * from ({})
             where ({RUNNING}) = 0 and toUnixTimestamp64Milli(now64(3)) < {{looked_at:Int64}} + 2000",
            P::UNEVEN
        );
        let correcting = self
            .of_range(&correct, range)
            .param("looked_at", looked_at)
            .with_setting(TOKEN, format!("{}even:{}", self.tokens(), Uuid::now_v7()))
            .execute();
        let (from, to) = (range.intent.from, range.intent.to);
        tokio::time::timeout(INSERT_DEADLINE, correcting)
            .await
            .unwrap_or(Err(ClickHouseError::TimedOut))
            .map_err(|source| SinkError::EvenOut { from, to, source })
    }

    async fn look<T: RowOwned + RowRead>(
        &self,
        sql: &str,
        range: &Range<'_, P::Row>,
    ) -> Result<Vec<T>, SinkError> {
        let (from, to) = (range.intent.from, range.intent.to);
        let query = self
            .of_range(sql, range)
            .with_setting("max_execution_time", LOOK_DEADLINE.as_secs().to_string());
        tokio::time::timeout(LOOK_DEADLINE, query.fetch_all())
            .await
            .unwrap_or(Err(ClickHouseError::TimedOut))
            .map_err(|source| SinkError::LookUp { from, to, source })
    }

    fn of_range(&self, sql: &str, range: &Range<'_, P::Row>) -> Query {
        let (_, version) = self.ledger.identity();
        let (since, until) = range.received.unwrap_or_default();
        self.client
            .query(sql)
            .param("table", &self.table)
            .param("rolled_up", table(P::ROLLED_UP, version))
            .param("tokens", self.tokens())
            .param("after", range.intent.from)
            .param("to", range.intent.to)
            .param("since", since.timestamp_micros())
            .param("until", until.timestamp_micros())
    }
}

/// Counts inserts whose token begins with `{tokens}`, but for the one that asks.
const RUNNING: &str = include_str!("../../../sql/count_running_inserts.sql");
