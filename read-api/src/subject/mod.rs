//! People's records: what they agreed to and what they ask for, for compliance officers.

mod certificate;
mod get;
mod list;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::data_subject::{Access, Consent, Erasure};
use projections::Projection;
use projections::subject_list::SubjectRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::SubjectList];

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_subjects))
        .routes(routes!(get::get_subject))
        .routes(routes!(certificate::get_certificate))
}

/// The record of a person. Who it is does not stand in it.
#[derive(Debug, Serialize, ToSchema)]
struct Subject {
    id: Uuid,
    /// Under which ids the person is known besides.
    identities: Vec<Uuid>,
    /// By purpose.
    consents: BTreeMap<String, ConsentGiven>,
    access: AccessState,
    erasure: ErasureState,
    /// The case for which the data has to be kept, whatever the person asks for.
    legal_hold: Option<String>,
    /// By when the first of the open requests has to be answered.
    due_at: Option<DateTime<Utc>>,
    /// Also the `ETag`, as `"v1"`.
    #[schema(example = 2)]
    version: i64,
    registered_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
enum ConsentGiven {
    Granted {
        text_version: String,
        at: DateTime<Utc>,
    },
    Withdrawn {
        at: DateTime<Utc>,
    },
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
enum AccessState {
    NotRequested,
    Requested {
        due_at: DateTime<Utc>,
    },
    /// What was handed out can be fetched until then.
    Fulfilled {
        expires_at: DateTime<Utc>,
    },
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
enum ErasureState {
    NotRequested,
    Requested {
        due_at: DateTime<Utc>,
    },
    /// Decided, and being carried out.
    Erased {
        due_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// Done: there is a certificate.
    Certified {
        at: DateTime<Utc>,
    },
}

impl From<SubjectRow> for Subject {
    fn from(row: SubjectRow) -> Self {
        let record = row.record;
        let consents = record.consents().iter().map(|(purpose, consent)| {
            let given = match consent {
                Consent::Granted { text_version, at } => ConsentGiven::Granted {
                    text_version: text_version.to_string(),
                    at: *at,
                },
                Consent::Withdrawn { at } => ConsentGiven::Withdrawn { at: *at },
            };
            (purpose.to_string(), given)
        });
        Self {
            id: row.subject_id.into(),
            identities: record.identities().iter().map(|id| (*id).into()).collect(),
            consents: consents.collect(),
            access: match record.access() {
                Access::NotRequested => AccessState::NotRequested,
                Access::Requested { due_at } => AccessState::Requested { due_at },
                Access::Fulfilled { expires_at } => AccessState::Fulfilled { expires_at },
            },
            erasure: match record.erasure() {
                Erasure::NotRequested => ErasureState::NotRequested,
                Erasure::Requested { due_at } => ErasureState::Requested { due_at },
                Erasure::Erased { due_at, at } => ErasureState::Erased { due_at, at },
                Erasure::Certified { at } => ErasureState::Certified { at },
            },
            legal_hold: record.legal_hold().map(ToString::to_string),
            due_at: row.due_at,
            version: row.version,
            registered_at: row.registered_at,
            updated_at: row.updated_at,
        }
    }
}
