//! What happened in an account, as its compliance officer reads it: every event newest first, with who was behind it and
//! what it changed, in words. From the log alone: there is no table of its own that could differ from it.
//!
//! Personal data and secrets are neither opened nor told; sentences and facts hold none.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{AccountId, ChangedFact, State, changed_facts};
pub use event_store::{About, AccessFilter, AuditFilter, NotedAccess, StreamId};
use event_store::{AuditTx, RecordedEvent, Stretch};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::decode::decode;
use crate::read::{AsOf, Page};

/// Events that are read at once where a text is looked for.
const SEARCHED_AT_ONCE: i64 = 500;

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub filter: AuditFilter,
    /// Recorded then or later.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before.
    pub until: Option<DateTime<Utc>>,
    /// In the sentence, in whatever case.
    pub text: Option<String>,
    /// [`AuditPage::next`] of the page before.
    pub before: Option<i64>,
    pub limit: u16,
}

/// An event, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub event: Told,
    pub sentence: String,
    /// What the event changed about its aggregate; `None` where this build can't read the aggregate's events up to it.
    pub changes: Option<Vec<ChangedFact>>,
}

/// Who did it, when, why and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub position: i64,
    pub recorded_at: DateTime<Utc>,
    pub event_id: Uuid,
    pub event_type: String,
    pub stream: StreamId,
    /// Of the aggregate, after the event.
    pub version: i64,
    pub actor: String,
    pub origin: Origin,
    pub command_id: Uuid,
    pub correlation_id: Uuid,
    pub causation_id: Option<Uuid>,
}

/// What an event's metadata says of where it came from. What is not there was not noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// For instance `http`.
    pub source: Option<String>,
    /// A reference that the caller gave, for instance `ticket:4711`.
    pub reason: Option<String>,
    pub request_id: Option<String>,
}

/// Entries newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where to go on. There may be one after few entries or none: a request looks through so many events and no more.
    pub next: Option<i64>,
}

