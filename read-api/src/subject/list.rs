use axum::extract::State;
use axum::response::Response;
use platform::auth::Officer;
use platform::json::ApiQuery;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;
use projections::subject_list;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{MODELS, Subject};
use crate::documentation::{IfNoneMatchHeader, ListProblems};
use crate::failure::Failure;
use crate::list::{self, List};
use crate::min_position::MinPosition;
use crate::state::ReadState;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `true` for those only that have an open request.
    #[serde(default)]
    open: bool,
}

/// List the account's records of people in order of registration.
#[utoipa::path(
    get,
    path = "/v1/subjects",
    tag = "People",
    params(Which, PageQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "A page, with a `Link` to the next.", body = Page<Subject>),
        (status = NOT_MODIFIED, description = "Still the page of `If-None-Match`."),
        ListProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn list_subjects(
    State(app): State<ReadState>,
    officer: Officer,
    ApiQuery(which): ApiQuery<Which>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    let list = List::Subjects { open: which.open };
    let after = list.after(&query)?;
    let mut tx = app.begin(&officer, min, MODELS).await?;
    let rows = subject_list::list(&mut tx, which.open, after, list::limit(&query)).await?;
    list.answer::<_, Subject>(&query, rows, |row| row.position, &if_none_match)
}
