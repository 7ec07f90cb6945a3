use domain::Event;
use domain::activity::ActivityEvent;
use event_store::RecordedEvent;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::MODEL;
use crate::projection::Projection;
use crate::sink::{PgProjector, ProjectError, aggregate_id};

/// Projects into table `proof`.
pub struct ProofFeed;

/// The buyer's envelope as it stands in the log: kept byte by byte, so that it opens as the event's own would.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    buyer: Option<&'a RawValue>,
}

impl PgProjector for ProofFeed {
    const PROJECTION: Projection = MODEL;

    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> Result<(), ProjectError> {
        match event {
            Event::Activity(event) => project_activity(tx, event, recorded).await,
            Event::Account(_) | Event::Site(_) | Event::Notification(_) | Event::Integration(_) => {
                Ok(())
            }
        }
    }
}

async fn project_activity(
    tx: &mut PgConnection,
    event: &ActivityEvent,
    recorded: &RecordedEvent,
) -> Result<(), ProjectError> {
    let activity_id = aggregate_id(recorded)?;
    match event {
        ActivityEvent::Recorded {
            site_id,
            integration_id: _,
            external_id: _,
            kind,
            occurred_at,
            buyer: _, // as stored, below
            product,
            items_count: _,
            total: _,
            at: _,
        } => {
            let stored: Stored<'_> =
                serde_json::from_str(recorded.payload.get()).map_err(ProjectError::Payload)?;
            sqlx::query!(
                "insert into proof (activity_id, account_id, site_id, kind, product, buyer, event_id, version,
                                    position, occurred_at)
                 values ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10)",
                activity_id,
                recorded.tenant,
                site_id.as_uuid(),
                kind.as_str(),
                product.as_ref().map(|product| product.as_str()),
                stored.buyer.map(RawValue::get), // as text: on the way through jsonb it would be rewritten
                recorded.event_id,
                recorded.sequence,
                recorded.position,
                occurred_at
            )
            .execute(tx)
            .await?;
        }
        // None stands there where the refund overtook its order.
        ActivityEvent::Withdrawn { .. } => {
            sqlx::query!("delete from proof where activity_id = $1", activity_id)
                .execute(tx)
                .await?;
        }
    }
    Ok(())
}
