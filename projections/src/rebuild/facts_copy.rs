//! The rows of facts, for a backup. A telemetry event's row never changes, so what a version has up to a checkpoint is the
//! same whenever it is read. The roll-up is not copied: it is made of the rows as they come.

use ::clickhouse::Client;
use ::clickhouse::insert_formatted::InsertFormatted;
use ::clickhouse::query::BytesCursor;
use sqlx::PgPool;

use super::clickhouse::create;
use super::error::RebuildError;
use crate::projection::Projection;
use crate::sink::{FactProjector as _, table};
use crate::telemetry_facts::TelemetryFacts;

/// A version's table of rows.
pub struct FactsCopy<'a> {
    /// Names the database that it is in.
    pub client: &'a Client,
    pub version: i32,
}

impl FactsCopy<'_> {
    /// Positions whose rows are copied together: a hundred megabytes or two, and one block of ClickHouse's.
    pub const POSITIONS_MAX: i64 = 1_000_000;

    /// The rows after a position up to another one, in ClickHouse's format `Native`.
    pub fn read(&self, after: i64, to: i64) -> Result<BytesCursor, RebuildError> {
        self.client
            .query(include_str!("../../sql/select_telemetry_rows.sql"))
            .param("table", self.table())
            .param("after", after)
            .param("to", to)
            .fetch_bytes("Native")
            .map_err(RebuildError::ClickHouse)
    }

    /// Makes the version's tables, as the database `pool` connects to says; the database that the client names must be empty.
    /// `pool` connects as [`event_store::Role::Projector`].
    pub async fn create(&self, pool: &PgPool) -> Result<(), RebuildError> {
        create(pool, self.client, Projection::TelemetryFacts, self.version).await
    }

    /// Takes what [`FactsCopy::read`] gave, piece by piece; nothing of it is there before it was ended.
    pub fn insert(&self) -> InsertFormatted {
        let statement = format!("insert into {} format Native", self.table());
        self.client.insert_formatted_with(statement)
    }

    fn table(&self) -> String {
        table(TelemetryFacts::TABLE, self.version)
    }
}
