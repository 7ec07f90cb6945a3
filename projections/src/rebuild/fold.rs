//! Folding a whole log in memory, within a bound.

use std::ops::Range;
use std::sync::Arc;

use event_store::{Log, Positioned, Reader, Withheld};
use tokio::sync::mpsc;

use super::error::RebuildError;
use super::progress::{Stage, Tracker};
use crate::runtime::SinkError;

/// How many parts a whole falls into at the finest.
const SLOTS: u32 = 1 << 16;
/// What is folded at once, small beside any sensible bound: a few of these are under way.
const CHUNK_RECORDS: i64 = 5_000;
const CHUNK_BYTES: usize = 4 << 20;
const CHUNKS_WAITING: usize = 2;
/// More workers than this wait for the reader.
const WORKERS_MAX: usize = 4;

/// What is being added up, and can be told apart by slots: everything that belongs together has one slot.
pub(super) trait Sum: Send + 'static {
    type Record: Positioned;

    /// `None` for a record that can't be told; such a one is added in every case.
    fn slot(record: &Self::Record) -> Option<u16>;

    fn add(&mut self, record: &Self::Record) -> Result<(), SinkError>;

    /// Forgets what is not in the slots.
    fn keep(&mut self, slots: &Range<u32>);

    fn size_bytes(&self) -> usize;
}

/// Adds the log up to `head`, except what is withheld, and hands the sums over, each of slots of its own. They take at most `bytes_max` together:
/// where the whole takes more, the log is read again for the rest, as often as needed.
pub(super) async fn fold<L: Log, S: Sum<Record = L::Record>>(
    log: &L,
    head: i64,
    withheld: Withheld,
    bytes_max: usize,
    make: impl Fn() -> S,
    tracker: &Tracker,
    mut load: impl AsyncFnMut(Vec<S>) -> Result<(), RebuildError>,
) -> Result<(), RebuildError> {
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(WORKERS_MAX);
    let withheld = Arc::new(withheld);
    let mut from: Vec<u32> = vec![0; workers];
    for pass in 1.. {
        tracker.begin_pass(pass, head);
        let parts = (0..workers).map(|worker| Part {
            sum: make(),
            withheld: withheld.clone(),
            slots: from[worker]..SLOTS,
            worker,
            workers,
            bytes_max: bytes_max / workers,
        });
        let parts = read(log, head, parts.collect(), tracker).await?;
        for part in &parts {
            from[part.worker] = part.slots.end;
        }
        tracker.begin(Stage::Loading);
        load(parts.into_iter().map(|part| part.sum).collect()).await?;
        if from.iter().all(|slot| *slot >= SLOTS) {
            break;
        }
    }
    Ok(())
}

async fn read<L: Log, S: Sum<Record = L::Record>>(
    log: &L,
    head: i64,
    parts: Vec<Part<S>>,
    tracker: &Tracker,
) -> Result<Vec<Part<S>>, RebuildError> {
    let mut senders = Vec::new();
    let mut tasks = Vec::new();
    for part in parts {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        senders.push(sender);
        tasks.push(tokio::task::spawn_blocking(move || part.add_all(receiver)));
    }
    let mut reader = Reader::after(log.clone(), 0).with_bytes_max(CHUNK_BYTES);
    'reading: while reader.position() < head {
        let records = reader
            .next(CHUNK_RECORDS.min(head - reader.position()))
            .await?;
        if records.is_empty() {
            let position = reader.position();
            return Err(RebuildError::EndsEarly { position, head });
        }
        let records = Arc::new(records);
        for sender in &senders {
            if sender.send(records.clone()).await.is_err() {
                // Its worker has failed and tells why below.
                break 'reading;
            }
        }
        tracker.reached(reader.position());
    }
    drop(senders);
    let mut parts = Vec::new();
    for task in tasks {
        parts.push(task.await.map_err(RebuildError::Panicked)??);
    }
    Ok(parts)
}

/// One worker's part of a pass.
struct Part<S> {
    sum: S,
    withheld: Arc<Withheld>,
    /// Of which every `workers`-th is this worker's.
    slots: Range<u32>,
    worker: usize,
    workers: usize,
    bytes_max: usize,
}

impl<S: Sum> Part<S> {
    fn add_all(
        mut self,
        mut chunks: mpsc::Receiver<Arc<Vec<S::Record>>>,
    ) -> Result<Self, RebuildError> {
        while let Some(chunk) = chunks.blocking_recv() {
            for record in &*chunk {
                if self.withheld.holds(record.bucket(), record.position())
                    || !self.has(S::slot(record))
                {
                    continue;
                }
                self.sum.add(record)?;
                while self.sum.size_bytes() > self.bytes_max {
                    self.halve()?;
                }
            }
        }
        Ok(self)
    }

    /// A record that can't be told goes to the first, in the first pass.
    fn has(&self, slot: Option<u16>) -> bool {
        let slot = slot.map_or(0, u32::from);
        self.slots.contains(&slot) && slot as usize % self.workers == self.worker
    }

    /// Leaves the upper half of the slots to a later pass.
    fn halve(&mut self) -> Result<(), RebuildError> {
        let width = self.slots.end - self.slots.start;
        if width <= 1 {
            return Err(RebuildError::Bound {
                bytes_max: self.bytes_max,
            });
        }
        self.slots.end = self.slots.start + width / 2;
        self.sum.keep(&self.slots);
        Ok(())
    }
}
