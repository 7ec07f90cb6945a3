//! One reader per process and log, for all who follow it.
//!
//! The hub reads at the head of the log and keeps what it read lately, within a bound of bytes. A [`super::Reader`] over
//! a hub takes from there, at its own pace, and asserts for itself what the hub has asserted before. One that is behind
//! what the hub keeps reads the log itself until it gets there, so nobody is held up by anybody.

mod health;
mod hints;
mod pace;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use self::health::Gauges;
pub use self::health::Health;
use self::hints::Hints;
pub use self::hints::Notifier;
use self::pace::Pace;
use self::window::{Standing, Window};
use super::{Extent, FeedError, Log, Page, Reader};
use crate::bucket::Bucket;
use crate::feed::Positioned;
use crate::token::LogName;

/// What a hub keeps in memory: some seconds of heavy writing.
const WINDOW_BYTES_MAX: usize = 16 << 20;
const PAGE_RECORDS_MAX: i64 = 5_000;
/// A read at the head takes milliseconds. Without a limit, a host that is gone without a word would look like a log to
/// which nobody appends.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The one reader of a log in its process. Cheap to clone; the reading ends with the last clone.
#[derive(Clone)]
pub struct Hub<L: Log> {
    log: L,
    shared: Arc<Shared<L::Record>>,
    _reading: Arc<Reading>,
}

struct Shared<R> {
    window: Mutex<Window<R>>,
    /// Changes with the window.
    changed: watch::Sender<()>,
    bell: Notify,
    hints: Hints,
}

impl<R> Shared<R> {
    fn window(&self) -> MutexGuard<'_, Window<R>> {
        // No change of a window is left half done by a panic.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Window<R>)) {
        change(&mut self.window());
        self.changed.send_replace(());
    }
}

struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<L: Log> Hub<L> {
    /// Begins to read at the head of the log. `bell` is rung by whoever appends in this process; `hints`, a pool from
    /// which one connection is taken for good, is where other processes' appends are announced.
    pub fn start(log: L, bell: watch::Receiver<()>, hints: Option<PgPool>) -> Self {
        Self::start_within(WINDOW_BYTES_MAX, log, bell, hints)
    }

    fn start_within(
        bytes_max: usize,
        log: L,
        bell: watch::Receiver<()>,
        hints: Option<PgPool>,
    ) -> Self {
        let shared = Arc::new(Shared {
            window: Mutex::new(Window::new(bytes_max)),
            changed: watch::Sender::new(()),
            bell: Notify::new(),
            hints: Hints::default(),
        });
        let reading = tokio::spawn(run(log.clone(), shared.clone(), bell, hints));
        Self {
            log,
            shared,
            _reading: Arc::new(Reading(reading)),
        }
    }

    /// Something may have been appended.
    pub fn ring(&self) {
        self.shared.bell.notify_one();
    }

    /// How the reading goes.
    pub fn health(&self) -> Health {
        self.shared.window().health()
    }

    /// Somebody has seen the log end there.
    fn look_for(&self, head: i64) {
        if !self.shared.window().is_news(head - 1) {
            self.ring();
        }
    }

    /// The log itself, past the hub.
    pub fn log(&self) -> &L {
        &self.log
    }
}

async fn run<L: Log>(
    log: L,
    shared: Arc<Shared<L::Record>>,
    bell: watch::Receiver<()>,
    hints: Option<PgPool>,
) {
    let gauges = Gauges::new(L::NAME);
    let announced = async {
        if let Some(pool) = hints {
            hints::listen(&pool, L::NAME, &shared.hints, &shared.bell).await;
        }
    };
    tokio::join!(
        read(&log, &shared),
        forward(bell, &shared.bell),
        announced,
        gauges.measure(|| shared.window().health()),
    );
}

/// The bell is one that many listen to.
async fn forward(mut rung: watch::Receiver<()>, bell: &Notify) {
    // An error says that nobody can ring any more.
    while rung.changed().await.is_ok() {
        bell.notify_one();
    }
}

