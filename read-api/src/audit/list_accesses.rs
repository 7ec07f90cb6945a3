use axum::extract::State;
use axum::response::Response;
use platform::auth::Officer;
use platform::clock;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;

use super::Access;
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
    params(PageQuery, MinPosition, IfNoneMatchHeader),
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
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    let before = List::Accesses.after(&query)?;
    let oldest = clock::now() - app.config.audit_retention;
    min.reached(&app, &[]).await?;
    let noted = app.reads.accesses(
        officer.account.into(),
        Some(oldest),
        before,
        list::limit(&query),
    );
    List::Accesses.answer::<_, Access>(&query, noted.await?, |row| row.id, &if_none_match)
}
