use chrono::{DateTime, Utc};
use domain::Event;
use domain::integration::IntegrationEvent;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MODEL;
use crate::fold::{ProjectError, Rows, Stored, none_standing, to_micros};
use crate::projection::Projection;
use crate::sink::{CopyRows, PgProjector, column};

/// Projects into table `integration`.
pub struct IntegrationList;

/// A row of table `integration`.
#[derive(Serialize)]
pub struct Row {
    integration_id: Uuid,
    account_id: Uuid,
    site_id: Uuid,
    platform: String,
    shop_domain: String,
    version: i64,
    position: i64,
    connected_at: DateTime<Utc>,
}

impl Rows for IntegrationList {
    const PROJECTION: Projection = MODEL;

    type Event = IntegrationEvent;
    type Row = Row;

    fn own(event: Event) -> Option<IntegrationEvent> {
        match event {
            Event::Integration(event) => Some(event),
            Event::Account(_)
            | Event::Site(_)
            | Event::Notification(_)
            | Event::Activity(_)
            | Event::DataSubject(_) => None,
        }
    }

    fn apply(
        row: Option<Row>,
        event: IntegrationEvent,
        Stored { key, recorded }: Stored<'_>,
    ) -> Result<Option<Row>, ProjectError> {
        match event {
            IntegrationEvent::Connected {
                site_id,
                platform,
                shop_domain,
                webhook_secret: _, // no read model holds a secret
                at,
            } => {
                none_standing(row)?;
                Ok(Some(Row {
                    integration_id: key,
                    account_id: recorded.tenant,
                    site_id: site_id.into(),
                    platform: platform.as_str().to_owned(),
                    shop_domain: shop_domain.as_str().to_owned(),
                    version: recorded.sequence,
                    position: recorded.position,
                    connected_at: to_micros(at),
                }))
            }
        }
    }

    fn key(row: &Row) -> Uuid {
        row.integration_id
    }

    fn heap_bytes(row: &Row) -> usize {
        row.platform.capacity() + row.shop_domain.capacity()
    }
}

impl PgProjector for IntegrationList {
    async fn load(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            "select integration_id, account_id, site_id, platform, shop_domain, version, position, connected_at
             from integration where integration_id = any($1)",
            keys
        )
        .fetch_all(tx)
        .await
    }

    async fn store(tx: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/store_integrations.sql",
            &column(rows, |row| row.integration_id),
            &column(rows, |row| row.account_id),
            &column(rows, |row| row.site_id),
            &column(rows, |row| &*row.platform) as _,
            &column(rows, |row| &*row.shop_domain) as _,
            &column(rows, |row| row.version),
            &column(rows, |row| row.position),
            &column(rows, |row| row.connected_at)
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn remove(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query!(
            "delete from integration where integration_id = any($1)",
            keys
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    const COPY: &'static str = "copy integration (integration_id, account_id, site_id, platform, shop_domain, version, \
         position, connected_at) from stdin (format binary)";

    fn copy(row: &Row, out: &mut CopyRows) {
        out.row(8)
            .uuid(row.integration_id)
            .uuid(row.account_id)
            .uuid(row.site_id)
            .text(&row.platform)
            .text(&row.shop_domain)
            .i64(row.version)
            .i64(row.position)
            .time(row.connected_at);
    }
}
