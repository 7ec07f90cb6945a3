//! What is held about a person, for that person.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate as _;
use domain::activity::Activity;
use domain::data_subject::{Access, DataSubject, Erasure};
use domain::{AccountId, CaseReference, SubjectId};
use event_store::vault::{SubjectEvents, Vault, VaultError};
use event_store::{
    AccessLog, AccessLogError, EventLog, Log as _, LogName, RecordedEvent, StreamId,
};
use projections::positions::{PositionError, Waited};
use projections::subject_list::{self, SubjectRow};
use projections::{Positions, Projection, ReadError, ReadTx, held};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::audit::because;
use crate::past::mask;

const PURPOSE: &str = "subject_export";
/// How long what is appended just now is waited for.
const PROJECTED_WITHIN: Duration = Duration::from_secs(10);
const READ_MAX: usize = 500;

/// What an export works with. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    /// As [`event_store::Role::Reader`].
    pub reader: PgPool,
    pub positions: Positions,
    pub vault: Vault,
    pub index: SubjectEvents,
    pub log: EventLog,
    pub accesses: AccessLog,
    /// How long looking through the read models may take, all of which are looked at.
    pub searched_within: Duration,
}

/// Everything that is held, with where it is from.
#[derive(Debug, Serialize)]
pub struct Export {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub account: Uuid,
    pub subject: Uuid,
    /// Under which ids the person is known besides.
    pub identities: Vec<Uuid>,
    pub made_at: DateTime<Utc>,
    /// Complete up to this position of the log.
    pub position: i64,
    pub log: Uuid,
    /// What happened, in order.
    pub events: Vec<ExportedEvent>,
    /// What was made of that, to be read quickly.
    pub read_models: Vec<ExportedRows>,
    /// Where else one could look, and why nothing is there.
    pub elsewhere: &'static [Elsewhere],
}

#[derive(Debug, Serialize)]
pub struct ExportedEvent {
    pub position: i64,
    pub recorded_at: DateTime<Utc>,
    pub event_type: String,
    /// Whether it was told by a shop, a merchant, a process: as events name actors.
    pub actor: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// In plain words.
    pub said: String,
    /// With what is personal opened; what is somebody else's is withheld.
    pub data: Value,
}

#[derive(Debug, Serialize)]
pub struct ExportedRows {
    pub table: String,
    pub rows: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub struct Elsewhere {
    pub place: &'static str,
    pub why: &'static str,
}

const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        place: "telemetry log, counters and analytics",
        why: "They hold what pages showed and what was clicked, by site and page, without the id of a person. A page's address, \
              which the shop chose, is kept without its query, and without what looks like an e-mail address.",
    },
    Elsewhere {
        place: "dead letters, results of commands, snapshots",
        why: "They hold ids, positions and hashes under a secret, and no personal data.",
    },
    Elsewhere {
        place: "the log of accesses",
        why: "It holds who opened the person's data, when and for what, under the ids that stand above, and nothing of the data.",
    },
    Elsewhere {
        place: "backups, and what was exported for auditors",
        why: "They are copies of the events and rows above, sealed as these are. Keys are backed up apart. Other archives there are none.",
    },
    Elsewhere {
        place: "logs and traces",
        why: "They name requests, accounts and ids, and no personal data.",
    },
];

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there is no record of this person in the account")]
    NotFound,
    #[error("the person was erased")]
    Erased,
    #[error("another link was handed out since")]
    OtherLink,
    #[error("could not read the log")]
    ReadLog(#[source] sqlx::Error),
    #[error("could not read which events hold the person's data")]
    Index(#[source] VaultError),
    #[error("could not open personal data of the event at position {position}")]
    Open { position: i64, source: VaultError },
    #[error("the event at position {position} does not decode")]
    Decode {
        position: i64,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not read the read models")]
    Read(#[from] ReadError),
    #[error("could not read where the projections stand")]
    Positions(#[source] PositionError),
    #[error(
        "the projections have not reached position {position} yet, or an event of the account waits behind one that is parked"
    )]
    Behind { position: i64 },
    #[error("the opening could not be noted, so nothing is opened")]
    Note(#[source] AccessLogError),
}

impl ExportError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotFound | Self::Erased | Self::OtherLink | Self::Decode { .. } => false,
            Self::Open { source, .. } => source.is_transient(),
            Self::ReadLog(_)
            | Self::Index(_)
            | Self::Read(_)
            | Self::Positions(_)
            | Self::Behind { .. }
            | Self::Note(_) => true,
        }
    }
}

