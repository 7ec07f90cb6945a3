use chrono::{DateTime, Utc};
use domain::Event;
use domain::site::SiteEvent;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MODEL;
use crate::fold::{ProjectError, Rows, Stored, none_standing, standing, to_micros};
use crate::projection::Projection;
use crate::sink::{CopyRows, PgProjector, column};

/// Projects into table `site`.
pub struct SiteList;

/// A row of table `site`.
#[derive(Serialize)]
pub struct Row {
    site_id: Uuid,
    account_id: Uuid,
    name: String,
    domain: String,
    embed_key: String,
    feed_items_max: i16,
    feed_age_hours_max: i16,
    version: i64,
    position: i64,
    registered_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    data_region: Option<String>,
}

impl Rows for SiteList {
    const PROJECTION: Projection = MODEL;

    type Event = SiteEvent;
    type Row = Row;

    fn own(event: Event) -> Option<SiteEvent> {
        match event {
            Event::Site(event) => Some(event),
            Event::Account(_)
            | Event::Notification(_)
            | Event::Integration(_)
            | Event::Activity(_)
            | Event::DataSubject(_) => None,
        }
    }

    fn apply(
        row: Option<Row>,
        event: SiteEvent,
        Stored { key, recorded }: Stored<'_>,
    ) -> Result<Option<Row>, ProjectError> {
        let version = recorded.sequence;
        Ok(Some(match event {
            SiteEvent::Registered {
                account_id: _, // the store's tenant, which row-level security goes by
                name,
                domain,
                embed_key,
                data_region,
                settings,
                at,
            } => {
                none_standing(row)?;
                Row {
                    site_id: key,
                    account_id: recorded.tenant,
                    name: name.as_str().to_owned(),
                    domain: domain.as_str().to_owned(),
                    embed_key: embed_key.as_str().to_owned(),
                    feed_items_max: i16::from(settings.feed_items_max()),
                    feed_age_hours_max: settings.feed_age_hours_max().cast_signed(),
                    version,
                    position: recorded.position,
                    registered_at: to_micros(at),
                    updated_at: to_micros(at),
                    data_region: data_region.map(|region| region.as_str().to_owned()),
                }
            }
            SiteEvent::Renamed { name, at } => Row {
                name: name.as_str().to_owned(),
                version,
                updated_at: to_micros(at),
                ..standing(row)?
            },
            SiteEvent::SettingsChanged { settings, at } => Row {
                feed_items_max: i16::from(settings.feed_items_max()),
                feed_age_hours_max: settings.feed_age_hours_max().cast_signed(),
                version,
                updated_at: to_micros(at),
                ..standing(row)?
            },
        }))
    }

    fn key(row: &Row) -> Uuid {
        row.site_id
    }

    fn heap_bytes(row: &Row) -> usize {
        let region = row.data_region.as_ref().map_or(0, String::capacity);
        row.name.capacity() + row.domain.capacity() + row.embed_key.capacity() + region
    }
}

impl PgProjector for SiteList {
    async fn load(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            "select site_id, account_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
                    registered_at, updated_at, data_region
             from site where site_id = any($1)",
            keys
        )
        .fetch_all(tx)
        .await
    }

    async fn store(tx: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/store_sites.sql",
            &column(rows, |row| row.site_id),
            &column(rows, |row| row.account_id),
            &column(rows, |row| &*row.name) as _,
            &column(rows, |row| &*row.domain) as _,
            &column(rows, |row| &*row.embed_key) as _,
            &column(rows, |row| row.feed_items_max),
            &column(rows, |row| row.feed_age_hours_max),
            &column(rows, |row| row.version),
            &column(rows, |row| row.position),
            &column(rows, |row| row.registered_at),
            &column(rows, |row| row.updated_at),
            &column(rows, |row| row.data_region.as_deref()) as _
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn remove(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query!("delete from site where site_id = any($1)", keys)
            .execute(tx)
            .await?;
        Ok(())
    }

    const COPY: &'static str = "copy site (site_id, account_id, name, domain, embed_key, feed_items_max, \
         feed_age_hours_max, version, position, registered_at, \
         updated_at, data_region) from stdin (format binary)";

    fn copy(row: &Row, out: &mut CopyRows) {
        out.row(12)
            .uuid(row.site_id)
            .uuid(row.account_id)
            .text(&row.name)
            .text(&row.domain)
            .text(&row.embed_key)
            .i16(row.feed_items_max)
            .i16(row.feed_age_hours_max)
            .i64(row.version)
            .i64(row.position)
            .time(row.registered_at)
            .time(row.updated_at)
            .text_or_null(row.data_region.as_deref());
    }
}
