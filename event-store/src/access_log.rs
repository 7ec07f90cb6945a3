//! Who opened personal data, and why: noted in the database, where nobody alters it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// That somebody opens personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub tenant: Uuid,
    /// As events name actors.
    pub actor: String,
    /// A short name such as `subject_export`, the same for ever.
    pub purpose: &'static str,
    /// Whose data it is, as far as that is known before it is opened.
    pub subjects: Vec<Uuid>,
    /// How much of it, and by which request: an object of counts and ids, never of what is seen.
    pub what: Value,
}

/// Which accesses are wanted: those that are all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessFilter {
    pub actor: Option<String>,
    pub purpose: Option<String>,
    /// Among those whose data it was.
    pub subject: Option<Uuid>,
    /// Noted then or later.
    pub from: Option<DateTime<Utc>>,
    /// Noted before.
    pub until: Option<DateTime<Utc>>,
}

/// A noted access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedAccess {
    /// In the order in which accesses were noted.
    pub id: i64,
    pub accessed_at: DateTime<Utc>,
    pub actor: String,
    pub purpose: String,
    pub subjects: Vec<Uuid>,
    pub what: Value,
}

/// Why an access could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    #[error("could not note who opens personal data")]
    Note(#[source] sqlx::Error),
}

/// Cheap to clone. Read in an [`crate::AuditTx`].
#[derive(Clone)]
pub struct AccessLog {
    pool: PgPool,
}

impl AccessLog {
    /// `pool` connects as [`crate::Role::Writer`] or [`crate::Role::Compliance`].
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Durable when it returns, and to be called before anything is shown: what can't be noted stays closed.
    pub async fn note(&self, access: &Access) -> Result<(), AccessLogError> {
        sqlx::query!(
            "select es.note_access($1, $2, $3, $4, $5)",
            access.tenant,
            access.actor,
            access.purpose,
            &access.subjects,
            access.what
        )
        .execute(&self.pool)
        .await
        .map_err(AccessLogError::Note)?;
        metrics::counter!("proofline_accesses_total", "purpose" => access.purpose).increment(1);
        Ok(())
    }
}
