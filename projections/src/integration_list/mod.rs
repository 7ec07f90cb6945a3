//! The integrations of a site: table `integration`, one row per integration, never a secret.

mod projector;
mod row;

use domain::{IntegrationId, SiteId};

pub use self::projector::IntegrationList;
pub use self::row::IntegrationRow;
use crate::projection::Projection;
use crate::read::{AsOf, Page, ReadError, ReadTx};

const MODEL: Projection = Projection::IntegrationList;

/// One integration of the site. `None` where the site, within the account, has none of this id.
pub async fn get(
    tx: &mut ReadTx,
    site: SiteId,
    integration: IntegrationId,
) -> Result<AsOf<Option<IntegrationRow>>, ReadError> {
    let row = sqlx::query_as!(
        IntegrationRow,
        "select integration_id, site_id, platform, shop_domain, version, position, connected_at
         from integration where site_id = $1 and integration_id = $2",
        site.as_uuid(),
        integration.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(failed)?;
    Ok(tx.as_of(row))
}

/// The site's integrations in order of connection, up to `limit`, after the row at position `after`.
pub async fn list(
    tx: &mut ReadTx,
    site: SiteId,
    after: Option<i64>,
    limit: u16,
) -> Result<AsOf<Page<IntegrationRow>>, ReadError> {
    let rows = sqlx::query_as!(
        IntegrationRow,
        "select integration_id, site_id, platform, shop_domain, version, position, connected_at
         from integration where site_id = $1 and position > $2 order by position limit $3",
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
