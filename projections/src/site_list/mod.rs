//! The sites of an account: table `site`, one row per site.

mod projector;
mod row;

use domain::SiteId;

pub use self::projector::SiteList;
pub use self::row::SiteRow;
use crate::projection::Projection;
use crate::read::{AsOf, Page, ReadError, ReadTx};

const MODEL: Projection = Projection::SiteList;

/// One site. `None` where the account has none of this id.
pub async fn get(tx: &mut ReadTx, site: SiteId) -> Result<AsOf<Option<SiteRow>>, ReadError> {
    let row = sqlx::query_as!(
        SiteRow,
        "select site_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
                registered_at, updated_at, data_region
         from site where site_id = $1",
        site.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(failed)?;
    Ok(tx.as_of(row))
}

/// The account's sites in order of registration, up to `limit`, after the row at position `after`.
pub async fn list(
    tx: &mut ReadTx,
    after: Option<i64>,
    limit: u16,
) -> Result<AsOf<Page<SiteRow>>, ReadError> {
    let rows = sqlx::query_as!(
        SiteRow,
        "select site_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
                registered_at, updated_at, data_region
         from site where position > $1 order by position limit $2",
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
