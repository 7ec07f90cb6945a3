use axum::extract::State;
use axum::response::Response;
use domain::SiteId;
use platform::auth::Reader;
use platform::clock;
use platform::json::{ApiPath, ApiQuery};
use platform::request::IfNoneMatch;
use projections::{AsOf, Projection};

use super::report::SiteAnalytics;
use super::window::{Window, WindowQuery};
use crate::answer::Answer;
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

const MODELS: &[Projection] = &[Projection::SiteList, Projection::TelemetryFacts];

/// Count what visitors saw and did on a site, by when it happened. The position is that of the telemetry log.
#[utoipa::path(
    get,
    path = "/v1/sites/{site_id}/analytics",
    tag = "Analytics",
    params(("site_id" = Uuid, Path), WindowQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "Counts per interval and per notification.", body = SiteAnalytics),
        (status = NOT_MODIFIED, description = "Still the counts of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_analytics(
    State(app): State<ReadState>,
    reader: Reader,
    ApiPath(site_id): ApiPath<SiteId>,
    ApiQuery(query): ApiQuery<WindowQuery>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let window = Window::parse(&query, clock::now())?;
    app.check_site(&reader, min, MODELS, site_id).await?;
    let (start, end, interval) = (window.start, window.end, window.interval.into());
    let read = app
        .reads
        .analytics(reader.account.into(), site_id, start, end, interval);
    let AsOf { value, position } = read.await?;
    let answer = Answer::hashed(position, &SiteAnalytics::of(site_id, window, &value))?;
    Ok(answer.unless_known(&if_none_match))
}
