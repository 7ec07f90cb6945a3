//! The event store: one append lane into one ordered log, the telemetry log beside it, the feed that reads them, the
//! checkpoints of those who read, the vault that keeps personal data sealed, and the seals that make an alteration show.
//!
//! **Owns** schema `es` at run time and the keys of data subjects. **Must not know** what an event means: no word of
//! the domain stands here, aggregates come in through the traits of `cqrs_es`.

mod access_log;
mod append;
mod audit_tx;
mod bucket;
mod calls;
mod checkpoint;
mod cqrs;
pub mod fault;
mod feed;
mod intent;
mod lane;
mod lease;
mod parking;
mod place;
mod pool;
mod region;
pub mod seal;
mod snapshot;
mod store;
mod telemetry;
mod token;
mod upkeep;
pub mod vault;

pub use access_log::{Access, AccessFilter, AccessLog, AccessLogError, NotedAccess};
pub use append::{Append, AppendError, Appended, Excluded, NewEvent, Origin, Tag, TagKey};
pub use audit_tx::{About, AuditFilter, AuditTx, Stretch};
pub use bucket::{BUCKETS, Bucket, SHARDS, Shard};
pub use checkpoint::{CheckpointError, Checkpoints, ProjectionStatus};
pub use cqrs::{AggregateStore, Loaded, Scope, encode};
pub use feed::{EventLog, Extent, FeedError, Health, Hub, Log, Notifier, Page, Positioned, Reader};
pub use intent::Intent;
pub use lease::{Lease, Leases, Share, Worker, WorkerError};
pub use object_store::path::Path as PlacePath;
pub use parking::{DeadLetter, DeadLetterError, DeadLetters, LeftOut, ParkedKey, Repair, Withheld};
pub use place::{Content, Location, LocationError, Place, PlaceError, Stored};
pub use pool::{Role, begin, begin_with, connect, connect_lane};
pub use region::{Held, RegionError, Regions};
pub use snapshot::SnapshotSchema;
pub use store::{
    RecordedEvent, Store, StoreError, StoredCommand, StreamHead, StreamId, Streams, Tagged,
};
pub use telemetry::{Collected, NewTelemetry, TelemetryEvent, TelemetryLane, TelemetryLog};
pub use token::{LogName, Token, TokenError};
pub use upkeep::{Upkeep, UpkeepError};