/// Who exports, as events name actors, and by which request.
#[derive(Clone, Debug)]
pub struct Asker {
    pub actor: String,
    pub request: Value,
    pub reason: Option<CaseReference>,
    /// Of the link by which they do: it has to be the one that was handed out last.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Every projection of the domain log.
pub(super) fn followers() -> Vec<Projection> {
    let all = Projection::ALL.iter().copied();
    all.filter(|projection| projection.log() == LogName::Events)
        .collect()
}

impl Exports {
    /// Everything that the account holds about a person. Noted before anything is opened.
    pub async fn export(
        &self,
        account: AccountId,
        subject: SubjectId,
        asker: &Asker,
    ) -> Result<Export, ExportError> {
        let (head, incarnation) = self.log.head().await.map_err(ExportError::ReadLog)?;
        self.reached(account, head).await?;
        let record = self.record(account, subject).await?;
        let handed_out = match record.record.access() {
            Access::Fulfilled { expires_at } => Some(expires_at),
            Access::NotRequested | Access::Requested { .. } => None,
        };
        if asker.expires_at.is_some() && asker.expires_at != handed_out {
            return Err(ExportError::OtherLink);
        }
        let identities: Vec<Uuid> = record
            .record
            .identities()
            .iter()
            .map(|id| (*id).into())
            .collect();
        let ids: Vec<Uuid> = std::iter::once(subject.into())
            .chain(identities.iter().copied())
            .collect();
        let events = self.events(account, subject, &ids, head).await?;
        let mut tx = ReadTx::begin(&self.reader, account, &[]).await?;
        let held = held::held_about(&mut tx, &ids, self.searched_within).await?;
        drop(tx);
        let access = event_store::Access {
            tenant: account.into(),
            actor: asker.actor.clone(),
            purpose: PURPOSE,
            subjects: ids.clone(),
            what: because(
                json!({ "events": events.len(), "request": asker.request }),
                asker.reason.as_ref(),
            ),
        };
        self.accesses
            .note(&access)
            .await
            .map_err(ExportError::Note)?;
        let mut exported = Vec::with_capacity(events.len());
        for event in events {
            exported.push(self.exported(event, &ids).await?);
        }
        let mut read_models = Vec::with_capacity(held.len());
        for held in held {
            let mut rows = Vec::with_capacity(held.rows.len());
            for row in held.rows {
                rows.push(self.opened_row(account, row, &ids).await?);
            }
            read_models.push(ExportedRows {
                table: held.table,
                rows,
            });
        }
        Ok(Export {
            kind: "proofline.subject-export/1",
            account: account.into(),
            subject: subject.into(),
            identities,
            made_at: platform::clock::now(),
            position: head,
            log: incarnation,
            events: exported,
            read_models,
            elsewhere: ELSEWHERE,
        })
    }

    async fn record(
        &self,
        account: AccountId,
        subject: SubjectId,
    ) -> Result<SubjectRow, ExportError> {
        let mut tx = ReadTx::begin(&self.reader, account, &[Projection::SubjectList]).await?;
        let found = subject_list::get(&mut tx, subject).await?.value;
        let record = found.ok_or(ExportError::NotFound)?;
        match record.record.erasure() {
            Erasure::NotRequested | Erasure::Requested { .. } => Ok(record),
            Erasure::Erased { .. } | Erasure::Certified { .. } => Err(ExportError::Erased),
        }
    }

