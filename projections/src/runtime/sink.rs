use std::future::Future;

use event_store::{Intent, Leases, ProjectionStatus, Repair};

use super::batch::Batch;
use super::error::SinkError;
use crate::sink::Ledger;

/// Where a sink stands, by its own authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The shards that this worker holds, and where each stands.
    pub leases: Leases,
    /// The range that may be half written: exactly it comes next.
    pub intent: Option<Intent>,
}

/// What a log is projected into.
pub trait Sink<R>: Send + Sync + 'static {
    /// Stored name and version, for logs and metrics.
    fn identity(&self) -> (&str, i32);

    /// What the sink shares with other workers. `None` for one that lives and dies with this process.
    fn ledger(&self) -> Option<&Ledger> {
        None
    }

    /// Takes this worker's share and tells where it stands. Asked at the start, whenever shares move, and again after
    /// every failure, so that a batch whose outcome is unknown is neither lost nor repeated.
    fn resume(&mut self) -> impl Future<Output = Result<Standing, SinkError>> + Send;

    /// Writes the batch and moves to its end, both or neither, or so that [`Sink::resume`] tells what is left.
    fn apply(&mut self, batch: Batch<R>) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Writes a part of what waited of a parked key, and moves the key over it, both or neither, or so that a repetition
    /// does no harm. `records` are those of the key.
    fn repair(
        &mut self,
        repair: Repair,
        records: Vec<R>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Notes for people how the projection fares; must not fail it.
    fn report(
        &self,
        status: ProjectionStatus,
        last_error: Option<&str>,
    ) -> impl Future<Output = ()> + Send;
}
