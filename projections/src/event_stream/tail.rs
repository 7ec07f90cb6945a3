use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use event_store::{Leases, ProjectionStatus, RecordedEvent, Repair};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Live;
use crate::runtime::{Batch, Sink, SinkError, Standing};

/// Events held for subscribers that are a little slow; who is slower reads the log.
const HELD_EVENTS_MAX: usize = 1_024;

/// The end of the domain log as this process sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tail {
    live: broadcast::Sender<Arc<RecordedEvent>>,
    position: Arc<AtomicI64>,
    ended: CancellationToken,
}

impl Tail {
    /// Begins after `head`.
    pub(crate) fn after(head: i64) -> Self {
        Self {
            live: broadcast::Sender::new(HELD_EVENTS_MAX),
            position: Arc::new(AtomicI64::new(head)),
            ended: CancellationToken::new(),
        }
    }

    /// Returns when nothing more will come.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn listen(&self) -> Live {
        self.live.subscribe()
    }

    /// Every event after it will come, or has come, to those who listened before they asked.
    pub(super) fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }
}

/// Driven by the same runtime as every projection; its checkpoint is the tail's position, in memory.
pub(crate) struct TailSink {
    tail: Tail,
}

impl TailSink {
    pub(crate) fn new(tail: Tail) -> Self {
        Self { tail }
    }
}

impl Sink<Arc<RecordedEvent>> for TailSink {
    fn identity(&self) -> (&str, i32) {
        ("event_stream", 1)
    }

    async fn resume(&mut self) -> Result<Standing, SinkError> {
        Ok(Standing {
            leases: Leases::all_at(&[self.tail.position()]),
            intent: None,
        })
    }

    /// The position first: a subscriber that listens in between reads from the log what it then also hears, and knows it
    /// by its position.
    async fn apply(&mut self, batch: Batch<Arc<RecordedEvent>>) -> Result<(), SinkError> {
        self.tail.position.store(batch.to(), Ordering::Release);
        for event in batch.into_pending() {
            // Nobody listens: nobody misses it.
            let _ = self.tail.live.send(event);
        }
        Ok(())
    }

    /// A tail writes nothing, so that nothing of it ever waits.
    async fn repair(&mut self, _: Repair, _: Vec<Arc<RecordedEvent>>) -> Result<(), SinkError> {
        Ok(())
    }

    /// Nothing is stored about a tail; but whoever listens to one that has stopped would wait for ever.
    async fn report(&self, status: ProjectionStatus, _: Option<&str>) {
        match status {
            ProjectionStatus::Running => {}
            ProjectionStatus::Stopped => self.tail.ended.cancel(),
        }
    }
}

impl Drop for TailSink {
    fn drop(&mut self) {
        self.tail.ended.cancel();
    }
}
