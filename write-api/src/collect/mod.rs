//! Telemetry from visitors' browsers, on pages of any origin.

mod batch;
mod collect_events;
mod cross_origin;
mod event;
mod opt_out;
mod page;

use axum::extract::DefaultBodyLimit;
use axum::{middleware, routing};
use platform::body::accept_gzip;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

/// As sent, and after decompression.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new()
        .routes(routes!(collect_events::collect_events))
        .route("/collect", routing::options(cross_origin::preflight))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(accept_gzip(BODY_BYTES_MAX))
        .layer(middleware::map_response(cross_origin::allow))
}
