use axum::extract::State;
use axum::http::StatusCode;
use commands::Committed;
use domain::SiteId;
use platform::auth::Writer;
use platform::json::ApiPath;

use super::report::RecordActivity;
use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateInSiteProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// Record what happened in a shop. With an `external_id` it is recorded once, however often it is reported.
#[utoipa::path(
    post,
    path = "/v1/sites/{site_id}/activities",
    tag = "Activities",
    params(("site_id" = Uuid, Path), IdempotencyHeader),
    request_body = RecordActivity,
    responses(
        (status = CREATED, description = "Recorded.", body = CommandAnswer),
        (status = OK, description = "Recorded, or withdrawn, before under this `external_id`; nothing changed.", body = CommandAnswer),
        CreateInSiteProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn record_activity(
    State(app): State<WriteState>,
    writer: Writer,
    ApiPath(site_id): ApiPath<SiteId>,
    request: CommandRequest<RecordActivity>,
) -> Result<Answer, Failure> {
    let call = request.call(&writer);
    let (external_id, activity) = request.content.parse(call.at)?;
    let activities = &app.commands.activities;
    let committed = activities
        .record(&call, site_id, external_id, activity)
        .await?;
    let location = format!("/v1/sites/{site_id}/activities/{}", committed.aggregate_id);
    let (status, body) = (status(&committed), CommandAnswer::from(&committed));
    Ok(Answer::created(location, committed, body).status(status))
}

/// A repeated request is answered like its first one, which nearly always was the recording.
fn status(committed: &Committed) -> StatusCode {
    if committed.changed || committed.replayed {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}
