use chrono::{DateTime, Utc};
use domain::data_subject::DataSubject;
use domain::{AccountId, SubjectId};
use sqlx::types::Json;
use uuid::Uuid;

/// A person's record as a compliance officer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    pub subject_id: SubjectId,
    pub record: DataSubject,
    /// By when the first of the open requests has to be answered.
    pub due_at: Option<DateTime<Utc>>,
    /// Of the erasure: a signed note.
    pub certificate: Option<String>,
    /// Of the aggregate: the `ETag`.
    pub version: i64,
    /// Where in the log it was opened: the key of its place in a list.
    pub position: i64,
    pub registered_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Somebody who is to be erased, and the event by which they asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToErase {
    pub subject_id: SubjectId,
    pub account_id: AccountId,
    pub event_id: Uuid,
    pub correlation_id: Uuid,
    /// The key of the row's place.
    pub position: i64,
}

/// Somebody with a record who has not asked to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAsking {
    pub subject_id: SubjectId,
    pub account_id: AccountId,
}

/// People with an open request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRequests {
    pub all: i64,
    /// Those that should have been answered.
    pub overdue: i64,
}

pub(super) struct StoredRow {
    pub(super) subject_id: Uuid,
    pub(super) record: Json<DataSubject>,
    pub(super) due_at: Option<DateTime<Utc>>,
    pub(super) certificate: Option<String>,
    pub(super) version: i64,
    pub(super) position: i64,
    pub(super) registered_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

impl From<StoredRow> for SubjectRow {
    fn from(row: StoredRow) -> Self {
        Self {
            subject_id: row.subject_id.into(),
            record: row.record.0,
            due_at: row.due_at,
            certificate: row.certificate,
            version: row.version,
            position: row.position,
            registered_at: row.registered_at,
            updated_at: row.updated_at,
        }
    }
}
