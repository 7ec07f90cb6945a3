//! Exports over HTTP: fetched by whoever was given the link.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::ExportLink;
use platform::clock;
use platform::json::{ApiPath, ApiQuery};
use platform::problem::{Problem, ProblemKind};
use platform::problem_responses;
use platform::request::RequestContext;
use platform::signed::Signer;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::{Asker, ExportError, Exports};
use super::page::page;

/// What the handler needs. Cheap to clone.
#[derive(Clone)]
pub struct ExportState {
    pub exports: Exports,
    /// That by which links are signed when they are handed out.
    pub links: Signer,
}

/// The route with its documentation.
pub fn router(state: ExportState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(fetch_export))
        .with_state(state)
}

problem_responses! {
    FetchProblems: InvalidParameter NotFound TokenExpired Internal Unavailable RequestTimeout;
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
            content((String = "text/html"), (serde_json::Value = "application/json"))
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
    let asker = Asker {
        actor: "link".to_owned(),
        request: json!(request.correlation_id),
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
    Ok((headers, body).into_response())
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
