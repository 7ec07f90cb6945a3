//! Appending: one command's events into one stream, through the lane that all commands of the process share.

mod boundary;
mod flush;
mod sealed;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use crate::calls::CALLS_MAX;
use crate::lane::{Access, Flush, Lane, LaneError, Limits};
use crate::store::StreamId;
use crate::vault::VaultError;
pub use boundary::{Excluded, Tag, TagKey};
use flush::AppendFlush;
use sealed::{Key, Sealed};

/// An event that is to be appended. `payload` is an object; personal data in it stands in envelopes, sealed or not.
#[derive(Clone)]
pub struct NewEvent {
    pub id: Uuid,
    /// Stored name, for instance `site.registered`.
    pub event_type: String,
    pub event_version: String,
    pub payload: Value,
    /// What conditions of other commands may find it by.
    pub tags: Vec<Tag>,
}

/// Without the payload, which holds personal data in the clear until it is sealed.
impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEvent")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}

/// Who issues a command and what it follows from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub command_id: Uuid,
    pub correlation_id: Uuid,
    /// The event that made a process issue the command. `None` for what begins outside.
    pub causation_id: Option<Uuid>,
    /// For instance `api_key:<uuid>`. Never a name.
    pub actor: String,
    /// An object; request id, reason and source belong here.
    pub metadata: Value,
}

/// One command's decision.
#[derive(Clone, Debug)]
pub struct Append {
    pub tenant: Uuid,
    pub stream: StreamId,
    /// The site where there is one, else the account.
    pub owner: Uuid,
    /// The version that the decision was made on; 0 for a stream that is not there yet.
    pub expected: i64,
    pub origin: Origin,
    /// SHA-256 of the request, for a command with a client's key; its result is stored under the command id.
    pub request_hash: Option<[u8; 32]>,
    /// Alternatives: if the log has an event that one of them describes, in whatever stream, nothing is appended.
    pub excluded: Vec<Excluded>,
    pub events: Vec<NewEvent>,
}

/// Where a command's stream stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub aggregate_id: String,
    pub version: i64,
    /// The stream's last position in the log; 0 where the stream has no event.
    pub position: i64,
    /// The stored result of the same command was returned, and nothing was appended now.
    pub replayed: bool,
}

/// Why nothing was appended, except where it says that this is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the stream is at version {actual}")]
    Conflict { actual: i64 },
    #[error("the command's key was used for another request")]
    KeyReused,
    #[error("the stream belongs to another tenant")]
    NotFound,
    #[error("the stream is closed")]
    Closed,
    #[error("the event at position {position} is one that the command excludes")]
    ConditionFailed { position: i64 },
    #[error("too many commands wait already")]
    Overloaded,
    #[error("the event could not be sealed")]
    Seal(#[source] Arc<VaultError>),
    #[error("the database refused the event")]
    Rejected(#[source] Arc<sqlx::Error>),
    /// Not known to be appended: a retry with the same key settles it.
    #[error("the database did not answer")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// Not known to be appended: the process is stopping.
    #[error("the append lane has ended")]
    Ended,
}

impl From<VaultError> for AppendError {
    fn from(error: VaultError) -> Self {
        Self::Seal(Arc::new(error))
    }
}

pub(crate) type AppendLane = Lane<AppendFlush>;

/// `pool` is made by [`crate::connect_lane`].
pub(crate) fn start(pool: sqlx::PgPool, incarnation: Uuid) -> AppendLane {
    let limits = Limits {
        held_max: 4096,
        held_weight_max: 32 << 20,
        parties_min: 4,
        items_max: 256,
        weight_max: 4 << 20,
        calls_max: CALLS_MAX,
    };
    Lane::start("append", AppendFlush::new(pool, incarnation), limits)
}

/// Personal data in `append` is sealed already.
pub(crate) async fn append(
    lane: &AppendLane,
    tags: &TagKey,
    append: Append,
) -> Result<Appended, AppendError> {
    let started = std::time::Instant::now();
    let span = tracing::debug_span!("append", lane.wait_ms = Empty);
    let result = lane
        .submit(Sealed::new(append, tags))
        .instrument(span)
        .await
        .unwrap_or_else(|error| {
            Err(match error {
                LaneError::Full => AppendError::Overloaded,
                LaneError::Ended => AppendError::Ended,
            })
        });
    let outcome = match &result {
        Ok(appended) if appended.replayed => "replayed",
        Ok(_) => "ok",
        Err(AppendError::Conflict { .. } | AppendError::ConditionFailed { .. }) => "conflict",
        Err(_) => "error",
    };
    metrics::histogram!("proofline_append_duration_seconds", "outcome" => outcome)
        .record(started.elapsed().as_secs_f64());
    result
}

impl Flush for AppendFlush {
    type Item = Sealed;
    type Reply = Result<Appended, AppendError>;
    type Key = Key;

    fn keys(item: &Sealed) -> Vec<(Key, Access)> {
        item.keys()
    }

    fn party(item: &Sealed) -> Uuid {
        item.tenant
    }

    fn weight(item: &Sealed) -> usize {
        item.weight()
    }

    async fn flush(&self, items: Vec<Sealed>) -> Vec<Self::Reply> {
        self.append_all(&items).await
    }
}
