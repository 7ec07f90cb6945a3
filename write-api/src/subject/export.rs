use axum::extract::State;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use domain::{ExportLink, SubjectId};
use platform::auth::Officer;
use platform::json::ApiPath;
use platform::request::IfMatch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::ActionRequest;
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// How long what was handed out can be fetched.
const FETCHED_WITHIN: TimeDelta = TimeDelta::days(7);

/// Where the export can be fetched.
#[derive(Serialize, ToSchema)]
pub(crate) struct HandedOut {
    #[serde(flatten)]
    command: CommandAnswer,
    /// Relative to this API. Whoever has it can fetch the export: hand it to the person, and to nobody else.
    #[schema(example = "/subject-exports/AZQ…")]
    url: String,
    expires_at: DateTime<Utc>,
}

/// Answer a request for access: a link under which everything that is held about the person can be fetched for seven days.
/// What is fetched is made when it is fetched, and stored nowhere. Asked for again, it is the same link.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/exports",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    responses((status = CREATED, description = "The request is answered, now or before.", body = HandedOut), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn hand_out_export(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer<HandedOut>, Failure> {
    let call = request.call_if(&officer, if_match);
    let until = (call.at + FETCHED_WITHIN).trunc_subsecs(3);
    let subjects = &app.commands.subjects;
    let (committed, expires_at) = subjects.hand_out(&call, subject, until).await?;
    let link = ExportLink {
        account_id: call.account,
        subject_id: subject,
        expires_at,
    };
    let url = format!("/subject-exports/{}", app.exports.sign(&link.to_bytes()));
    let body = HandedOut {
        command: CommandAnswer::from(&committed),
        url: url.clone(),
        expires_at,
    };
    Ok(Answer::created(url, committed, body))
}
