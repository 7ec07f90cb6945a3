//! What becomes of a range that may be in ClickHouse wholly, in part or not at all, since whoever sent it was never told.
//!
//! Sending it again under its token would not do. ClickHouse 26.7 notes a token before the rows are in place, so that what
//! a crash in between kept out would be kept out for ever; later versions note it afterwards, so that it would come twice;
//! and no setting makes any of them sync what they noted (ClickHouse issue 111577). A materialized view has a token, and
//! thus such a moment, of its own. So what is there is looked at, and what is absent is inserted.

use std::collections::HashSet;

use ::clickhouse::error::Error as ClickHouseError;
use ::clickhouse::query::Query;
use uuid::Uuid;

use super::{ClickHouseSink, FactProjector, Range, TOKEN, table};

/// Inserts and corrections of one range, before it is left for the next attempt.
const STEPS_MAX: u32 = 4;

/// Why a range could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("ClickHouse refused")]
    ClickHouse(#[from] ClickHouseError),
    #[error("ClickHouse is still at an insert that nobody waits for")]
    StillInserting,
    #[error("what was inserted did not come to stand in ClickHouse")]
    Unsettled,
}

impl<P: FactProjector> ClickHouseSink<P> {
    /// Brings every row of the range into its table once and makes the sums those of the table. Goes by what is there at
    /// each step, so that it may be cut off anywhere and begun again, here or by another worker.
    pub(super) async fn settle(&self, range: &Range<'_, P::Row>) -> Result<(), SettleError> {
        let (from, to) = (range.intent.from, range.intent.to);
        for step in 0..STEPS_MAX {
            // Also where another token is taken below: rows that are absent while nothing runs are not on their way.
            if self.is_inserting().await? {
                return Err(SettleError::StillInserting);
            }
            let absent = self.absent(range).await?;
            if !absent.is_empty() {
                let token = match step {
                    0 => self.token(range.intent),
                    again => format!("{}:{again}", self.token(range.intent)),
                };
                tracing::info!(
                    from,
                    to,
                    step,
                    rows = absent.len(),
                    "inserting what is absent"
                );
                self.insert(absent.into_iter(), token).await?;
            } else if self.is_even(range).await? {
                return Ok(());
            } else {
                tracing::warn!(from, to, step, table = P::ROLLED_UP, "correcting sums");
                self.even_out(range).await?;
            }
        }
        Err(SettleError::Unsettled)
    }

    /// Whether the server works on an insert of this version, such as one that its client gave up.
    async fn is_inserting(&self) -> Result<bool, ClickHouseError> {
        let running = self.client.query(RUNNING).param("tokens", self.tokens());
        Ok(running.fetch_one::<u64>().await? > 0)
    }

    async fn absent<'a>(
        &self,
        range: &'a Range<'_, P::Row>,
    ) -> Result<Vec<&'a P::Row>, ClickHouseError> {
        let present = self.of_range(P::PRESENT, range).fetch_all::<u64>().await?;
        let present: HashSet<u64> = present.into_iter().collect();
        let rows = range.positions.iter().zip(&range.rows);
        Ok(rows
            .filter(|(position, _)| !present.contains(position))
            .map(|(_, row)| row)
            .collect())
    }

    async fn is_even(&self, range: &Range<'_, P::Row>) -> Result<bool, ClickHouseError> {
        let count = format!("select count() from ({})", P::UNEVEN);
        let uneven = self.of_range(&count, range).fetch_one::<u64>().await?;
        Ok(uneven == 0)
    }

    /// Adds what is missing of the sums, and takes away what is too much, unless somebody inserts: of what is on its way
    /// only one of the two tables may have its part. Never taken for a repeat.
    async fn even_out(&self, range: &Range<'_, P::Row>) -> Result<(), ClickHouseError> {
        let correct = format!(
            "insert into {{rolled_up:Identifier}} select * from ({}) where ({RUNNING}) = 0",
            P::UNEVEN
        );
        self.of_range(&correct, range)
            .with_setting(TOKEN, format!("{}even:{}", self.tokens(), Uuid::now_v7()))
            .execute()
            .await
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
