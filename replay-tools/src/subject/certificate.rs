//! What is certified of an erasure.

use chrono::{DateTime, Utc};
use event_store::vault::Erasure;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text of a signed note, as JSON. Stored; its members are never renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The incarnation of the log that positions are of.
    pub log: Uuid,
    pub account: Uuid,
    pub subject: Uuid,
    /// Under which ids the person was known besides.
    pub identities: Vec<Uuid>,
    /// The event by which they asked.
    pub requested_by: Uuid,
    pub erased_at: DateTime<Utc>,
    /// Of the events that held personal data, which nobody can open any more.
    pub positions: Vec<i64>,
    pub keys: Vec<DestroyedKey>,
    /// From then on nobody can undo it.
    pub final_at: DateTime<Utc>,
    /// The last position of what made every read model forget the person.
    pub forgotten_at_position: i64,
    /// All beyond it.
    pub projections: Vec<ProjectionPast>,
    /// How long what was served before may stay in caches that are not ours, in seconds.
    pub caches_outside_max_age_s: u32,
    pub certified_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "proofline.erasure-certificate/1")]
    ErasureCertificate1,
}

/// The end of a key that personal data was sealed under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyedKey {
    pub subject: Uuid,
    pub erased_at: DateTime<Utc>,
    /// The provider's key that wrapped it, or the tree's that it derived from, and what the provider said when it destroyed that.
    /// Neither in certificates from before there were trees, for somebody who never had a key.
    pub wrapped_by: Option<String>,
    pub receipt: Option<String>,
    pub final_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionPast {
    pub name: String,
    pub version: i32,
    pub checkpoint: i64,
}

impl From<Erasure> for DestroyedKey {
    fn from(erasure: Erasure) -> Self {
        Self {
            subject: erasure.subject,
            erased_at: erasure.erased_at,
            wrapped_by: erasure.provider_key_id,
            receipt: erasure.receipt,
            final_at: erasure.final_at,
        }
    }
}

impl Certificate {
    /// As it is signed: indented JSON, and a line break.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}
