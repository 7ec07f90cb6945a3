use std::time::Duration;

use event_store::Positioned;

/// Bounds of batches. The bytes are met on average: how many records are read follows from the size of those before.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub events_max: usize,
    pub bytes_max: usize,
    /// From the beginning of a batch that was not full to the next: under a steady trickle, every batch costs its sink
    /// the same whether it holds one event or a hundred.
    pub interval_min: Duration,
}

/// Contiguous records that one sink is to write as one: those after where its shards stand, up to `to`.
#[derive(Debug)]
pub struct Batch<R> {
    from: Vec<i64>,
    to: i64,
    records: Vec<R>,
}

impl<R: Positioned> Batch<R> {
    /// `from` holds one checkpoint per shard; `records` begin after the lowest of them. `None` without records.
    pub fn new(from: Vec<i64>, records: Vec<R>) -> Option<Self> {
        let to = records.last()?.position();
        Some(Self { from, to, records })
    }

    /// Where each shard stands, in order of shards. One element for a sink with a single shard.
    pub fn from(&self) -> &[i64] {
        &self.from
    }

    /// Where every shard stands once the batch is written; a shard that is beyond it already stays.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// Where each shard stands once the batch is written.
    pub fn reached(&self) -> Vec<i64> {
        self.from.iter().map(|from| *from.max(&self.to)).collect()
    }

    /// How many records were read, also of those that are written already.
    pub fn events(&self) -> usize {
        self.records.len()
    }

    /// The shard of a record, as an index into [`Batch::from`].
    pub fn shard(&self, record: &R) -> usize {
        shard(&self.from, record)
    }

    /// The records that their own shard has not written yet, in order.
    pub fn pending(&self) -> impl Iterator<Item = &R> {
        self.records
            .iter()
            .filter(|record| record.position() > self.from[self.shard(record)])
    }

    /// The same, giving each record's memory back as it is consumed.
    pub fn into_pending(self) -> impl Iterator<Item = R> {
        let Self { from, records, .. } = self;
        records
            .into_iter()
            .filter(move |record| record.position() > from[shard(&from, record)])
    }
}

fn shard<R: Positioned>(from: &[i64], record: &R) -> usize {
    if from.len() == 1 {
        0
    } else {
        record.bucket().shard().index()
    }
}
