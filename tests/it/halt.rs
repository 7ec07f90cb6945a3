//! Points at which backends of Postgres wait until a test has done what it wants to do meanwhile.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;

/// The first number of an advisory lock; the second is 1. The lane's own, and that of the points that are made here.
const LANE: i32 = 20_261_121;
const POINT: i32 = 1;

/// A point where every backend of one database waits that comes there. Whoever waits goes on when this is released.
pub(crate) struct Halt {
    lock: i32,
    held: PgConnection,
    watcher: PgConnection,
}

impl Halt {
    /// In front of the lane's lock, as if a call did not end.
    pub(crate) async fn before_the_lane(database_url: &str) -> Self {
        Self::hold(database_url, LANE).await
    }

    /// At the end of a statement that inserts into the table, or updates it: it is written, and not committed.
    pub(crate) async fn after_writing(database_url: &str, table: &str) -> Self {
        let trigger = format!(
            "create trigger halt after insert or update on {table} execute function public.halt()"
        );
        Self::at_trigger(database_url, &trigger).await
    }

    /// At the commit of a transaction that wrote rows of the table.
    pub(crate) async fn at_commit(database_url: &str, table: &str) -> Self {
        let trigger = format!(
            "create constraint trigger halt after insert or update on {table}
             deferrable initially deferred for each row execute function public.halt()"
        );
        Self::at_trigger(database_url, &trigger).await
    }

    async fn at_trigger(database_url: &str, trigger: &str) -> Self {
        let mut it = Self::hold(database_url, POINT).await;
        let function = format!(
            "create function public.halt() returns trigger language plpgsql security definer as
             $$ begin perform pg_advisory_xact_lock_shared({POINT}, 1); return null; end $$"
        );
        it.watcher.execute(&*function).await.unwrap();
        it.watcher.execute(trigger).await.unwrap();
        it
    }

    async fn hold(database_url: &str, lock: i32) -> Self {
        let [mut held, watcher] = [
            PgConnection::connect(database_url).await.unwrap(),
            PgConnection::connect(database_url).await.unwrap(),
        ];
        sqlx::query("select pg_advisory_lock($1, 1)")
            .bind(lock)
            .execute(&mut held)
            .await
            .unwrap();
        Self {
            lock,
            held,
            watcher,
        }
    }

    /// Until so many backends wait.
    pub(crate) async fn reached(&mut self, backends: usize) {
        until(async || self.waiting().await.len() >= backends).await;
    }

    /// Terminates the backends that wait, and comes back when they are gone. How many it were.
    pub(crate) async fn kill(&mut self) -> usize {
        let waiting = self.waiting().await;
        sqlx::query("select pg_terminate_backend(pid) from unnest($1::int[]) pid")
            .bind(&waiting)
            .execute(&mut self.watcher)
            .await
            .unwrap();
        until(async || {
            let left = self.waiting().await;
            !left.iter().any(|pid| waiting.contains(pid))
        })
        .await;
        waiting.len()
    }

    pub(crate) async fn release(self) {
        self.held.close().await.unwrap();
    }

    async fn waiting(&mut self) -> Vec<i32> {
        sqlx::query_scalar(
            "select pid from pg_locks
             where locktype = 'advisory' and not granted and classid::bigint = $1 and objid = 1
               and database = (select oid from pg_database where datname = current_database())",
        )
        .bind(i64::from(self.lock))
        .fetch_all(&mut self.watcher)
        .await
        .unwrap()
    }
}

/// Until it is so. A minute says that it will never be.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let found = timeout(Duration::from_secs(60), looking).await;
    found.expect("what the test waits for");
}
