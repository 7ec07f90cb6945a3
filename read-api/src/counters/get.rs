use axum::extract::State;
use axum::response::Response;
use domain::SiteId;
use platform::auth::Reader;
use platform::clock;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, Projection};

use super::now::SiteCounters;
use crate::answer::Answer;
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::SiteList, Projection::TelemetryCounters];

/// Read a site's counters: in all, and for the last 24 hours. The position is that of the telemetry log.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}/counters",
    tag = "Analytics",
    params(("site_id" = Uuid, Path), MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "Counts per notification, and per hour.", body = SiteCounters),
        (status = NOT_MODIFIED, description = "Still the counts of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_counters(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath(site_id): ApiPath<SiteId>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    app.check_site(&reader, min, MODELS, site_id).await?;
    let AsOf { value, position } = app.reads.counters(site_id, clock::now()).await?;
    let answer = Answer::hashed(position, &SiteCounters::of(site_id, &value))?;
    Ok(answer.unless_known(&if_none_match))
}
