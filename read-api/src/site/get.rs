use axum::extract::State;
use axum::response::Response;
use domain::SiteId;
use platform::auth::Reader;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, site_list};

use super::{MODELS, Site};
use crate::answer::{self, Answer};
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// Read a site.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}",
    tag = "Sites",
    params(("site_id" = Uuid, Path), MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "The site.", body = Site),
        (status = NOT_MODIFIED, description = "Still the version of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_site(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath(site_id): ApiPath<SiteId>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let mut tx = app.begin(&reader, min, MODELS).await?;
    let AsOf { value, position } = answer::found(site_list::get(&mut tx, site_id).await?)?;
    let answer = Answer::versioned(position, value.version, &Site::from(value))?;
    Ok(answer.unless_known(&if_none_match))
}
