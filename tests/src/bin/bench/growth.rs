//! What an append and the read that follows it cost in a long log, beside a short one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use event_store::{EventLog, Log as _, NewEvent, Reader, Role, Store, connect};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::fill;
use crate::load::{Caller, Measured, run};
use crate::ours;

/// Streams of the filled log that are appended to, picked from all over it.
const STREAMS: i64 = 20_000;
/// What a projector's reader asks for.
const BATCH: i64 = 2_000;

/// A log of so many events, in a database of its own.
pub(crate) struct Grown {
    pub(crate) url: String,
    pub(crate) events: i64,
    log: EventLog,
    caller: GrowthCaller,
}

/// What was measured on one log.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) append: Measured,
    pub(crate) append_64: Measured,
    pub(crate) tail: Measured,
}

impl Costs {
    pub(crate) fn add(&mut self, other: Self) {
        self.append.add(other.append);
        self.append_64.add(other.append_64);
        self.tail.add(other.tail);
    }
}

impl Grown {
    /// On the server that `database_url` names.
    pub(crate) async fn create(
        database_url: &str,
        keys_url: &str,
        key_file: &Path,
        events: i64,
    ) -> Result<Self> {
        let url = tests::in_database(database_url, &format!("log_of_{events}"));
        migrations::postgres(&url).await?;
        fill::domain_log(&url, events).await?;
        let mut connection = PgConnection::connect(&url).await?;
        let streams: Vec<(String, i64)> = sqlx::query_as(
            "select aggregate_id, version from es.streams order by md5(aggregate_id) limit $1",
        )
        .bind(STREAMS)
        .fetch_all(&mut connection)
        .await?;
        let streams = streams
            .into_iter()
            .map(|(id, version)| Ok((Uuid::parse_str(&id)?, AtomicI64::new(version))))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            events,
            log: EventLog::open(connect(&url, Role::Projector, 2)?).await?,
            caller: GrowthCaller {
                store: tests::open_store(&url, keys_url, key_file).await?,
                event: ours::drafted(Uuid::from_u128(1).into())?,
                streams: streams.into(),
                calls: Arc::default(),
            },
            url,
        })
    }

    /// One round: a caller alone, 64 at once, and a reader at the tail.
    pub(crate) async fn measure(&self, time: Duration) -> Result<Costs> {
        Ok(Costs {
            append: run(vec![self.caller.clone(); 1], time).await?,
            append_64: run(vec![self.caller.clone(); 64], time).await?,
            tail: self.tail(time).await?,
        })
    }

    /// The read alone, of what was appended just before it.
    async fn tail(&self, time: Duration) -> Result<Measured> {
        let (head, _) = self.log.head().await?;
        let mut reader = Reader::after(self.log.clone(), head);
        let mut caller = self.caller.clone();
        let mut measured = Measured::default();
        let started = Instant::now();
        while started.elapsed() < time {
            caller.call().await?;
            let began = Instant::now();
            let read = reader.next(BATCH).await?;
            let took = began.elapsed();
            ensure!(read.len() == 1, "the tail has {} new events", read.len());
            if started.elapsed() > time / 10 {
                measured.record(took)?;
            }
        }
        Ok(measured)
    }
}

/// Appends by turns to a stream that is in the log already and to a new one; both are anywhere in the index of streams.
#[derive(Clone)]
struct GrowthCaller {
    store: Store,
    event: NewEvent,
    streams: Arc<[(Uuid, AtomicI64)]>,
    calls: Arc<AtomicUsize>,
}

impl Caller for GrowthCaller {
    async fn call(&mut self) -> Result<u64> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call.is_multiple_of(2) {
            let new = ours::append(self.event.clone(), Uuid::new_v4(), 0);
            self.store.append(new).await?;
        } else {
            // So many others come in between that nobody else is at this stream now.
            let (stream, version) = &self.streams[call / 2 % self.streams.len()];
            let next = ours::append(self.event.clone(), *stream, version.load(Ordering::Relaxed));
            let appended = self.store.append(next).await?;
            version.store(appended.version, Ordering::Relaxed);
        }
        Ok(1)
    }
}
