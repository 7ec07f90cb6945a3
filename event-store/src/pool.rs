//! Connections to Postgres, each as a runtime role that owns nothing.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The runtime roles. Stored in the database; never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer,
    Projector,
    Reader,
    Vault,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "proofline_writer",
            Self::Projector => "proofline_projector",
            Self::Reader => "proofline_reader",
            Self::Vault => "proofline_vault",
        }
    }
}

/// Longer than the server's own limit on a statement: beyond it, nobody is there any more. Without it, a host that is gone
/// without a word would hold a lane until TCP gives up.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Calls of a lane in flight: two, so that one is parsed while the other waits for the disk.
pub(crate) const CALLS_MAX: usize = 2;
/// Of a lane: one more, to find out about lost replies.
const CONNECTIONS: usize = CALLS_MAX + 1;
const ACQUIRE_WITHIN: Duration = Duration::from_secs(2);
/// After this a connection goes by its pool again, which knows how old it may become.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// What a call that was not answered in time is: its outcome is not known. The connection must not go back to its pool.
pub(crate) fn not_answered(connection: PoolConnection<Postgres>) -> sqlx::Error {
    drop(connection.detach());
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

/// The connections of a lane's calls. A pool tries every connection that comes back to it, which would be a round trip for
/// each call; those of calls that went well are kept here for a minute instead.
pub(crate) struct Calls {
    pool: PgPool,
    /// One for each connection of the pool: nobody waits for the pool while a connection is kept.
    turns: Arc<Semaphore>,
    kept: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
}

/// A connection for one call. Dropped, it goes back to the pool.
pub(crate) struct Lent {
    pub(crate) connection: PoolConnection<Postgres>,
    /// When the pool gave it.
    since: Instant,
    turn: OwnedSemaphorePermit,
}

impl Calls {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            turns: Arc::new(Semaphore::new(CONNECTIONS)),
            kept: Mutex::default(),
        }
    }

    pub(crate) async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        let turn = timeout(ACQUIRE_WITHIN, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let kept = self.kept().pop();
        let young = kept.filter(|(_, since)| since.elapsed() < KEPT_FOR);
        let (connection, since) = match young {
            Some(kept) => kept,
            None => (self.pool.acquire().await?, Instant::now()),
        };
        Ok(Lent {
            connection,
            since,
            turn,
        })
    }

    /// Takes back the connection of a call that was answered.
    pub(crate) fn keep(&self, lent: Lent) {
        self.kept().push((lent.connection, lent.since));
        drop(lent.turn);
    }

    /// Gives up all that are kept: where one has broken, the others are likely to.
    pub(crate) fn give_up(&self) {
        let given_up = mem::take(&mut *self.kept());
        for (connection, _) in given_up {
            drop(connection.detach());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(PoolConnection<Postgres>, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
