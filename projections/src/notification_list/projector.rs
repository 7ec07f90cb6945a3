use chrono::{DateTime, Utc};
use domain::Event;
use domain::notification::{NotificationEvent, NotificationStatus};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MODEL;
use crate::fold::{ProjectError, Rows, Stored, none_standing, standing, to_micros};
use crate::projection::Projection;
use crate::sink::{CopyRows, PgProjector, column};

/// Projects into table `notification`.
pub struct NotificationList;

/// A row of table `notification`.
#[derive(Serialize)]
pub struct Row {
    notification_id: Uuid,
    account_id: Uuid,
    site_id: Uuid,
    name: String,
    message: String,
    status: String,
    version: i64,
    position: i64,
    drafted_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Rows for NotificationList {
    const PROJECTION: Projection = MODEL;

    type Event = NotificationEvent;
    type Row = Row;

    fn own(event: Event) -> Option<NotificationEvent> {
        match event {
            Event::Notification(event) => Some(event),
            Event::Account(_)
            | Event::Site(_)
            | Event::Integration(_)
            | Event::Activity(_)
            | Event::DataSubject(_) => None,
        }
    }

    fn apply(
        row: Option<Row>,
        event: NotificationEvent,
        Stored { key, recorded }: Stored<'_>,
    ) -> Result<Option<Row>, ProjectError> {
        let version = recorded.sequence;
        let (status, at) = match event {
            NotificationEvent::Drafted {
                site_id,
                name,
                message,
                at,
            } => {
                none_standing(row)?;
                return Ok(Some(Row {
                    notification_id: key,
                    account_id: recorded.tenant,
                    site_id: site_id.into(),
                    name: name.as_str().to_owned(),
                    message: message.as_str().to_owned(),
                    status: NotificationStatus::Draft.as_str().to_owned(),
                    version,
                    position: recorded.position,
                    drafted_at: to_micros(at),
                    updated_at: to_micros(at),
                }));
            }
            NotificationEvent::Published { at, .. } | NotificationEvent::Resumed { at, .. } => {
                (NotificationStatus::Published, at)
            }
            NotificationEvent::Paused { at, .. } => (NotificationStatus::Paused, at),
            NotificationEvent::Archived { at, .. } => (NotificationStatus::Archived, at),
        };
        Ok(Some(Row {
            status: status.as_str().to_owned(),
            version,
            updated_at: to_micros(at),
            ..standing(row)?
        }))
    }

    fn key(row: &Row) -> Uuid {
        row.notification_id
    }

    fn heap_bytes(row: &Row) -> usize {
        row.name.capacity() + row.message.capacity() + row.status.capacity()
    }
}

impl PgProjector for NotificationList {
    async fn load(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            "select notification_id, account_id, site_id, name, message, status, version, position, drafted_at,
                    updated_at
             from notification where notification_id = any($1)",
            keys
        )
        .fetch_all(tx)
        .await
    }

    async fn store(tx: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/store_notifications.sql",
            &column(rows, |row| row.notification_id),
            &column(rows, |row| row.account_id),
            &column(rows, |row| row.site_id),
            &column(rows, |row| &*row.name) as _,
            &column(rows, |row| &*row.message) as _,
            &column(rows, |row| &*row.status) as _,
            &column(rows, |row| row.version),
            &column(rows, |row| row.position),
            &column(rows, |row| row.drafted_at),
            &column(rows, |row| row.updated_at)
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn remove(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query!(
            "delete from notification where notification_id = any($1)",
            keys
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    const COPY: &'static str = "copy notification (notification_id, account_id, site_id, name, message, status, version, \
         position, drafted_at, updated_at) from stdin (format binary)";

    fn copy(row: &Row, out: &mut CopyRows) {
        out.row(10)
            .uuid(row.notification_id)
            .uuid(row.account_id)
            .uuid(row.site_id)
            .text(&row.name)
            .text(&row.message)
            .text(&row.status)
            .i64(row.version)
            .i64(row.position)
            .time(row.drafted_at)
            .time(row.updated_at);
    }
}
