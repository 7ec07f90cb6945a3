use axum::extract::State;
use axum::response::Response;
use platform::auth::Officer;
use platform::clock;
use platform::json::ApiQuery;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;
use projections::AsOf;

use super::Access;
use super::access_filter::AccessFilterQuery;
use crate::answer::Answer;
use crate::documentation::{IfNoneMatchHeader, ListProblems};
use crate::failure::Failure;
use crate::list::{self, List};
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// List who opened personal data of the account, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit/access",
    tag = "Audit",
    params(AccessFilterQuery, PageQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "A page, with a `Link` to the next.", body = Page<Access>),
        (status = NOT_MODIFIED, description = "Still the page of `If-None-Match`."),
        ListProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn list_accesses(
    State(app): State<ReadState>,
    officer: Officer,
    ApiQuery(filter): ApiQuery<AccessFilterQuery>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    min.reached(&app, &[]).await?;
    let page = accesses(&app, &officer, filter, &query).await?;
    Ok(Answer::page(page)?.unless_known(&if_none_match))
}

pub(super) async fn accesses(
    app: &ReadState,
    officer: &Officer,
    filter: AccessFilterQuery,
    query: &PageQuery,
) -> Result<AsOf<Page<Access>>, Failure> {
    let before = List::Accesses.after(query)?;
    let wanted = filter.parse(clock::now() - app.config.audit_retention)?;
    let (account, limit) = (officer.account.into(), list::limit(query));
    let noted = app.reads.accesses(account, &wanted, before, limit).await?;
    Ok(List::Accesses.page(query, noted, |row| row.id)?)
}
