use std::time::Duration;

use domain::DecodeError;
use event_store::vault::VaultError;
use event_store::{CheckpointError, FeedError};
use uuid::Uuid;

use crate::fold::{Place, ProjectError};

/// Why a sink did not take a batch or could not tell where it stands.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("could not keep the checkpoint")]
    Checkpoint(#[from] CheckpointError),
    #[error("could not read the head of the log")]
    Head(#[source] sqlx::Error),
    #[error("could not begin a transaction")]
    Begin(#[source] sqlx::Error),
    #[error("could not enter the schema {schema}")]
    EnterSchema { schema: String, source: sqlx::Error },
    #[error("could not load rows")]
    LoadRows(#[source] sqlx::Error),
    #[error("could not store rows")]
    StoreRows(#[source] sqlx::Error),
    #[error("could not remove rows")]
    RemoveRows(#[source] sqlx::Error),
    #[error("could not commit a batch")]
    Commit(#[source] sqlx::Error),
    #[error("could not decode the event at position {}", .place.position)]
    Decode { place: Place, source: DecodeError },
    #[error("could not project the event at position {}", .place.position)]
    Project { place: Place, source: ProjectError },
    #[error("could not read the telemetry at position {}", .place.position)]
    Telemetry {
        place: Place,
        source: serde_json::Error,
    },
    #[error("could not read where Redis stands")]
    ReadRedis(#[source] redis::RedisError),
    #[error("could not apply a batch in Redis")]
    ApplyRedis(#[source] redis::RedisError),
    #[error("could not insert positions {from} to {to} into ClickHouse")]
    Insert {
        from: i64,
        to: i64,
        source: clickhouse::error::Error,
    },
    #[error("ClickHouse did not take positions {from} to {to} within {deadline:?}")]
    InsertDeadline {
        from: i64,
        to: i64,
        deadline: Duration,
    },
    #[error("could not look what ClickHouse has of positions {from} to {to}")]
    LookUp {
        from: i64,
        to: i64,
        source: clickhouse::error::Error,
    },
    #[error("could not correct ClickHouse's sums over positions {from} to {to}")]
    EvenOut {
        from: i64,
        to: i64,
        source: clickhouse::error::Error,
    },
    #[error(
        "ClickHouse still works on an insert that nobody waits for; positions {from} to {to} have to"
    )]
    StillInserting { from: i64, to: i64 },
    #[error("ClickHouse took positions {from} to {to} and does not have them")]
    Unsettled { from: i64, to: i64 },
    #[error("could not index which events hold whose data")]
    Index(#[source] VaultError),
    #[error("the sink stands in incarnation {found} of the log, which is now {expected}")]
    OtherIncarnation { expected: Uuid, found: String },
    #[error("another worker has moved the sink on")]
    Fenced,
}

/// Why a runner's attempt ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("could not read the head of the log")]
    Head(#[source] sqlx::Error),
    /// Exactly this range must be written again, and the log no longer has it.
    #[error(
        "the log ends at position {head}, within the range up to {to} that was about to be written"
    )]
    LostIntent { head: i64, to: i64 },
    #[error("{parked} keys are parked, and more than {max} are too many to go on")]
    TooManyParked { parked: usize, max: usize },
}

/// A projector that stopped and stays so until it is started again: nothing was skipped.
#[derive(Debug, thiserror::Error)]
#[error("projection {name} version {version} stopped after position {position}")]
pub struct Stopped {
    pub name: String,
    pub version: i32,
    /// What was written last; -1 where the sink never told.
    pub position: i64,
    pub source: RunError,
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// An engine does not serve: try again, for as long as it takes.
    Transient,
    /// Another worker has taken shards over: see what is left, and go on.
    Fenced,
    /// This event can't be written: after some tries its key is parked.
    Poison(Place),
    /// Trying again would meet the same: stop.
    Fatal,
}

impl RunError {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Feed(FeedError::Read { source, .. }) => of_sqlx(source),
            Self::Head(source) => of_sqlx(source),
            Self::Feed(
                FeedError::NotContiguous { .. }
                | FeedError::OutOfOrder { .. }
                | FeedError::LostTail { .. }
                | FeedError::OtherIncarnation { .. },
            )
            | Self::LostIntent { .. }
            | Self::TooManyParked { .. } => Severity::Fatal,
            Self::Sink(error) => error.severity(),
        }
    }
}

impl SinkError {
    /// Whether the same may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        self.severity() == Severity::Transient
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Checkpoint(error) => of_checkpoint(error),
            Self::Head(source)
            | Self::Begin(source)
            | Self::EnterSchema { source, .. }
            | Self::LoadRows(source)
            | Self::StoreRows(source)
            | Self::RemoveRows(source)
            | Self::Commit(source) => of_sqlx(source),
            Self::Project { place, source } => match source {
                ProjectError::Store(source) if is_transient(source) => Severity::Transient,
                // The table is not what this build knows: every event would be refused.
                ProjectError::Store(source) if !is_refused_value(source) => Severity::Fatal,
                ProjectError::Store(_)
                | ProjectError::AggregateId(_)
                | ProjectError::Payload(_)
                | ProjectError::MissingRow
                | ProjectError::RowStands
                | ProjectError::Record(_) => Severity::Poison(*place),
            },
            Self::Decode { place, .. } | Self::Telemetry { place, .. } => Severity::Poison(*place),
            // Redis and ClickHouse hold nothing that could contradict the log: whatever they answer, they may answer
            // otherwise once an operator has seen to them.
            Self::ReadRedis(_)
            | Self::ApplyRedis(_)
            | Self::Insert { .. }
            | Self::InsertDeadline { .. }
            | Self::LookUp { .. }
            | Self::EvenOut { .. }
            | Self::StillInserting { .. }
            | Self::Unsettled { .. } => Severity::Transient,
            Self::Index(error) if error.is_transient() => Severity::Transient,
            Self::Index(_) | Self::OtherIncarnation { .. } => Severity::Fatal,
            Self::Fenced => Severity::Fenced,
        }
    }
}

fn of_checkpoint(error: &CheckpointError) -> Severity {
    match error {
        CheckpointError::Register { source, .. }
        | CheckpointError::Read { source, .. }
        | CheckpointError::Settle { source, .. }
        | CheckpointError::Advance { source, .. }
        | CheckpointError::StoreIntent { source, .. }
        | CheckpointError::Park { source, .. }
        | CheckpointError::Report { source, .. } => of_sqlx(source),
        CheckpointError::OtherIncarnation { .. } | CheckpointError::UnknownIntent { .. } => {
            Severity::Fatal
        }
        CheckpointError::Fenced { .. } => Severity::Fenced,
    }
}

fn of_sqlx(error: &sqlx::Error) -> Severity {
    if is_transient(error) {
        Severity::Transient
    } else {
        Severity::Fatal
    }
}

/// Whether the same statement may succeed later. Not so for classes 22 and 23 of SQLSTATE, which refuse a value, and
/// 42, a statement that does not fit the schema; nor for rows that do not decode.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => !database.code().is_some_and(|code| {
            ["22", "23", "42"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::TypeNotFound { .. } => false,
        _ => true,
    }
}

/// Classes 22 and 23 of SQLSTATE: it is the value that the database does not take.
fn is_refused_value(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    database
        .code()
        .is_some_and(|code| ["22", "23"].iter().any(|class| code.starts_with(class)))
}

/// The error and what it comes from, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
