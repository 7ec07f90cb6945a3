use axum::extract::State;
use domain::SubjectId;
use platform::auth::Officer;
use platform::json::ApiPath;
use platform::request::IfMatch;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::ActionRequest;
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// Enter that the person asked what is held about them. It has to be answered within 28 days, by an export.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/access-requests",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    responses((status = OK, description = "Entered, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn request_access(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(subjects.request_access(&call, subject).await?))
}

/// Enter that the person asked to be erased. It is done at once, unless a legal hold keeps the data, and can't be undone.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/erasure-requests",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    responses((status = OK, description = "Entered, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn request_erasure(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(subjects.request_erasure(&call, subject).await?))
}

/// Enter that the person changed their mind, or that it was entered by mistake: until the erasure is carried out.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/erasure-requests/withdraw",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    responses((status = OK, description = "Withdrawn, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn withdraw_erasure_request(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(
        subjects.withdraw_erasure_request(&call, subject).await?,
    ))
}
