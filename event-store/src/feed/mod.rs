//! Reading a log in order, and stopping loudly where it is not what it must be.

mod copy;
mod events;
mod hub;
mod reader;

use std::future::Future;
use std::sync::Arc;

use uuid::Uuid;

pub(crate) use self::copy::{CopyError, Fields, copy_page, copy_rows};
pub use self::events::EventLog;
pub use self::hub::{Health, Hub, Notifier};
pub use self::reader::Reader;
use crate::bucket::Bucket;
use crate::token::{LogName, Token};

/// What stands in a log at a position.
pub trait Positioned: Clone + Send + Sync + 'static {
    /// 1, 2, 3 … in commit order, without a gap.
    fn position(&self) -> i64;

    fn bucket(&self) -> Bucket;

    /// About how much memory it takes.
    fn size_bytes(&self) -> usize;

    /// The trace that appended it, as W3C Trace Context writes it, where it tells.
    fn traceparent(&self) -> Option<String>;

    /// Whether this can be the record right after `previous`, as far as the two tell.
    fn follows(&self, previous: &Self) -> bool;
}

/// Which records to read.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The position before the first.
    pub after: i64,
    pub records_max: i64,
    /// Fewer records come where they would take more memory, but at least one.
    pub bytes_max: usize,
    /// Whether at least `records_max` records are known to be there, so that reading in bulk pays.
    pub bulk: bool,
}

impl Extent {
    /// The last position.
    pub(crate) fn to(self) -> i64 {
        self.after.saturating_add(self.records_max)
    }
}

/// Records, and what the log was at the moment when they were read.
#[derive(Clone, Debug)]
pub struct Page<R> {
    pub records: Vec<R>,
    /// The last position of the log.
    pub head: i64,
    pub incarnation: Uuid,
}

/// A log that can be read from any position on.
pub trait Log: Clone + Send + Sync + 'static {
    type Record: Positioned;

    const NAME: LogName;

    /// The log's identity when it was opened.
    fn incarnation(&self) -> Uuid;

    /// The records of the extent in order, in one trip. Whether they are what they must be is for [`Reader`] to say.
    fn page(
        &self,
        extent: Extent,
    ) -> impl Future<Output = Result<Page<Self::Record>, FeedError>> + Send;

    /// Up to `limit` records after `position`, as they stand there.
    fn read(
        &self,
        position: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Self::Record>, FeedError>> + Send {
        async move {
            let extent = Extent {
                after: position,
                records_max: limit,
                bytes_max: usize::MAX,
                bulk: false,
            };
            Ok(self.page(extent).await?.records)
        }
    }

    /// The last position, and the log's identity now.
    fn head(&self) -> impl Future<Output = Result<(i64, Uuid), sqlx::Error>> + Send;

    /// The last position, as the process knows it from a moment ago; `None` where it can't tell, or where the log is
    /// another one now. For measuring: a lag against it is unknown while nobody is able to read the log.
    fn known_head(&self) -> impl Future<Output = Option<i64>> + Send {
        async {
            let (head, incarnation) = self.head().await.ok()?;
            (incarnation == self.incarnation()).then_some(head)
        }
    }

    /// How long ago, in seconds of the database's clock, the record at `position` was appended. `None` where none
    /// stands there.
    fn age_seconds(
        &self,
        position: i64,
    ) -> impl Future<Output = Result<Option<f64>, sqlx::Error>> + Send;

    /// Until there may be records after `after`, as far as this process learns without asking. Whoever waits looks for
    /// himself from time to time.
    fn grown(&self, after: i64) -> impl Future<Output = ()> + Send {
        let _ = after;
        std::future::pending()
    }

    fn token(&self, position: i64) -> Token {
        Token {
            log: Self::NAME,
            incarnation: self.incarnation(),
            position,
        }
    }
}

/// Why a reader stopped. Only [`FeedError::Read`] is worth another try; the others say that the log is broken, or is
/// not the one that the reader knew. Cheap to clone, since one reader's failure is that of all who follow it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    #[error("could not read the {log} log after position {after}", log = .log.as_str())]
    Read {
        log: LogName,
        after: i64,
        source: Arc<sqlx::Error>,
    },
    #[error("the {log} log is not contiguous: position {expected} was expected and {found} was found", log = .log.as_str())]
    NotContiguous {
        log: LogName,
        expected: i64,
        found: i64,
    },
    #[error("the {log} log is out of order: the record at position {position} belongs before the one in front of it", log = .log.as_str())]
    OutOfOrder { log: LogName, position: i64 },
    #[error("the {log} log ends at position {head}, before the reader's position {position}", log = .log.as_str())]
    LostTail {
        log: LogName,
        position: i64,
        head: i64,
    },
    #[error("the {log} log is now incarnation {found}, and the reader knows {expected}", log = .log.as_str())]
    OtherIncarnation {
        log: LogName,
        expected: Uuid,
        found: Uuid,
    },
}

impl FeedError {
    pub(crate) fn read(log: LogName, after: i64) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Read {
            log,
            after,
            source: Arc::new(source),
        }
    }
}

/// As many of the records, of which there is at least one, as the bytes allow.
pub(crate) struct Gathered<R> {
    pub(crate) records: Vec<R>,
    bytes: usize,
    bytes_max: usize,
}

impl<R: Positioned> Gathered<R> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn push(&mut self, record: R) {
        self.bytes += record.size_bytes();
        self.records.push(record);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}
