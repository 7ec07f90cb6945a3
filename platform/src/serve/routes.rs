//! The operational routes.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::join_all;
use serde::Serialize;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{Ops, ReadinessCheck};
use crate::{
    openapi,
    problem::{Problem, ProblemKind, description},
    telemetry,
};

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Nothing of the documentation page comes from another host.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn operational(ops: Ops) -> Router {
    let openapi = openapi_json(openapi::completed(ops.openapi));
    let checks: Checks = ops.readiness.into();
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(checks))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi_document).with_state(openapi))
        .route("/problems/{slug}", get(problem_description))
        .merge(docs())
}

type Checks = Arc<[(&'static str, ReadinessCheck)]>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process answers; nothing else is said.
async fn healthz() -> Json<Health> {
    Json(Health { status: "alive" })
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    state: &'static str,
}

async fn readyz(State(checks): State<Checks>) -> Response {
    let checks = join_all(checks.iter().map(|(name, check)| run(name, check))).await;
    let ready = checks.iter().all(|check| check.state == "up");
    let (status, word) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let readiness = Readiness {
        status: word,
        checks,
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, Json(readiness)).into_response()
}

async fn run(name: &'static str, check: &ReadinessCheck) -> Check {
    let outcome = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(format!("no answer within {CHECK_TIMEOUT:?}")),
    };
    let state = match outcome {
        Ok(()) => "up",
        Err(error) => {
            tracing::warn!(check = name, error, "not ready");
            "down"
        }
    };
    Check { name, state }
}

async fn metrics() -> Response {
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], telemetry::render()).into_response()
}

fn openapi_json(document: utoipa::openapi::OpenApi) -> Bytes {
    match serde_json::to_vec(&document) {
        Ok(json) => json.into(),
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the OpenAPI document has no JSON form"
            );
            Bytes::from_static(b"{}")
        }
    }
}

async fn openapi_document(State(json): State<Bytes>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], json).into_response()
}

/// So that the `type` of a problem can be opened in a browser.
async fn problem_description(Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind = ProblemKind::from_slug(&slug).ok_or(ProblemKind::NotFound)?;
    let content_type = HeaderValue::from_static("text/markdown; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], description(kind)).into_response())
}

fn docs() -> Router {
    // Swagger UI would send the document to validator.swagger.io.
    let config = Config::from("/openapi.json").validator_url("none");
    Router::from(SwaggerUi::new("/docs").config(config)).layer(middleware::from_fn(own_host_only))
}

async fn own_host_only(request: Request, next: Next) -> Response {
    const POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(POLICY, HeaderValue::from_static(DOCS_POLICY));
    response
}