/// Reads at the head until the log turns out not to be what it must be.
async fn read<L: Log>(log: &L, shared: &Shared<L::Record>) {
    let mut pace = Pace::default();
    let mut reader = None;
    loop {
        let mut found = false;
        match timeout(READ_WITHIN, next(log, &mut reader)).await {
            Ok(Ok(page)) => {
                found = !page.records.is_empty();
                pace.read(found, page.more);
                shared.change(|window| window.read(page.position, page.head, page.records));
            }
            Ok(Err(error @ FeedError::Read { .. })) => {
                tracing::warn!(log = L::NAME.as_str(), error = %Chain(&error), "could not read a log; its readers wait");
                pace.failed();
                shared.change(|window| window.stands(Standing::Failing(error)));
            }
            Ok(Err(error)) => {
                tracing::error!(log = L::NAME.as_str(), error = %error, "the reader of a log stopped, and all who follow it");
                shared.change(|window| window.stands(Standing::Stopped(error)));
                return;
            }
            Err(_) => {
                let after = reader.as_ref().map_or(0, Reader::position);
                let error = FeedError::read(L::NAME, after)(sqlx::Error::Io(
                    std::io::ErrorKind::TimedOut.into(),
                ));
                tracing::warn!(
                    log = L::NAME.as_str(),
                    "a log does not answer; its readers wait"
                );
                pace.failed();
                shared.change(|window| window.stands(Standing::Failing(error)));
            }
        }
        pace.rest(&shared.bell, &shared.hints, found).await;
    }
}

struct Next<R> {
    records: Vec<R>,
    position: i64,
    head: i64,
    more: bool,
}

/// The next records; the first time, none, but where the log ends.
async fn next<L: Log>(
    log: &L,
    reader: &mut Option<Reader<L>>,
) -> Result<Next<L::Record>, FeedError> {
    let (reader, records) = match reader {
        Some(reader) => {
            let records = reader.next(PAGE_RECORDS_MAX).await?;
            (reader, records)
        }
        None => {
            let (head, found) = log.head().await.map_err(FeedError::read(L::NAME, 0))?;
            let expected = log.incarnation();
            if found != expected {
                return Err(FeedError::OtherIncarnation {
                    log: L::NAME,
                    expected,
                    found,
                });
            }
            (reader.insert(Reader::after(log.clone(), head)), Vec::new())
        }
    };
    let (position, head) = (reader.position(), reader.head().max(reader.position()));
    Ok(Next {
        records,
        position,
        head,
        more: head > position,
    })
}

impl<L: Log> Log for Hub<L> {
    type Record = Arc<L::Record>;

    const NAME: LogName = L::NAME;

    fn incarnation(&self) -> Uuid {
        self.log.incarnation()
    }

    /// From memory where it is there, else from the log.
    async fn page(&self, extent: Extent) -> Result<Page<Arc<L::Record>>, FeedError> {
        let kept = self.shared.window().page(extent, self.incarnation())?;
        if let Some(page) = kept {
            return Ok(page);
        }
        let page = self.log.page(extent).await?;
        self.look_for(page.head);
        Ok(Page {
            records: page.records.into_iter().map(Arc::new).collect(),
            head: page.head,
            incarnation: page.incarnation,
        })
    }

    async fn head(&self) -> Result<(i64, Uuid), sqlx::Error> {
        let (head, incarnation) = self.log.head().await?;
        self.look_for(head);
        Ok((head, incarnation))
    }

    async fn known_head(&self) -> Option<i64> {
        self.health().known_head()
    }

    async fn age_seconds(&self, position: i64) -> Result<Option<f64>, sqlx::Error> {
        self.log.age_seconds(position).await
    }

    async fn grown(&self, after: i64) {
        let mut changed = self.shared.changed.subscribe();
        while !self.shared.window().is_news(after) {
            // The sender is in `shared`.
            let _ = changed.changed().await;
        }
    }
}

impl<R: Positioned> Positioned for Arc<R> {
    fn position(&self) -> i64 {
        R::position(self)
    }

    fn bucket(&self) -> Bucket {
        R::bucket(self)
    }

    fn size_bytes(&self) -> usize {
        R::size_bytes(self)
    }

    fn traceparent(&self) -> Option<String> {
        R::traceparent(self)
    }

    fn follows(&self, previous: &Self) -> bool {
        R::follows(self, previous)
    }
}

/// An error and what it comes from, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
