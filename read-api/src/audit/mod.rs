//! What happened in an account, and who opened its personal data: for its compliance officer.

mod access_filter;
mod filter;
mod graph;
mod list;
mod list_accesses;

use async_graphql::{ComplexObject, ID, SimpleObject};
use chrono::{DateTime, Utc};
use domain::ChangedFact;
use projections::Token;
use projections::audit::{AuditEntry, NotedAccess};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(crate) use self::graph::AuditQueries;
use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_audit))
        .routes(routes!(list_accesses::list_accesses))
}

/// Something that happened, and who was behind it.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "AuditEntry")]
struct Entry {
    /// Its place in the log; a read with it as `min_position` sees it.
    position: String,
    recorded_at: DateTime<Utc>,
    /// What happened, in plain words.
    #[schema(example = "The site was renamed \"Boots\".")]
    sentence: String,
    /// What was otherwise before. `null` where this version can't read the aggregate's history.
    changes: Option<Vec<Change>>,
    #[schema(example = "api_key:019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10")]
    actor: String,
    /// The `Proofline-Reason` of the request.
    #[schema(example = "ticket:4711")]
    reason: Option<String>,
    /// Where the command came in.
    #[schema(example = "http")]
    source: Option<String>,
    #[schema(example = "site.renamed")]
    event_type: String,
    event_id: Uuid,
    #[schema(example = "site")]
    aggregate_type: String,
    aggregate_id: String,
    /// After the event.
    #[schema(example = 2)]
    aggregate_version: i64,
    request_id: Option<String>,
    command_id: Uuid,
    correlation_id: Uuid,
    /// The event that brought the command about, where one did.
    causation_id: Option<Uuid>,
}

/// A fact about an aggregate that an event changed.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[schema(as = AuditChange)]
#[graphql(name = "AuditChange")]
struct Change {
    #[schema(example = "name")]
    name: String,
    /// `null` where it was not so.
    #[schema(example = "\"Shoes\"")]
    before: Option<String>,
    /// `null` where it is so no more.
    #[schema(example = "\"Boots\"")]
    after: Option<String>,
}

/// That somebody opened personal data.
#[derive(Debug, Serialize, ToSchema, SimpleObject)]
#[schema(as = AuditAccess)]
#[graphql(name = "AuditAccess", complex)]
struct Access {
    #[graphql(skip)]
    id: i64,
    accessed_at: DateTime<Utc>,
    #[schema(example = "api_key:019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10")]
    actor: String,
    /// Why: a short code.
    #[schema(example = "subject_export")]
    purpose: String,
    /// Whose data it was.
    subject_ids: Vec<Uuid>,
    /// How much of it, and by which request; never what was seen.
    #[schema(value_type = Object, example = json!({ "events": 12 }))]
    what: Value,
}

#[ComplexObject]
impl Access {
    /// Larger than whole numbers are in GraphQL.
    async fn id(&self) -> ID {
        self.id.into()
    }
}

impl Entry {
    /// `of` makes the token of a position.
    fn of(entry: AuditEntry, of: impl Fn(i64) -> Token) -> Self {
        let AuditEntry {
            event,
            sentence,
            changes,
        } = entry;
        Self {
            position: of(event.position).to_string(),
            recorded_at: event.recorded_at,
            sentence,
            changes: changes.map(|changes| changes.into_iter().map(Change::from).collect()),
            actor: event.actor,
            reason: event.origin.reason,
            source: event.origin.source,
            event_type: event.event_type,
            event_id: event.event_id,
            aggregate_type: event.stream.aggregate_type,
            aggregate_id: event.stream.aggregate_id,
            aggregate_version: event.version,
            request_id: event.origin.request_id,
            command_id: event.command_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
        }
    }
}

impl From<ChangedFact> for Change {
    fn from(fact: ChangedFact) -> Self {
        Self {
            name: fact.name,
            before: fact.before,
            after: fact.after,
        }
    }
}

impl From<NotedAccess> for Access {
    fn from(noted: NotedAccess) -> Self {
        Self {
            id: noted.id,
            accessed_at: noted.accessed_at,
            actor: noted.actor,
            purpose: noted.purpose,
            subject_ids: noted.subjects,
            what: noted.what,
        }
    }
}
