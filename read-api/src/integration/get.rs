use axum::extract::State;
use axum::response::Response;
use domain::{IntegrationId, SiteId};
use platform::auth::Reader;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, Projection, integration_list};

use super::Integration;
use crate::answer::{self, Answer};
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::IntegrationList];

/// Read an integration.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}/integrations/{integration_id}",
    tag = "Integrations",
    params(
        ("site_id" = Uuid, Path),
        ("integration_id" = Uuid, Path),
        MinPosition,
        IfNoneMatchHeader
    ),
    responses(
        (status = OK, description = "The integration.", body = Integration),
        (status = NOT_MODIFIED, description = "Still the version of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_integration(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath((site_id, id)): ApiPath<(SiteId, IntegrationId)>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let mut tx = app.begin(&reader, min, MODELS).await?;
    let AsOf { value, position } =
        answer::found(integration_list::get(&mut tx, site_id, id).await?)?;
    let answer = Answer::versioned(position, value.version, &Integration::from(value))?;
    Ok(answer.unless_known(&if_none_match))
}
