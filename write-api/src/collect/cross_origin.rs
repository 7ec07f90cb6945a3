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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request};
    use axum::routing::post;
    use axum::{Router, middleware};
    use platform::problem::{Problem, ProblemKind};
    use tower::ServiceExt as _;

    use super::*;

    async fn refuse() -> Problem {
        ProblemKind::RateLimited.into()
    }

    #[tokio::test]
    async fn a_page_of_any_origin_may_send_and_read_the_answer() {
        let router = Router::new()
            .route("/collect", post(refuse).options(preflight))
            .layer(middleware::map_response(allow));
        for (method, status) in [(Method::OPTIONS, 204), (Method::POST, 429)] {
            let request = Request::builder().method(method.clone()).uri("/collect");
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            let headers = response.headers();
            assert_eq!(headers["access-control-allow-origin"], "*");
            assert!(!headers.contains_key("access-control-allow-credentials"));
            assert_eq!(
                headers.contains_key("access-control-allow-methods"),
                method == Method::OPTIONS
            );
        }
    }
}
