use axum::extract::State;
use platform::auth::Writer;
use platform::json::ApiPath;
use platform::request::IfMatch;

use super::NotificationPath;
use crate::answer::{Answer, CommandAnswer};
use crate::command_request::ActionRequest;
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// Resume a paused notification.
#[utoipa::path(
    post,
    path = "/v1/sites/{site_id}/notifications/{notification_id}/resume",
    tag = "Notifications",
    params(
        ("site_id" = Uuid, Path),
        ("notification_id" = Uuid, Path),
        IdempotencyHeader,
        IfMatchHeader
    ),
    responses((status = OK, description = "Published again, now or before.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn resume_notification(
    State(app): State<WriteState>,
    writer: Writer,
    ApiPath((site_id, id)): ApiPath<NotificationPath>,
    if_match: IfMatch,
    request: ActionRequest,
) -> Result<Answer, Failure> {
    let call = request.call_if(&writer, if_match);
    let notifications = &app.commands.notifications;
    Ok(Answer::ok(notifications.resume(&call, site_id, id).await?))
}