/// Why the audit could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("could not begin to read an account's audit")]
    Begin(#[source] sqlx::Error),
    #[error("could not find the events of a time")]
    FindTime(#[source] sqlx::Error),
    #[error("could not read an account's events")]
    ReadEvents(#[source] sqlx::Error),
    #[error("could not read the history of what events changed")]
    ReadHistory(#[source] sqlx::Error),
    #[error("could not read who opened an account's personal data")]
    ReadAccesses(#[source] sqlx::Error),
}

/// A page of the account's events. `pool` connects as [`event_store::Role::Compliance`].
pub async fn page(
    pool: &PgPool,
    account: AccountId,
    query: &AuditQuery,
) -> Result<AsOf<AuditPage>, AuditError> {
    let mut tx = AuditTx::begin(pool, account.into())
        .await
        .map_err(AuditError::Begin)?;
    let mut stretch = tx
        .stretch(query.from, query.until)
        .await
        .map_err(AuditError::FindTime)?;
    if let Some(before) = query.before {
        stretch.until = stretch.until.min(before);
    }
    let found = find(&mut tx, query, stretch)
        .await
        .map_err(AuditError::ReadEvents)?;
    let entries = with_changes(&mut tx, found.events)
        .await
        .map_err(AuditError::ReadHistory)?;
    let value = AuditPage {
        entries,
        next: found.next,
    };
    Ok(AsOf {
        value,
        position: tx.position(),
    })
}

/// Who opened the account's personal data, newest first. `before` is the id of the last one known.
pub async fn accesses(
    pool: &PgPool,
    account: AccountId,
    filter: &AccessFilter,
    before: Option<i64>,
    limit: u16,
) -> Result<AsOf<Page<NotedAccess>>, AuditError> {
    let mut tx = AuditTx::begin(pool, account.into())
        .await
        .map_err(AuditError::Begin)?;
    let rows = tx
        .accesses(filter, before, i64::from(limit) + 1)
        .await
        .map_err(AuditError::ReadAccesses)?;
    Ok(AsOf {
        value: Page::of(rows, limit),
        position: tx.position(),
    })
}

struct Found {
    events: Vec<(RecordedEvent, String)>,
    next: Option<i64>,
}

/// The newest events of the stretch that are wanted, with their sentences.
async fn find(
    tx: &mut AuditTx,
    query: &AuditQuery,
    stretch: Stretch,
) -> Result<Found, sqlx::Error> {
    let limit = usize::from(query.limit);
    let passes_all = query.text.is_none() && query.filter == AuditFilter::default();
    let mut left = if passes_all {
        stretch // the first of it are the page
    } else {
        tx.within_reach(stretch, &query.filter).await?
    };
    // What is beyond is looked through by the next request.
    let beyond = (left.from > stretch.from).then_some(left.from);
    let text = query.text.as_ref().map(|text| text.to_lowercase());
    let at_once = match text {
        Some(_) => SEARCHED_AT_ONCE,
        None => i64::from(query.limit) + 1,
    };
    let mut events: Vec<(RecordedEvent, String)> = Vec::new();
    while !left.is_empty() {
        let read = tx.events(left, &query.filter, at_once).await?;
        left.until = match read.last() {
            Some(last) if read.len() as i64 == at_once => last.position,
            _ => left.from,
        };
        for event in read {
            let sentence = sentence(&event);
            let is_wanted = text
                .as_ref()
                .is_none_or(|text| sentence.to_lowercase().contains(text));
            if !is_wanted {
                continue;
            }
            if events.len() == limit {
                // There is one more.
                let next = events.last().map(|(last, _)| last.position);
                return Ok(Found { events, next });
            }
            events.push((event, sentence));
        }
    }
    Ok(Found {
        events,
        next: beyond,
    })
}

/// An event of another build is told, too: that it happened is not to be hidden.
fn sentence(event: &RecordedEvent) -> String {
    match decode(event) {
        Ok(decoded) => decoded.sentence(),
        Err(_) => format!(
            "{} happened, which this build can't read.",
            event.event_type
        ),
    }
}

/// Folds each aggregate once, up to its last event among these.
async fn with_changes(
    tx: &mut AuditTx,
    events: Vec<(RecordedEvent, String)>,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    let mut streams: HashMap<StreamId, i64> = HashMap::new();
    let mut changes: HashMap<i64, Option<Vec<ChangedFact>>> = HashMap::new();
    for (event, _) in &events {
        let version = streams.entry(event.stream.clone()).or_default();
        *version = event.sequence.max(*version);
        changes.insert(event.position, None);
    }
    let mut folding: Option<(StreamId, Option<State>)> = None;
    tx.visit(streams, |event| {
        let mut state = match folding.take() {
            Some((stream, state)) if stream == event.stream => state,
            _ => State::absent(&event.stream.aggregate_type),
        };
        match changes.get_mut(&event.position) {
            Some(change) => {
                let before = state.as_ref().map(State::facts);
                state = apply(state, &event);
                *change = before
                    .zip(state.as_ref())
                    .map(|(before, state)| changed_facts(before, state.facts()));
            }
            None => state = apply(state, &event),
        }
        folding = Some((event.stream, state));
    })
    .await?;
    let told = events.into_iter().map(|(event, sentence)| AuditEntry {
        changes: changes.remove(&event.position).flatten(),
        event: Told::of(event),
        sentence,
    });
    Ok(told.collect())
}

/// `None` from the first event on that this build can't read.
fn apply(state: Option<State>, event: &RecordedEvent) -> Option<State> {
    let mut state = state?;
    state.apply(decode(event).ok()?).ok()?;
    Some(state)
}

impl Told {
    fn of(event: RecordedEvent) -> Self {
        Self {
            origin: Origin::of(&event),
            position: event.position,
            recorded_at: event.recorded_at,
            event_id: event.event_id,
            event_type: event.event_type,
            stream: event.stream,
            version: event.sequence,
            actor: event.actor,
            command_id: event.command_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
        }
    }
}

impl Origin {
    /// Of whatever shape metadata is, it is never a reason not to tell of the event.
    fn of(event: &RecordedEvent) -> Self {
        let metadata: Value = serde_json::from_str(event.metadata.get()).unwrap_or_default();
        let text = |name: &str| metadata.get(name)?.as_str().map(str::to_owned);
        Self {
            source: text("source"),
            reason: text("reason"),
            request_id: text("request_id"),
        }
    }
}
