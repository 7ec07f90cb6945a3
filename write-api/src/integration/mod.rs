//! Integrations of a site: shops that deliver webhooks.

mod connect;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new().routes(routes!(connect::connect_integration))
}