    /// What waits behind a parked event was passed, and is not in the read models.
    async fn reached(&self, account: AccountId, head: i64) -> Result<(), ExportError> {
        let token = self.log.token(head);
        let all = followers();
        let waited = self.positions.wait_for(&all, token, PROJECTED_WITHIN).await;
        let waited = waited.map_err(ExportError::Positions)?;
        let names: Vec<&str> = all.iter().map(|projection| projection.name()).collect();
        let has_waiting = self.log.has_waiting(account.into(), &names).await;
        if waited == Waited::NotReached || has_waiting.map_err(ExportError::ReadLog)? {
            return Err(ExportError::Behind { position: head });
        }
        Ok(())
    }

    /// Those that hold the person's data with what happened to the same since, and those of the record, in order.
    async fn events(
        &self,
        account: AccountId,
        subject: SubjectId,
        ids: &[Uuid],
        head: i64,
    ) -> Result<Vec<RecordedEvent>, ExportError> {
        let positions = self
            .index
            .positions(ids, self.log.token(head))
            .await
            .map_err(ExportError::Index)?;
        let mut events = Vec::new();
        for some in positions.chunks(READ_MAX) {
            let read = self.log.read_at(some).await;
            events.extend(read.map_err(ExportError::ReadLog)?);
        }
        let mut streams = HashSet::from([StreamId::of::<DataSubject>(&subject.to_string())]);
        let activities = events.iter().map(|event| &event.stream);
        let activities = activities.filter(|stream| stream.aggregate_type == Activity::TYPE);
        streams.extend(activities.cloned());
        for stream in &streams {
            events.extend(self.stream(stream).await?);
        }
        events.retain(|event| event.tenant == *account.as_uuid() && event.position <= head);
        events.sort_by_key(|event| event.position);
        events.dedup_by_key(|event| event.position);
        Ok(events)
    }

    async fn stream(&self, stream: &StreamId) -> Result<Vec<RecordedEvent>, ExportError> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let sequence = events.last().map_or(0, |last| last.sequence);
            let page = self.log.read_stream(stream, sequence, READ_MAX as i64);
            let page = page.await.map_err(ExportError::ReadLog)?;
            let is_last = page.len() < READ_MAX;
            events.extend(page);
            if is_last {
                return Ok(events);
            }
        }
    }

    async fn exported(
        &self,
        event: RecordedEvent,
        ids: &[Uuid],
    ) -> Result<ExportedEvent, ExportError> {
        let position = event.position;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ExportError::Decode {
            position,
            source,
        };
        let decoded = projections::decode(&event).map_err(|error| failed(error.into()))?;
        let mut data = event
            .payload_value()
            .map_err(|error| failed(error.into()))?;
        let opened = self
            .vault
            .open(event.tenant, event.event_id, &mut data)
            .await;
        opened.map_err(|source| ExportError::Open { position, source })?;
        Ok(ExportedEvent {
            position,
            recorded_at: event.recorded_at,
            event_type: event.event_type,
            actor: event.actor,
            aggregate_type: event.stream.aggregate_type,
            aggregate_id: event.stream.aggregate_id,
            said: decoded.sentence(),
            data: mask::but_for(&data, ids),
        })
    }

    /// A row that keeps an envelope keeps it under the name that it has in its event, and that event's id beside it.
    async fn opened_row(
        &self,
        account: AccountId,
        mut row: Value,
        ids: &[Uuid],
    ) -> Result<Value, ExportError> {
        let sealed_for = row
            .get("event_id")
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok());
        if let Some(event) = sealed_for {
            let position = row
                .get("position")
                .and_then(Value::as_i64)
                .unwrap_or_default();
            let opened = self.vault.open(account.into(), event, &mut row).await;
            opened.map_err(|source| ExportError::Open { position, source })?;
        }
        Ok(mask::but_for(&row, ids))
    }
}
