//! A read model's rows as they were at a position of the log: the fold that the live projector folds with, over the events
//! of one tenant, kept nowhere.

use event_store::{EventLog, RecordedEvent};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::fold::{Change, Fold, Rows};
use crate::integration_list::IntegrationList;
use crate::notification_list::NotificationList;
use crate::projection::Projection;
use crate::proof_feed::ProofFeed;
use crate::runtime::SinkError;
use crate::site_list::SiteList;
use crate::subject_list::SubjectList;

/// How many positions are read at once. Only the tenant's events among them are held.
const WINDOW: i64 = 20_000;

/// Why rows could not be told.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error("{0} has no rows that are folded from domain events alone")]
    NoRows(Projection),
    #[error("could not read the tenant's events after position {after}")]
    Read { after: i64, source: sqlx::Error },
    #[error(transparent)]
    Fold(#[from] SinkError),
    #[error("a row does not serialise")]
    Serialise(#[source] serde_json::Error),
}

/// The rows after the event at `position`, in the order in which they were made; `None` where the tenant had no event by
/// then. They are held in memory: as many as the tenant has. Personal data in them stays sealed.
pub async fn rows_at(
    log: &EventLog,
    projection: Projection,
    tenant: Uuid,
    position: i64,
) -> Result<Option<Vec<Value>>, PastError> {
    match projection {
        Projection::SiteList => fold::<SiteList>(log, tenant, position).await,
        Projection::NotificationList => fold::<NotificationList>(log, tenant, position).await,
        Projection::IntegrationList => fold::<IntegrationList>(log, tenant, position).await,
        Projection::ProofFeed => fold::<ProofFeed>(log, tenant, position).await,
        Projection::SubjectList => fold::<SubjectList>(log, tenant, position).await,
        Projection::TelemetryCounters | Projection::TelemetryFacts | Projection::SubjectEvents => {
            Err(PastError::NoRows(projection))
        }
    }
}

async fn fold<P: Rows<Row: Serialize>>(
    log: &EventLog,
    tenant: Uuid,
    position: i64,
) -> Result<Option<Vec<Value>>, PastError> {
    let mut rows = Fold::<P>::default();
    let (mut after, mut is_known) = (0, false);
    while after < position {
        let to = position.min(after + WINDOW);
        let events = log
            .read_tenant(tenant, after, to)
            .await
            .map_err(|source| PastError::Read { after, source })?;
        is_known |= !events.is_empty();
        add_all(&mut rows, &events)?;
        after = to;
    }
    if !is_known {
        return Ok(None);
    }
    let rows = rows.into_rows().into_values();
    let mut rows: Vec<_> = rows
        .filter_map(|folded| Some((folded.place.position, folded.row?)))
        .collect();
    rows.sort_unstable_by_key(|(made_at, _)| *made_at);
    rows.into_iter()
        .map(|(_, row)| serde_json::to_value(row).map_err(PastError::Serialise))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn add_all<P: Rows>(rows: &mut Fold<P>, events: &[RecordedEvent]) -> Result<(), SinkError> {
    for recorded in events {
        if let Some(change) = Change::of(recorded)? {
            rows.apply(change, |_| None)?;
        }
    }
    Ok(())
}
