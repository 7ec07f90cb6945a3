//! Sites: registered, then changed.

mod change;
mod register;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new()
        .routes(routes!(register::register_site))
        .routes(routes!(change::change_site))
}
