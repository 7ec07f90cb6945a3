//! Integrations of a site, without their secrets.

mod get;
mod list;

use chrono::{DateTime, Utc};
use projections::integration_list::IntegrationRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_integrations))
        .routes(routes!(get::get_integration))
}

/// A shop that reports by webhook what happens in it.
#[derive(Debug, Serialize, ToSchema)]
struct Integration {
    id: Uuid,
    site_id: Uuid,
    /// The shop system: `shopify`.
    #[schema(example = "shopify")]
    platform: String,
    #[schema(example = "trail-shop.myshopify.com")]
    shop_domain: String,
    /// Also the `ETag`, as `"v1"`.
    #[schema(example = 1)]
    version: i64,
    connected_at: DateTime<Utc>,
}

impl From<IntegrationRow> for Integration {
    fn from(row: IntegrationRow) -> Self {
        Self {
            id: row.integration_id.into(),
            site_id: row.site_id.into(),
            platform: row.platform,
            shop_domain: row.shop_domain,
            version: row.version,
            connected_at: row.connected_at,
        }
    }
}
