use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::health::Health;
use crate::feed::{Extent, FeedError, Gathered, Page, Positioned};

/// What the hub read lately, without a gap up to where it stands.
pub(super) struct Window<R> {
    records: VecDeque<Arc<R>>,
    bytes: usize,
    bytes_max: usize,
    /// Where the hub stands.
    position: i64,
    /// Where the log ended when it was read last.
    head: i64,
    read_at: Option<Instant>,
    standing: Standing,
}

/// How the hub's reading goes.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Nothing was read yet.
    Starting,
    Reading,
    /// The last try failed, the next may not.
    Failing(FeedError),
    /// The log is not what it must be.
    Stopped(FeedError),
}

impl<R: Positioned> Window<R> {
    pub(super) fn read(&mut self, position: i64, head: i64, records: Vec<R>) {
        for record in records {
            self.bytes += record.size_bytes();
            self.records.push_back(Arc::new(record));
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.size_bytes();
        }
        self.position = position;
        self.head = head;
        self.read_at = Some(Instant::now());
        self.standing = Standing::Reading;
    }

    /// The records of the extent; `None` where they are not here. What the hub has met is an
    /// error for all who have come as far as the hub; where the log is broken, for everybody.
    pub(super) fn page(
        &self,
        extent: Extent,
        incarnation: Uuid,
    ) -> Result<Option<Page<Arc<R>>>, FeedError> {
        let left = match &self.standing {
            Standing::Stopped(error) => return Err(error.clone()),
            Standing::Starting => return Ok(None),
            Standing::Reading | Standing::Failing(_) => self.position - extent.after,
        };
        let Ok(left) = usize::try_from(left) else {
            return Ok(None);
        };
        let Some(skipped) = self.records.len().checked_sub(left) else {
            return Ok(None);
        };
        if left == 0
            && let Standing::Failing(error) = &self.standing
        {
            return Err(error.clone());
        }
        let mut gathered = Gathered::new(extent.bytes_max);
        for record in self.records.range(skipped..) {
            if gathered.records.len() as i64 >= extent.records_max || gathered.is_full() {
                break;
            }
            gathered.push(record.clone());
        }
        Ok(Some(Page {
            records: gathered.records,
            head: self.head,
            incarnation,
        }))
    }

    /// Whether there is anything to tell one who has read up to `after`.
    pub(super) fn is_news(&self, after: i64) -> bool {
        match self.standing {
            Standing::Starting => false,
            Standing::Reading => self.position > after,
            Standing::Failing(_) | Standing::Stopped(_) => true,
        }
    }
}

impl<R> Window<R> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            bytes_max,
            position: 0,
            head: 0,
            read_at: None,
            standing: Standing::Starting,
        }
    }

    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = standing;
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.records.len()
    }

    pub(super) fn health(&self) -> Health {
        Health {
            head: self.read_at.map(|_| self.head),
            age: self.read_at.map(|at| at.elapsed()),
            error: match &self.standing {
                Standing::Starting | Standing::Reading => None,
                Standing::Failing(error) | Standing::Stopped(error) => Some(error.clone()),
            },
        }
    }
}
