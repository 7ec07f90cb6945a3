//! Connections to Postgres, each as a runtime role that owns nothing.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tracing::Instrument as _;

use crate::calls::{ACQUIRE_WITHIN, CONNECTIONS};

/// The runtime roles. Stored in the database; never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer,
    Projector,
    Reader,
    Sealer,
    Compliance,
    Vault,
    /// Makes backups.
    Maintenance,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "proofline_writer",
            Self::Projector => "proofline_projector",
            Self::Reader => "proofline_reader",
            Self::Sealer => "proofline_sealer",
            Self::Compliance => "proofline_compliance",
            Self::Vault => "proofline_vault",
            Self::Maintenance => "proofline_maintenance",
        }
    }
}

/// A pool for a lane, as [`Role::Writer`]: two calls in flight, and one connection to find out about lost replies. A
/// connection is not tried before it is used; a lane finds out by itself what became of a call. What each new connection
/// leads to is looked at first: it may be another cluster than the last one.
pub fn connect_lane(url: &str) -> Result<PgPool, sqlx::Error> {
    Ok(options(CONNECTIONS as u32)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(recognise_cluster(connection)))
        .connect_lazy_with(session(url, Role::Writer)?))
}

/// Gives the logs new incarnations where this is another cluster or timeline than they were written in.
pub(crate) async fn recognise_cluster(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let moved = sqlx::query_scalar!(r#"select es.recognise_cluster() as "moved!""#)
        .fetch_one(connection)
        .await?;
    if moved {
        tracing::error!(
            "the database was restored or promoted and may have lost the tail of its logs: they have new incarnations, \
             every process is to be restarted, and every projection that has read the old logs to be rebuilt"
        );
    }
    Ok(())
}

/// A pool whose connections act as `role` from their first statement on. Connects lazily: an engine that is down is an
/// error of the statement, not of the start.
pub fn connect(url: &str, role: Role, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    Ok(options(connections_max).connect_lazy_with(session(url, role)?))
}

/// Begins a transaction, whatever becomes of the caller meanwhile. sqlx 0.8 gives a connection whose user was cut off during
/// BEGIN back to its pool within that transaction, where nothing that its next user writes would ever be committed
/// (transact-rs/sqlx#4393): so nobody begins one by other means.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "begin").await
}

/// The same by another statement than `begin`.
#[expect(clippy::disallowed_methods, reason = "it is not cut off")]
pub async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    // Who is not there any more to take it, has it rolled back.
    let begun = tokio::spawn(async move { pool.begin_with(statement).await }.in_current_span());
    begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

fn options(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_WITHIN)
}

fn session(url: &str, role: Role) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name(role.as_str())
        .options([
            ("role", role.as_str()),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]))
}
