//! `NOTIFY` as a hint that a log has grown. Hints may be lost; polling is the truth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};

use crate::token::LogName;

/// How often a process announces at most: a notification takes a lock that the whole cluster shares.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the hints say of themselves.
#[derive(Default)]
pub(super) struct Hints {
    listening: AtomicBool,
    heard: AtomicU64,
}

impl Hints {
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    pub(super) fn listens(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    pub(super) fn hear(&self, bell: &Notify) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        bell.notify_one();
    }

    /// How many have been heard.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

/// The channel of a log. Other processes listen there; never rename.
fn channel(log: LogName) -> &'static str {
    match log {
        LogName::Events => "proofline_events",
        LogName::Telemetry => "proofline_telemetry",
    }
}

/// Listens for as long as it is polled, and rings for each hint.
pub(super) async fn listen(pool: &PgPool, log: LogName, hints: &Hints, bell: &Notify) {
    loop {
        if let Err(error) = listen_once(pool, log, hints, bell).await {
            tracing::debug!(log = log.as_str(), error = %error, "does not hear what is announced; polls instead");
        }
        hints.listening.store(false, Ordering::Relaxed);
        bell.notify_one();
        tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
    }
}

/// Until the connection is lost.
async fn listen_once(
    pool: &PgPool,
    log: LogName,
    hints: &Hints,
    bell: &Notify,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel(log)).await?;
    hints.listens();
    // For what was announced before.
    bell.notify_one();
    while listener.try_recv().await?.is_some() {
        hints.hear(bell);
    }
    Ok(())
}

/// Announces to other processes that a log has grown, on a connection of its own and never within an append: committing
/// a notification takes a lock that the whole cluster shares. Cheap to clone; ends with the last clone.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<watch::Sender<()>>);

impl Notifier {
    /// `pool` connects as any role.
    pub fn start(pool: PgPool, log: LogName) -> Self {
        let (flushed, flushes) = watch::channel(());
        tokio::spawn(announce(pool, log, flushes));
        Self(Arc::new(flushed))
    }

    /// Something was appended.
    pub fn flushed(&self) {
        self.0.send_replace(());
    }
}

async fn announce(pool: PgPool, log: LogName, mut flushes: watch::Receiver<()>) {
    while flushes.changed().await.is_ok() {
        // A hint needs no disk: it is gone after a crash, like those who would have heard it.
        let announced = sqlx::query!(
            "select set_config('synchronous_commit', 'off', true), pg_notify($1, '')",
            channel(log)
        )
        .fetch_one(&pool)
        .await;
        if let Err(error) = announced {
            tracing::debug!(log = log.as_str(), error = %error, "could not announce that a log has grown");
        }
        tokio::time::sleep(NOTIFY_EVERY).await;
    }
}
