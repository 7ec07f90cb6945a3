//! What happens on a site right now.

mod get;
mod now;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new().routes(routes!(get::get_counters))
}
