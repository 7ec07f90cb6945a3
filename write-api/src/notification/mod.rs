//! Notifications of a site: drafted, published, paused and resumed, archived for good.

mod archive;
mod draft;
mod pause;
mod publish;
mod resume;

use domain::{NotificationId, SiteId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

/// `site_id` and `notification_id` of a path, in this order.
type NotificationPath = (SiteId, NotificationId);

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new()
        .routes(routes!(draft::draft_notification))
        .routes(routes!(publish::publish_notification))
        .routes(routes!(pause::pause_notification))
        .routes(routes!(resume::resume_notification))
        .routes(routes!(archive::archive_notification))
}
