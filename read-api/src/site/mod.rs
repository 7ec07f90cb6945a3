//! Sites of the account.

mod get;
mod list;

use chrono::{DateTime, Utc};
use projections::Projection;
use projections::site_list::SiteRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::SiteList];

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_sites))
        .routes(routes!(get::get_site))
}

/// A merchant's shop.
#[derive(Debug, Serialize, ToSchema)]
struct Site {
    id: Uuid,
    #[schema(example = "Trail Shop")]
    name: String,
    #[schema(example = "shop.example.com")]
    domain: String,
    /// Public: names the site in the shop's pages.
    #[schema(example = "pk_0123456789abcdef0123456789abcdef")]
    embed_key: String,
    /// Where its data lies; not there where that was not said when it was registered.
    #[schema(example = "eu")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_region: Option<String>,
    settings: Settings,
    /// Also the `ETag`, as `"v1"`.
    #[schema(example = 1)]
    version: i64,
    registered_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// How a site shows what happens in its shop.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteSettings)]
struct Settings {
    /// How many activities the feed shows at most.
    #[schema(minimum = 1, maximum = 50)]
    feed_items_max: i16,
    /// How old, in hours, an activity in the feed may be.
    #[schema(minimum = 1, maximum = 720)]
    feed_age_hours_max: i16,
}

impl From<SiteRow> for Site {
    fn from(row: SiteRow) -> Self {
        Self {
            id: row.site_id.into(),
            name: row.name,
            domain: row.domain,
            embed_key: row.embed_key,
            data_region: row.data_region,
            settings: Settings {
                feed_items_max: row.feed_items_max,
                feed_age_hours_max: row.feed_age_hours_max,
            },
            version: row.version,
            registered_at: row.registered_at,
            updated_at: row.updated_at,
        }
    }
}
