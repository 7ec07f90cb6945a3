use event_store::{CheckpointError, FeedError, WorkerError};

use crate::projection::Projection;
use crate::runtime::{SinkError, Stopped};

/// Why a version could not be built, compared or switched to. What was served is served still.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("{0} has one version only: it is an index that is not rebuilt")]
    Unversioned(Projection),
    #[error("{0} is being rebuilt, verified or switched by another process")]
    UnderWay(Projection),
    #[error("no version of {0} is served")]
    NotServed(Projection),
    #[error("a version of {0} is not where it was left: somebody else has moved or switched it")]
    Moved(Projection),
    #[error("{projection} has no version {version} that stands by")]
    NoStandby {
        projection: Projection,
        version: i32,
    },
    #[error("{0} has no earlier version that stands by")]
    NoEarlier(Projection),
    #[error(
        "version {version} of {projection} needs revision {revision} of its code, which this build has not"
    )]
    UnknownRevision {
        projection: Projection,
        version: i32,
        revision: i32,
    },
    #[error("could not say that this process is at work")]
    Beat(#[from] WorkerError),
    #[error("could not keep the books of versions")]
    Books(#[source] sqlx::Error),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("could not read the head of the log")]
    Head(#[source] sqlx::Error),
    #[error("the log ends at position {position}, before {head}")]
    EndsEarly { position: i64, head: i64 },
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(
        "what shares its key's last two bytes takes more than {bytes_max} bytes; allow more memory"
    )]
    Bound { bytes_max: usize },
    #[error("a worker panicked")]
    Panicked(#[source] tokio::task::JoinError),
    #[error("could not create or drop a version's tables")]
    Tables(#[source] sqlx::Error),
    #[error("could not load rows")]
    Load(#[source] sqlx::Error),
    #[error("could not compare two versions")]
    Compare(#[source] sqlx::Error),
    #[error("could not work on a version in Redis")]
    Redis(#[source] redis::RedisError),
    #[error("could not work on a version in ClickHouse")]
    ClickHouse(#[source] clickhouse::error::Error),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
