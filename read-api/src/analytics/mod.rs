//! What visitors saw and did of a site's notifications, over a time.

mod get;
mod report;
mod window;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new().routes(routes!(get::get_analytics))
}
