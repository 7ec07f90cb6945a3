use axum::extract::State;
use axum::response::Response;
use domain::SiteId;
use platform::auth::Reader;
use platform::json::ApiPath;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;
use projections::{Projection, notification_list, site_list};

use super::Notification;
use crate::answer;
use crate::documentation::{IfNoneMatchHeader, ListInSiteProblems};
use crate::failure::Failure;
use crate::list::{self, List};
use crate::min_position::MinPosition;
use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::SiteList, Projection::NotificationList];

/// List a site's notifications in order of creation.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}/notifications",
    tag = "Notifications",
    params(("site_id" = Uuid, Path), PageQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "A page, with a `Link` to the next.", body = Page<Notification>),
        (status = NOT_MODIFIED, description = "Still the page of `If-None-Match`."),
        ListInSiteProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn list_notifications(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath(site_id): ApiPath<SiteId>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    let list = List::Notifications(site_id);
    let after = list.after(&query)?;
    let mut tx = app.begin(&reader, min, MODELS).await?;
    answer::found(site_list::get(&mut tx, site_id).await?)?;
    let rows = notification_list::list(&mut tx, site_id, after, list::limit(&query)).await?;
    list.answer::<_, Notification>(&query, rows, |row| row.position, &if_none_match)
}
