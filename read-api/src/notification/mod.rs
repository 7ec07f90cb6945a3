//! Notifications of a site, whatever their state.

mod get;
mod list;

use chrono::{DateTime, Utc};
use projections::notification_list::NotificationRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_notifications))
        .routes(routes!(get::get_notification))
}

/// What visitors are shown when something happens in the shop.
#[derive(Debug, Serialize, ToSchema)]
struct Notification {
    id: Uuid,
    site_id: Uuid,
    /// For the merchant only.
    #[schema(example = "Recent orders")]
    name: String,
    /// With its placeholders.
    #[schema(example = "{first_name} from {city} bought the {product}")]
    message: String,
    /// `draft`, `published`, `paused` or `archived`.
    #[schema(example = "published")]
    status: String,
    /// Also the `ETag`, as `"v1"`.
    #[schema(example = 2)]
    version: i64,
    drafted_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<NotificationRow> for Notification {
    fn from(row: NotificationRow) -> Self {
        Self {
            id: row.notification_id.into(),
            site_id: row.site_id.into(),
            name: row.name,
            message: row.message,
            status: row.status,
            version: row.version,
            drafted_at: row.drafted_at,
            updated_at: row.updated_at,
        }
    }
}
