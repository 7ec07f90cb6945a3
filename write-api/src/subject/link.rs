use axum::extract::State;
use domain::SubjectId;
use platform::auth::Officer;
use platform::fields::Fields;
use platform::json::ApiPath;
use platform::request::IfMatch;

use super::person::PersonBody;
use crate::answer::{Answer, CommandAnswer};
use crate::command_request::{ActionRequest, CommandRequest};
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// Note that the person is known by something else too, so that what they ask for covers that as well. Whoever has a record
/// of their own, or was linked to another, can't be linked.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/identities",
    tag = "People",
    params(("subject_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    request_body = PersonBody,
    responses((status = OK, description = "Linked, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn link_identity(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath(subject): ApiPath<SubjectId>,
    if_match: IfMatch,
    request: CommandRequest<PersonBody>,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let mut fields = Fields::new();
    let person = request.content.parse("", &mut fields);
    let (person,) = fields.all((person,))?;
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(subjects.link(&call, subject, &person).await?))
}

/// Note that an id that was linked to the person is not theirs, so that what they ask for no longer covers it. It may have a record
/// of its own from then on, or be linked to another; what was said meanwhile, and objected to, stays with this one.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject_id}/identities/{identity_id}/unlink",
    tag = "People",
    params(
        ("subject_id" = Uuid, Path),
        ("identity_id" = Uuid, Path, description = "One of the record's `identities`."),
        IdempotencyHeader,
        IfMatchHeader
    ),
    responses((status = OK, description = "Not linked, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn unlink_identity(
    State(app): State<WriteState>,
    officer: Officer,
    ApiPath((subject, identity)): ApiPath<(SubjectId, SubjectId)>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&officer, if_match);
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(subjects.unlink(&call, subject, identity).await?))
}
