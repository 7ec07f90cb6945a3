use domain::Event;
use domain::site::SiteEvent;
use event_store::RecordedEvent;
use sqlx::PgConnection;

use super::MODEL;
use crate::projection::Projection;
use crate::sink::{PgProjector, ProjectError, aggregate_id, changed_one};

/// Projects into table `site`.
pub struct SiteList;

impl PgProjector for SiteList {
    const PROJECTION: Projection = MODEL;

    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> Result<(), ProjectError> {
        match event {
            Event::Site(event) => project_site(tx, event, recorded).await,
            Event::Account(_)
            | Event::Notification(_)
            | Event::Integration(_)
            | Event::Activity(_) => Ok(()),
        }
    }
}

async fn project_site(
    tx: &mut PgConnection,
    event: &SiteEvent,
    recorded: &RecordedEvent,
) -> Result<(), ProjectError> {
    let site_id = aggregate_id(recorded)?;
    match event {
        SiteEvent::Registered {
            account_id: _, // the store's tenant, which row-level security goes by
            name,
            domain,
            embed_key,
            settings,
            at,
        } => {
            sqlx::query!(
                "insert into site (site_id, account_id, name, domain, embed_key, feed_items_max, feed_age_hours_max,
                                   version, position, registered_at, updated_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
                site_id,
                recorded.tenant,
                name.as_str(),
                domain.as_str(),
                embed_key.as_str(),
                i16::from(settings.feed_items_max()),
                settings.feed_age_hours_max().cast_signed(),
                recorded.sequence,
                recorded.position,
                at
            )
            .execute(tx)
            .await?;
            Ok(())
        }
        SiteEvent::Renamed { name, at } => changed_one(
            sqlx::query!(
                "update site set name = $2, version = $3, updated_at = $4 where site_id = $1",
                site_id,
                name.as_str(),
                recorded.sequence,
                at
            )
            .execute(tx)
            .await,
        ),
        SiteEvent::SettingsChanged { settings, at } => changed_one(
            sqlx::query!(
                "update site set feed_items_max = $2, feed_age_hours_max = $3, version = $4, updated_at = $5
                 where site_id = $1",
                site_id,
                i16::from(settings.feed_items_max()),
                settings.feed_age_hours_max().cast_signed(),
                recorded.sequence,
                at
            )
            .execute(tx)
            .await,
        ),
    }
}
