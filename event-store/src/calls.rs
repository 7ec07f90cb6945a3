//! What the lanes have in common towards the database: their connections, how long a call may take, and what a failed one
//! says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Calls of a lane in flight: two, so that one is parsed while the other waits for the disk.
pub(crate) const CALLS_MAX: usize = 2;
/// Of a lane: one more, to find out about lost replies.
pub(crate) const CONNECTIONS: usize = CALLS_MAX + 1;
pub(crate) const ACQUIRE_WITHIN: Duration = Duration::from_secs(2);
/// Longer than the server's own limit on a statement: beyond it, nobody is there any more. Without it, a host that is gone
/// without a word would hold a lane until TCP gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// After this a connection goes by its pool again, which knows how old it may become.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The connections of a lane's calls. A pool tries every connection that comes back to it, which would be a round trip for
/// each call; those of calls that went well are kept here for a minute instead.
pub(crate) struct Calls {
    pool: PgPool,
    /// One for each connection of the pool: nobody waits for the pool while a connection is kept.
    turns: Arc<Semaphore>,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    connection: PoolConnection<Postgres>,
    /// When the pool gave it.
    since: Instant,
}

impl Calls {
    /// `pool` is made by [`crate::connect_lane`], as a rule. One that others use too has one connection more than the lane has
    /// calls.
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            turns: Arc::new(Semaphore::new(CONNECTIONS)),
            kept: Mutex::default(),
        }
    }

    /// Makes a call. One that failed, or was not answered in time, costs its connection; where it broke, the others that are
    /// kept are given up, too.
    pub(crate) async fn run<T>(
        &self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let _turn = self.turn().await?;
        let mut kept = self.take().await?;
        let error = match timeout(ANSWER_WITHIN, call(&mut kept.connection)).await {
            Ok(Ok(answer)) => {
                self.kept().push(kept);
                return Ok(answer);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                drop(kept.connection.detach());
                sqlx::Error::Io(io::ErrorKind::TimedOut.into())
            }
        };
        if matches!(failure(&error), Failure::Lost) {
            for other in mem::take(&mut *self.kept()) {
                drop(other.connection.detach());
            }
        }
        Err(error)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        timeout(ACQUIRE_WITHIN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)
    }

    async fn take(&self) -> Result<Kept, sqlx::Error> {
        let kept = self.kept().pop();
        match kept.filter(|kept| kept.since.elapsed() < KEPT_FOR) {
            Some(kept) => Ok(kept),
            None => Ok(Kept {
                connection: self.pool.acquire().await?,
                since: Instant::now(),
            }),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a failed call says about what it was to append.
pub(crate) enum Failure {
    /// The connection broke: they may have been appended.
    Lost,
    /// One of them holds a value that the database refuses: none was appended.
    Data,
    /// No connection could be had: nothing was sent.
    Unreachable,
    /// None was appended, and it was nobody's fault.
    Refused,
}

/// Classes of SQLSTATE: 08 connection, 57P the server stops or crashes, 22 data, 23 constraint.
pub(crate) fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Failure::Unreachable,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Failure::Lost,
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(code) if code.starts_with("08") || code.starts_with("57P") => Failure::Lost,
            // A partition is missing: that is ours to mend, and nobody's data.
            Some("23514") => Failure::Refused,
            Some(code) if code.starts_with("22") || code.starts_with("23") => Failure::Data,
            _ => Failure::Refused,
        },
        // A value that can't be encoded, such as a text with a zero byte.
        sqlx::Error::Encode(_) => Failure::Data,
        _ => Failure::Refused,
    }
}
