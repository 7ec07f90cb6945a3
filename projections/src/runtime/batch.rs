use std::sync::Arc;
use std::time::Duration;

use event_store::{Leases, Positioned, Withheld};

/// Bounds of batches. The bytes are met on average: how many records are read follows from the size of those before.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub events_max: usize,
    pub bytes_max: usize,
    /// From the beginning of a batch that was not full to the next: under a steady trickle, every batch costs its sink
    /// the same whether it holds one event or a hundred.
    pub interval_min: Duration,
}

/// Contiguous records that one sink is to write as one: of the shards that it holds, those after where each stands, up to
/// `to`, but not what is withheld.
#[derive(Debug)]
pub struct Batch<R> {
    from: Leases,
    to: i64,
    withheld: Arc<Withheld>,
    records: Vec<R>,
}

impl<R: Positioned> Batch<R> {
    /// `records` begin after the lowest checkpoint of `from`. `None` without records.
    pub fn new(from: Leases, records: Vec<R>) -> Option<Self> {
        let to = records.last()?.position();
        Some(Self {
            from,
            to,
            withheld: Arc::default(),
            records,
        })
    }

    pub fn without(self, withheld: Arc<Withheld>) -> Self {
        Self { withheld, ..self }
    }

    pub fn withheld(&self) -> &Withheld {
        &self.withheld
    }

    /// The shards that are held, and where each stands.
    pub fn from(&self) -> &Leases {
        &self.from
    }

    /// Where every shard stands once the batch is written; a shard that is beyond it already stays.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// Where each shard stands once the batch is written.
    pub fn reached(&self) -> Leases {
        self.from.reached(self.to)
    }

    /// How many records were read, also of those that are written already or are for others to write.
    pub fn events(&self) -> usize {
        self.records.len()
    }

    /// The records that are this worker's to write, in order.
    pub fn pending(&self) -> impl Iterator<Item = &R> {
        let is_pending = |record: &&R| is_pending(&self.from, &self.withheld, *record);
        self.records.iter().filter(is_pending)
    }

    /// The same, giving each record's memory back as it is consumed.
    pub fn into_pending(self) -> impl Iterator<Item = R> {
        let Self {
            from,
            withheld,
            records,
            ..
        } = self;
        let is_pending = move |record: &R| is_pending(&from, &withheld, record);
        records.into_iter().filter(is_pending)
    }
}

fn is_pending(from: &Leases, withheld: &Withheld, record: &impl Positioned) -> bool {
    let (bucket, position) = (record.bucket(), record.position());
    let lease = from.of(bucket);
    lease.is_some_and(|lease| position > lease.checkpoint) && !withheld.holds(bucket, position)
}
