//! A log and a sink in memory, which can be made to misbehave.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_store::{
    Bucket, Extent, FeedError, Intent, Leases, Log, LogName, Page, Positioned, ProjectionStatus,
    Repair, SHARDS,
};
use uuid::Uuid;

use crate::fold::{Place, ProjectError};
use crate::runtime::{Batch, Limits, Progress, Runner, Sink, SinkError, Standing, Wake};

pub(super) const BYTES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) position: i64,
    pub(super) bucket: Bucket,
}

/// The buckets go round, so that neighbours lie in different shards.
pub(super) fn record(position: i64) -> Record {
    let bucket = Bucket::from_stored((position * 16 % 1024) as i16).unwrap();
    Record { position, bucket }
}

impl Positioned for Record {
    fn position(&self) -> i64 {
        self.position
    }

    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn size_bytes(&self) -> usize {
        BYTES
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    fn follows(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Clone)]
pub(super) struct MemoryLog {
    inner: Arc<Mutex<LogState>>,
    known: Uuid,
}

pub(super) struct LogState {
    pub(super) records: Vec<Record>,
    pub(super) incarnation: Uuid,
    /// How many of the next reads fail.
    pub(super) failures: u32,
}

impl LogState {
    fn head(&self) -> i64 {
        self.records.last().map_or(0, |record| record.position)
    }
}

impl MemoryLog {
    pub(super) fn of(positions: impl IntoIterator<Item = i64>) -> Self {
        let state = LogState {
            records: positions.into_iter().map(record).collect(),
            incarnation: Uuid::from_u128(1),
            failures: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(state)),
            known: Uuid::from_u128(1),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LogState> {
        self.inner.lock().unwrap()
    }

    pub(super) fn append(&self, position: i64) {
        self.state().records.push(record(position));
    }
}

impl Log for MemoryLog {
    type Record = Record;

    const NAME: LogName = LogName::Events;

    fn incarnation(&self) -> Uuid {
        self.known
    }

    async fn page(&self, extent: Extent) -> Result<Page<Record>, FeedError> {
        let mut state = self.state();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(FeedError::Read {
                log: Self::NAME,
                after: extent.after,
                source: Arc::new(sqlx::Error::PoolTimedOut),
            });
        }
        let after = state
            .records
            .iter()
            .filter(|record| record.position > extent.after);
        Ok(Page {
            records: after.take(extent.records_max as usize).copied().collect(),
            head: state.head(),
            incarnation: state.incarnation,
        })
    }

    async fn head(&self) -> Result<(i64, Uuid), sqlx::Error> {
        let state = self.state();
        Ok((state.head(), state.incarnation))
    }

    async fn age_seconds(&self, _: i64) -> Result<Option<f64>, sqlx::Error> {
        Ok(Some(1.0))
    }
}

/// What becomes of the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Written, and the reply is lost.
    ReplyLost,
    /// Not written; the engine is down.
    Down,
    Fenced,
    /// Not written; the record at this position can't be.
    Poison(i64),
}

#[derive(Clone)]
pub(super) struct MemorySink(Arc<Mutex<SinkState>>);

pub(super) struct SinkState {
    pub(super) leases: Leases,
    pub(super) intent: Option<Intent>,
    pub(super) fates: VecDeque<Fate>,
    pub(super) written: Vec<i64>,
    pub(super) batches: Vec<(i64, i64)>,
    pub(super) reports: Vec<(ProjectionStatus, Option<String>)>,
    /// Appended to the log with every batch: a log that never ends.
    pub(super) grows: Option<MemoryLog>,
}

impl MemorySink {
    pub(super) fn sharded() -> Self {
        Self::at(vec![0; usize::from(SHARDS)])
    }

    pub(super) fn at(checkpoints: Vec<i64>) -> Self {
        Self(Arc::new(Mutex::new(SinkState {
            leases: Leases::all_at(&checkpoints),
            intent: None,
            fates: VecDeque::new(),
            written: Vec::new(),
            batches: Vec::new(),
            reports: Vec::new(),
            grows: None,
        })))
    }

    pub(super) fn meets(self, fates: impl IntoIterator<Item = Fate>) -> Self {
        self.state().fates.extend(fates);
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SinkState> {
        self.0.lock().unwrap()
    }
}

impl SinkState {
    /// Where each shard stands.
    pub(super) fn checkpoints(&self) -> Vec<i64> {
        self.leases.iter().map(|lease| lease.checkpoint).collect()
    }

    fn write(&mut self, batch: &Batch<Record>) {
        self.written
            .extend(batch.pending().map(|record| record.position));
        self.leases = batch.reached();
        self.intent = None;
        if let Some(log) = &self.grows {
            let head = log.state().head();
            log.append(head + 1);
        }
    }
}

impl Sink<Record> for MemorySink {
    fn identity(&self) -> (&str, i32) {
        ("memory", 1)
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        let state = self.state();
        Ok(Standing {
            leases: state.leases.clone(),
            intent: state.intent.clone(),
        })
    }

    async fn apply(&mut self, batch: Batch<Record>) -> Result<(), SinkError> {
        let mut state = self.state();
        assert_eq!(batch.from(), &state.leases, "resumed where the sink stands");
        let from = batch.from().lowest().unwrap();
        state.batches.push((from, batch.to()));
        match state.fates.pop_front() {
            None => state.write(&batch),
            Some(Fate::ReplyLost) => {
                state.write(&batch);
                return Err(SinkError::Commit(sqlx::Error::PoolTimedOut));
            }
            Some(Fate::Down) => return Err(SinkError::Begin(sqlx::Error::PoolTimedOut)),
            Some(Fate::Fenced) => return Err(SinkError::Fenced),
            Some(Fate::Poison(position)) => {
                return Err(SinkError::Project {
                    place: Place {
                        position,
                        bucket: Bucket::of(Uuid::nil()),
                    },
                    source: ProjectError::MissingRow,
                });
            }
        }
        Ok(())
    }

    async fn repair(&mut self, _: Repair, _: Vec<Record>) -> Result<(), SinkError> {
        unreachable!("nothing is parked without a ledger")
    }

    async fn report(&self, status: ProjectionStatus, last_error: Option<&str>) {
        self.state()
            .reports
            .push((status, last_error.map(str::to_owned)));
    }
}

pub(super) fn runner(log: &MemoryLog, sink: &MemorySink) -> Runner<MemoryLog, MemorySink> {
    runner_with(log, sink, &Wake::default())
}

pub(super) fn runner_with(
    log: &MemoryLog,
    sink: &MemorySink,
    wake: &Wake,
) -> Runner<MemoryLog, MemorySink> {
    let limits = Limits {
        events_max: 7,
        bytes_max: 1 << 20,
        interval_min: Duration::ZERO,
    };
    Runner::new(log.clone(), sink.clone(), limits, wake, Progress::default())
}
