//! What lets a browser send from any page (CORS). Never with credentials: there are none.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, Content-Encoding",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
];

pub(super) async fn preflight() -> (StatusCode, [(HeaderName, &'static str); 3]) {
    (StatusCode::NO_CONTENT, PREFLIGHT)
}

/// On problems too, or the script could not read them.
pub(super) async fn allow(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Proofline-Position, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
        ),
    );
    response
}
