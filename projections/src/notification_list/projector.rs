use chrono::{DateTime, Utc};
use domain::Event;
use domain::notification::{NotificationEvent, NotificationStatus};
use event_store::RecordedEvent;
use sqlx::PgConnection;

use super::MODEL;
use crate::projection::Projection;
use crate::sink::{PgProjector, ProjectError, aggregate_id, changed_one};

/// Projects into table `notification`.
pub struct NotificationList;

impl PgProjector for NotificationList {
    const PROJECTION: Projection = MODEL;

    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> Result<(), ProjectError> {
        match event {
            Event::Notification(event) => project_notification(tx, event, recorded).await,
            Event::Account(_) | Event::Site(_) | Event::Integration(_) | Event::Activity(_) => {
                Ok(())
            }
        }
    }
}

async fn project_notification(
    tx: &mut PgConnection,
    event: &NotificationEvent,
    recorded: &RecordedEvent,
) -> Result<(), ProjectError> {
    match event {
        NotificationEvent::Drafted {
            site_id,
            name,
            message,
            at,
        } => {
            sqlx::query!(
                "insert into notification (notification_id, account_id, site_id, name, message, status, version,
                                           position, drafted_at, updated_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
                aggregate_id(recorded)?,
                recorded.tenant,
                site_id.as_uuid(),
                name.as_str(),
                message.as_str(),
                NotificationStatus::Draft.as_str(),
                recorded.sequence,
                recorded.position,
                at
            )
            .execute(tx)
            .await?;
            Ok(())
        }
        NotificationEvent::Published { at, .. } | NotificationEvent::Resumed { at, .. } => {
            set_status(tx, recorded, NotificationStatus::Published, *at).await
        }
        NotificationEvent::Paused { at, .. } => {
            set_status(tx, recorded, NotificationStatus::Paused, *at).await
        }
        NotificationEvent::Archived { at, .. } => {
            set_status(tx, recorded, NotificationStatus::Archived, *at).await
        }
    }
}

async fn set_status(
    tx: &mut PgConnection,
    recorded: &RecordedEvent,
    status: NotificationStatus,
    at: DateTime<Utc>,
) -> Result<(), ProjectError> {
    changed_one(
        sqlx::query!(
            "update notification set status = $2, version = $3, updated_at = $4 where notification_id = $1",
            aggregate_id(recorded)?,
            status.as_str(),
            recorded.sequence,
            at
        )
        .execute(tx)
        .await,
    )
}
