//! Reading what the projectors built: as one tenant, at one position.

use std::sync::Arc;

use domain::AccountId;
use event_store::{LogName, StoreError, Token, begin_with, vault::VaultError};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::positions::PositionError;
use crate::projection::Projection;

/// What was read, and the position of the log up to which it is complete.
#[derive(Clone, Debug)]
pub struct AsOf<T> {
    pub value: T,
    pub position: Token,
}

impl<T> AsOf<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> AsOf<U> {
        AsOf {
            value: change(self.value),
            position: self.position,
        }
    }
}

/// Rows in order of `position`, and whether there are more after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Of up to `limit + 1` rows.
    pub(crate) fn of(mut rows: Vec<T>, limit: u16) -> Self {
        let has_more = rows.len() > usize::from(limit);
        rows.truncate(usize::from(limit));
        Self { rows, has_more }
    }
}

/// Why a read failed. All but the last two say that an engine did not serve: the same read may succeed later.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("could not begin a read of {models:?}")]
    Begin {
        models: Vec<Projection>,
        source: sqlx::Error,
    },
    #[error("could not read {model}")]
    Query {
        model: Projection,
        source: sqlx::Error,
    },
    #[error("could not look for what {table} holds about a person")]
    Held { table: String, source: sqlx::Error },
    #[error("could not read which version of {model} is served")]
    Served {
        model: Projection,
        source: Arc<sqlx::Error>,
    },
    #[error("could not read counters from Redis")]
    Counters(#[source] redis::RedisError),
    #[error("could not read analytics from ClickHouse")]
    Analytics(#[source] clickhouse::error::Error),
    #[error("could not read the API keys of an account")]
    Account(#[source] Arc<StoreError>),
    #[error("could not read the position of a projection")]
    Position(#[source] PositionError),
    #[error("could not open a buyer's name")]
    Open(#[source] VaultError),
    #[error("Redis holds counters of another incarnation of the telemetry log")]
    OtherIncarnation,
    #[error("{model} holds {value:?}, which this build does not know")]
    Stored { model: Projection, value: String },
}

/// The only way to a read connection for tenant data: one snapshot, read-only, of one account's rows. Row-level
/// security shows nothing where no account is set.
pub struct ReadTx {
    tx: Transaction<'static, Postgres>,
    position: Token,
}

impl ReadTx {
    /// `pool` connects as [`event_store::Role::Reader`]. `models` are Postgres read models; their served versions are
    /// read.
    pub async fn begin(
        pool: &PgPool,
        account: AccountId,
        models: &[Projection],
    ) -> Result<Self, ReadError> {
        Self::begin_as(pool, &account.to_string(), models).await
    }

    /// Sees no tenant's rows; for what is looked up by an unguessable key, through functions made for that.
    pub(crate) async fn begin_anonymous(
        pool: &PgPool,
        models: &[Projection],
    ) -> Result<Self, ReadError> {
        Self::begin_as(pool, "", models).await
    }

    async fn begin_as(
        pool: &PgPool,
        account: &str,
        models: &[Projection],
    ) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Begin {
            models: models.to_vec(),
            source,
        };
        let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
        // One snapshot, so that the position is that of the rows.
        let begun = begin_with(pool, "begin isolation level repeatable read, read only").await;
        let mut tx = begun.map_err(failed)?;
        let row = sqlx::query_file!("sql/begin_read.sql", account, &names as _)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        let position = Token {
            log: LogName::Events,
            incarnation: row.incarnation,
            position: row.position,
        };
        Ok(Self { tx, position })
    }

    /// From here on, the transaction sees this account's rows.
    pub(crate) async fn become_account(&mut self, account: AccountId) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "select set_config('proofline.account', $1, true)",
            account.to_string()
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// The position of the domain log up to which every model of this transaction is complete.
    pub fn position(&self) -> Token {
        self.position
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    pub(crate) fn as_of<T>(&self, value: T) -> AsOf<T> {
        AsOf {
            value,
            position: self.position,
        }
    }
}
