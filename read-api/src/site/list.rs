use axum::extract::State;
use axum::response::Response;
use platform::auth::Reader;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;
use projections::site_list;

use super::{MODELS, Site};
use crate::documentation::{IfNoneMatchHeader, ListProblems};
use crate::failure::Failure;
use crate::list::{self, List};
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// List the account's sites in order of registration.
#[utoipa::path(
    get,
    path = "/v1/sites",
    tag = "Sites",
    params(PageQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "A page, with a `Link` to the next.", body = Page<Site>),
        (status = NOT_MODIFIED, description = "Still the page of `If-None-Match`."),
        ListProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn list_sites(
    State(app): State<ReadState>,
    reader: Reader,
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    let after = List::Sites.after(&query)?;
    let mut tx = app.begin(&reader, min, MODELS).await?;
    let rows = site_list::list(&mut tx, after, list::limit(&query)).await?;
    List::Sites.answer::<_, Site>(&query, rows, |row| row.position, &if_none_match)
}
