//! The notifications of a site: table `notification`, one row per notification.

mod projector;
mod row;

use domain::{NotificationId, SiteId};

pub use self::projector::NotificationList;
pub use self::row::NotificationRow;
use crate::projection::Projection;
use crate::read::{AsOf, Page, ReadError, ReadTx};

const MODEL: Projection = Projection::NotificationList;

/// One notification of the site. `None` where the site, within the account, has none of this id.
pub async fn get(
    tx: &mut ReadTx,
    site: SiteId,
    notification: NotificationId,
) -> Result<AsOf<Option<NotificationRow>>, ReadError> {
    let row = sqlx::query_as!(
        NotificationRow,
        "select notification_id, site_id, name, message, status, version, position, drafted_at, updated_at
         from notification where site_id = $1 and notification_id = $2",
        site.as_uuid(),
        notification.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(failed)?;
    Ok(tx.as_of(row))
}

/// The site's notifications in order of creation, up to `limit`, after the row at position `after`.
pub async fn list(
    tx: &mut ReadTx,
    site: SiteId,
    after: Option<i64>,
    limit: u16,
) -> Result<AsOf<Page<NotificationRow>>, ReadError> {
    let rows = sqlx::query_as!(
        NotificationRow,
        "select notification_id, site_id, name, message, status, version, position, drafted_at, updated_at
         from notification where site_id = $1 and position > $2 order by position limit $3",
        site.as_uuid(),
        after.unwrap_or(0),
        i64::from(limit) + 1
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)?;
    Ok(tx.as_of(Page::of(rows, limit)))
}

fn failed(source: sqlx::Error) -> ReadError {
    ReadError::Query {
        model: MODEL,
        source,
    }
}
