//! Exports over HTTP: fetched by whoever was given the link.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::ExportLink;
use platform::clock;
use platform::json::{ApiPath, ApiQuery};
use platform::problem::{Problem, ProblemKind};
use platform::problem_responses;
use platform::rate_limit::{Quota, RateLimit};
use platform::request::RequestContext;
use platform::signed::Signer;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::{Asker, ExportError, Exports};
use super::page::page;

/// Each opens everything that is held, and is noted.
const FETCHES_PER_PERSON: Quota = Quota::new(1, 10);

/// What the handler needs. Cheap to clone.
#[derive(Clone)]
pub struct ExportState {
    exports: Exports,
    links: Signer,
    fetches: Arc<RateLimit>,
}

impl ExportState {
    /// `links` is that by which links are signed when they are handed out.
    pub fn new(exports: Exports, links: Signer) -> Self {
        let fetches = Arc::new(RateLimit::new("subject-exports", FETCHES_PER_PERSON));
        Self {
            exports,
            links,
            fetches,
        }
    }
}

/// The route with its documentation.
pub fn router(state: ExportState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(fetch_export))
        .with_state(state)
}

problem_responses! {
    FetchProblems: InvalidParameter NotFound TokenExpired RateLimited Internal Unavailable RequestTimeout;
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// A page to read.
    #[default]
    Html,
    /// A document to process.
    Json,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FormatQuery {
    #[serde(default)]
    format: Format,
}

/// Fetch what is held about a person.
#[utoipa::path(
    get,
    path = "/subject-exports/{token}",
    tag = "People",
    params(("token" = String, Path, description = "Of the link."), FormatQuery),
    responses(
        (
            status = OK,
            description = "Everything that is held, with where it is from.",
            content((String = "text/html"), (serde_json::Value = "application/json")),
            headers(
                ("RateLimit-Policy" = String, description = "How often one person's data may be fetched."),
                ("RateLimit" = String, description = "How much of it is left.")
            )
        ),
        FetchProblems
    )
)]
async fn fetch_export(
    State(app): State<ExportState>,
    request: RequestContext,
    ApiPath(token): ApiPath<String>,
    ApiQuery(FormatQuery { format }): ApiQuery<FormatQuery>,
) -> Result<Response, Problem> {
    let signed = app.links.verify(&token);
    let link = signed.and_then(|bytes| ExportLink::from_bytes(&bytes));
    let link = link.ok_or(ProblemKind::NotFound)?;
    if link.expires_at <= clock::now() {
        return Err(ProblemKind::TokenExpired.into());
    }
    let fetched = app.fetches.check(link.subject_id)?;
    let asker = Asker {
        actor: "link".to_owned(),
        request: json!(request.correlation_id),
        reason: None,
        expires_at: Some(link.expires_at),
    };
    let export = app
        .exports
        .export(link.account_id, link.subject_id, &asker)
        .await;
    let export = export.map_err(failed)?;
    let (body, content_type) = match format {
        Format::Html => (page(&export), "text/html; charset=utf-8"),
        Format::Json => {
            let text = serde_json::to_string_pretty(&export);
            let text = text.map_err(|error| Problem::new(ProblemKind::Internal).internal(error))?;
            (text, "application/json")
        }
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((fetched, headers, body).into_response())
}

/// Of somebody who was erased, nothing is there, nor under a link that a later one has replaced.
fn failed(error: ExportError) -> Problem {
    match error {
        ExportError::NotFound | ExportError::Erased | ExportError::OtherLink => {
            ProblemKind::NotFound.into()
        }
        error if error.is_transient() => Problem::new(ProblemKind::Unavailable).internal(error),
        error => Problem::new(ProblemKind::Internal).internal(error),
    }
}
