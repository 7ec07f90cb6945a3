use domain::Event;
use domain::integration::IntegrationEvent;
use event_store::RecordedEvent;
use sqlx::PgConnection;

use super::MODEL;
use crate::projection::Projection;
use crate::sink::{PgProjector, ProjectError, aggregate_id};

/// Projects into table `integration`.
pub struct IntegrationList;

impl PgProjector for IntegrationList {
    const PROJECTION: Projection = MODEL;

    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> Result<(), ProjectError> {
        match event {
            Event::Integration(event) => project_integration(tx, event, recorded).await,
            Event::Account(_) | Event::Site(_) | Event::Notification(_) | Event::Activity(_) => {
                Ok(())
            }
        }
    }
}

async fn project_integration(
    tx: &mut PgConnection,
    event: &IntegrationEvent,
    recorded: &RecordedEvent,
) -> Result<(), ProjectError> {
    match event {
        IntegrationEvent::Connected {
            site_id,
            platform,
            shop_domain,
            webhook_secret: _, // no read model holds a secret
            at,
        } => {
            sqlx::query!(
                "insert into integration (integration_id, account_id, site_id, platform, shop_domain, version,
                                          position, connected_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
                aggregate_id(recorded)?,
                recorded.tenant,
                site_id.as_uuid(),
                platform.as_str(),
                shop_domain.as_str(),
                recorded.sequence,
                recorded.position,
                at
            )
            .execute(tx)
            .await?;
            Ok(())
        }
    }
}
