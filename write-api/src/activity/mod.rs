//! Activities of a site, as its merchant reports them.

mod record;
mod report;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new().routes(routes!(record::record_activity))
}
