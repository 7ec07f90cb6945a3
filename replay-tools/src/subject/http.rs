//! Exports over HTTP: a link is made for a compliance officer, and fetched by whoever was given it.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::SubsecRound as _;
use commands::{Call, CommandError, Commands};
use domain::SubjectId;
use domain::data_subject::Access;
use platform::auth::{Authenticate, Officer};
use platform::clock;
use platform::json::{ApiPath, ApiQuery};
use platform::problem::{Problem, ProblemKind};
use platform::problem_responses;
use platform::request::RequestContext;
use platform::signed::Signer;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::{Asker, ExportError, Exports};
use super::link::{ExportLink, FETCHED_WITHIN};
use super::page::page;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ExportState(Arc<Shared>);

pub struct Shared {
    commands: Commands,
    exports: Exports,
    links: Signer,
    authenticate: Arc<dyn Authenticate>,
}

impl ExportState {
    pub fn new(
        commands: Commands,
        exports: Exports,
        links: Signer,
        authenticate: Arc<dyn Authenticate>,
    ) -> Self {
        Self(Arc::new(Shared {
            commands,
            exports,
            links,
            authenticate,
        }))
    }
}

impl Deref for ExportState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<ExportState> for Arc<dyn Authenticate> {
    fn from_ref(state: &ExportState) -> Self {
        state.authenticate.clone()
    }
}

/// Every route with its documentation.
pub fn router(state: ExportState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(make_link))
        .routes(routes!(fetch_export))
        .with_state(state)
}

problem_responses! {
    LinkProblems: Unauthenticated Forbidden NotFound Conflict Internal Unavailable RequestTimeout;
    FetchProblems: InvalidParameter NotFound TokenExpired Internal Unavailable RequestTimeout;
}

/// Where the export can be fetched.
#[derive(Debug, Serialize, ToSchema)]
struct LinkMade {
    /// Relative to this API. Whoever has it can fetch the export: hand it to the person, and to nobody else.
    #[schema(example = "/subject-exports/AZQ…")]
    url: String,
    expires_at: chrono::DateTime<chrono::Utc>,
}

/// Answer a request for access: a link under which everything that is held about the person can be fetched for seven days.
/// What is fetched is made when it is fetched, and stored nowhere.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/exports",
    tag = "People",
    params(("subject_id" = Uuid, Path)),
    responses((status = CREATED, description = "The request is answered.", body = LinkMade), LinkProblems),
    security(("api_key" = []))
)]
async fn make_link(
    State(app): State<ExportState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
) -> Result<Response, Problem> {
    let account = officer.account.into();
    // As precise as it stands in a link.
    let at = clock::now().trunc_subsecs(3);
    let call = Call {
        account,
        actor: officer.actor(),
        at,
        correlation_id: officer.request.correlation_id,
        request_id: officer.request.request_id.to_string(),
        source: "http",
        key: None,
        if_match: None,
        causation_id: None,
        reason: None,
    };
    let subjects = &app.commands.subjects;
    let expires_at = at + FETCHED_WITHIN;
    let done = subjects.fulfil_access(&call, subject, expires_at).await;
    done.map_err(refused)?;
    let record = subjects.record(account, subject).await.map_err(refused)?;
    let Access::Fulfilled { expires_at } = record.aggregate.access() else {
        return Err(Problem::new(ProblemKind::Conflict).code("contended"));
    };
    let link = ExportLink {
        account,
        subject,
        expires_at,
    };
    let made = LinkMade {
        url: format!("/subject-exports/{}", link.sign(&app.links)),
        expires_at: link.expires_at,
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((axum::http::StatusCode::CREATED, no_store, axum::Json(made)).into_response())
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
    let link = ExportLink::verify(&app.links, &token).ok_or(ProblemKind::NotFound)?;
    if link.expires_at <= clock::now() {
        return Err(ProblemKind::TokenExpired.into());
    }
    let asker = Asker {
        actor: "link".to_owned(),
        request: json!(request.correlation_id),
        expires_at: Some(link.expires_at),
    };
    let export = app.exports.export(link.account, link.subject, &asker).await;
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

fn refused(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => ProblemKind::NotFound.into(),
        CommandError::Refused(refusal) => match refusal.kind() {
            domain::ErrorKind::NotFound => ProblemKind::NotFound.into(),
            _ => Problem::new(ProblemKind::Conflict)
                .code(refusal.code())
                .detail(refusal.to_string()),
        },
        CommandError::Internal(_) => Problem::new(ProblemKind::Internal).internal(error),
        _ => Problem::new(ProblemKind::Unavailable).internal(error),
    }
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
