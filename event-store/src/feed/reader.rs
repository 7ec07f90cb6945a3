use super::{Extent, FeedError, Log, Page, Positioned as _};
use crate::fault::{self, Mutant};

/// What one read takes at most, unless told otherwise.
const READ_BYTES_MAX: usize = 8 << 20;
/// What a record is taken to need before any was seen.
const RECORD_BYTES_ASSUMED: usize = 1024;

/// Reads a log batch by batch and asserts that it is contiguous.
pub struct Reader<L: Log> {
    log: L,
    position: i64,
    /// The log's last position when it was last read; 0 before.
    head: i64,
    /// The record at the position, where this reader has read it.
    last: Option<L::Record>,
    bytes_max: usize,
    record_bytes: usize,
}

impl<L: Log> Reader<L> {
    /// Starts after `position`.
    pub fn after(log: L, position: i64) -> Self {
        Self {
            log,
            position,
            head: 0,
            last: None,
            bytes_max: READ_BYTES_MAX,
            record_bytes: RECORD_BYTES_ASSUMED,
        }
    }

    /// Bounds the memory that the records of one read take: by this, or by a single record that takes more.
    pub fn with_bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// The last position that was read.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The log's last position when it was last read; 0 before.
    pub fn head(&self) -> i64 {
        self.head
    }

    pub fn log(&self) -> &L {
        &self.log
    }

    /// The next records in order, at most `limit`; empty at the head. After an error the position is where it was.
    pub async fn next(&mut self, limit: i64) -> Result<Vec<L::Record>, FeedError> {
        let records_max = limit.min(self.records_in_bytes_max()).max(1);
        let page = self
            .log
            .page(Extent {
                after: self.position,
                records_max,
                bytes_max: self.bytes_max,
                bulk: self.head - self.position >= records_max,
            })
            .await?;
        self.check(&page)?;
        self.head = page.head;
        if let Some(last) = page.records.last() {
            self.position = last.position();
            self.last = Some(last.clone());
            let bytes: usize = page.records.iter().map(|record| record.size_bytes()).sum();
            self.record_bytes = bytes / page.records.len();
        }
        Ok(page.records)
    }

    fn records_in_bytes_max(&self) -> i64 {
        i64::try_from(self.bytes_max / self.record_bytes.max(1)).unwrap_or(i64::MAX)
    }

    fn check(&self, page: &Page<L::Record>) -> Result<(), FeedError> {
        let log = L::NAME;
        let (expected, found) = (self.log.incarnation(), page.incarnation);
        if found != expected {
            return Err(FeedError::OtherIncarnation {
                log,
                expected,
                found,
            });
        }
        let mut previous = self.last.as_ref();
        for (record, expected) in page.records.iter().zip(self.position + 1..) {
            let found = record.position();
            if found != expected && !fault::is_mutant(Mutant::NoContiguityCheck) {
                return Err(FeedError::NotContiguous {
                    log,
                    expected,
                    found,
                });
            }
            if previous.is_some_and(|previous| !record.follows(previous)) {
                return Err(FeedError::OutOfOrder {
                    log,
                    position: found,
                });
            }
            previous = Some(record);
        }
        // Neither an empty nor a full page proves that this is still the log it was: its tail may have been lost, and
        // positions be handed out again, while nobody looked.
        let position = self.position + page.records.len() as i64;
        if page.head < position {
            return Err(FeedError::LostTail {
                log,
                position,
                head: page.head,
            });
        }
        Ok(())
    }
}
