//! Webhooks: what a connected shop delivers.

mod delivery;
mod outcome;
mod receive;
mod shopify;

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use platform::problem::{Problem, ProblemKind};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Shopify gives up after 5 s. An answer before that makes it deliver again, which finds what was done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new()
        .routes(routes!(receive::receive_delivery))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(elapsed) => Problem::new(ProblemKind::RequestTimeout)
            .internal(elapsed)
            .into_response(),
    }
}
