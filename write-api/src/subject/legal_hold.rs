use axum::extract::State;
use domain::{CaseReference, DomainError as _, SubjectId};
use platform::auth::Officer;
use platform::fields::Fields;
use platform::json::ApiPath;
use platform::request::IfMatch;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::{ActionRequest, CommandRequest};
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "case": "court/4711" }))]
pub(crate) struct PlaceLegalHold {
    /// What the case's files are called. It is kept for ever in plain text: letters, digits and `._:#/-`, and no names.
    #[schema(max_length = 100)]
    case: String,
}

/// Keep the person's data for a case: until it is released, they are not erased.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/legal-hold",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    request_body = PlaceLegalHold,
    responses((status = OK, description = "In place, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn place_legal_hold(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: CommandRequest<PlaceLegalHold>,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let mut fields = Fields::new();
    let case = CaseReference::parse(&request.content.case);
    let case = fields.take("/case", case, |error| error.code());
    let (case,) = fields.all((case,))?;
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(
        subjects.place_legal_hold(&call, subject, case).await?,
    ))
}

/// The data need not be kept any more. An erasure that was asked for meanwhile is done.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/legal-hold/release",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    responses((status = OK, description = "Released, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn release_legal_hold(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(
        subjects.release_legal_hold(&call, subject).await?,
    ))
}
