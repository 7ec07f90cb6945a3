//! Looking back as a compliance officer of one account: its events, newest first, and who opened its personal data.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::access_log::NotedAccess;
use crate::token::{LogName, Token};

/// The only way to an account's events and accesses for whoever audits it: one snapshot, read-only. Row-level security shows
/// nothing where no account is set.
pub struct AuditTx {
    tx: Transaction<'static, Postgres>,
    position: Token,
}

impl AuditTx {
    /// `pool` connects as [`crate::Role::Compliance`].
    pub async fn begin(pool: &PgPool, account: Uuid) -> Result<Self, sqlx::Error> {
        let mut tx = pool
            .begin_with("begin isolation level repeatable read, read only")
            .await?;
        let log = sqlx::query!(
            r#"select set_config('proofline.account', $1, true) as "account!", incarnation,
                      es.events_head() as "head!"
               from es.log where name = 'events'"#,
            account.to_string()
        )
        .fetch_one(&mut *tx)
        .await?;
        let position = Token {
            log: LogName::Events,
            incarnation: log.incarnation,
            position: log.head,
        };
        Ok(Self { tx, position })
    }

    /// The last position of the log. All of the account's events up to there are seen.
    pub fn position(&self) -> Token {
        self.position
    }

    /// Who opened the account's personal data since a time, newest first, at most `limit`. `before` is the id of the last
    /// one known.
    pub async fn accesses(
        &mut self,
        before: Option<i64>,
        since: Option<DateTime<Utc>>,
        limit: i64,
    ) -> Result<Vec<NotedAccess>, sqlx::Error> {
        sqlx::query_file_as!(
            NotedAccess,
            "sql/select_accesses.sql",
            before.unwrap_or(i64::MAX),
            since,
            limit
        )
        .fetch_all(&mut *self.tx)
        .await
    }
}
