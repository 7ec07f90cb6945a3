use axum::extract::State;
use axum::response::Response;
use domain::{NotificationId, SiteId};
use platform::auth::Reader;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, Projection, notification_list};

use super::Notification;
use crate::answer::{self, Answer};
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::NotificationList];

/// Read a notification.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}/notifications/{notification_id}",
    tag = "Notifications",
    params(
        ("site_id" = Uuid, Path),
        ("notification_id" = Uuid, Path),
        MinPosition,
        IfNoneMatchHeader
    ),
    responses(
        (status = OK, description = "The notification.", body = Notification),
        (status = NOT_MODIFIED, description = "Still the version of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_notification(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath((site_id, id)): ApiPath<(SiteId, NotificationId)>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let mut tx = app.begin(&reader, min, MODELS).await?;
    let AsOf { value, position } =
        answer::found(notification_list::get(&mut tx, site_id, id).await?)?;
    let answer = Answer::versioned(position, value.version, &Notification::from(value))?;
    Ok(answer.unless_known(&if_none_match))
}
