use axum::extract::State;
use axum::http::StatusCode;
use platform::auth::Officer;
use platform::fields::Fields;

use super::person::PersonBody;
use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateInSiteProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// Open the record of a person, or find it. The answer's `id` is what the person is called from then on: nothing else in a
/// URL or a log says who it is.
#[utoipa::path(
    post,
    path = "/v1/subjects",
    tag = "People",
    params(IdempotencyHeader),
    request_body = PersonBody,
    responses(
        (status = CREATED, description = "Opened.", body = CommandAnswer),
        (status = OK, description = "Opened before; nothing changed.", body = CommandAnswer),
        CreateInSiteProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn register_subject(
    State(app): State<WriteState>,
    officer: Officer,
    request: CommandRequest<PersonBody>,
) -> Result<Answer, Failure> {
    let call = request.call(&officer);
    let mut fields = Fields::new();
    let person = request.content.parse("", &mut fields);
    let (person,) = fields.all((person,))?;
    let committed = app.commands.subjects.register(&call, &person).await?;
    let location = format!("/v1/subjects/{}", committed.aggregate_id);
    let status = if committed.changed || committed.replayed {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = CommandAnswer::from(&committed);
    Ok(Answer::created(location, committed, body).status(status))
}
