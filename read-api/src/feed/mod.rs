//! What a shop's pages show: public, cacheable, readable from any page.

mod get;
mod served;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::min_position;
use crate::state::ReadState;

const ANY_PAGE: &str = "*";
const READABLE: &str =
    "ETag, Proofline-Position, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id";
/// A cache must not answer a request that waits for a position with what it kept before.
const VARY: &str = min_position::HEADER;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
        .routes(routes!(get::get_feed))
        .layer(middleware::map_response(open_to_pages))
}

/// Shop pages are on origins of their own and have to be able to read problems too.
async fn open_to_pages(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_PAGE),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE),
        (header::VARY, VARY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
