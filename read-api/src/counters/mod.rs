use utoipa_axum::router::OpenApiRouter;

use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
}
