use axum::extract::State;
use axum::response::Response;
use platform::auth::Officer;
use platform::clock;
use platform::json::ApiQuery;
use platform::page::{Page, PageQuery};
use platform::request::IfNoneMatch;
use projections::{AsOf, Token};

use super::Entry;
use super::filter::FilterQuery;
use crate::answer::Answer;
use crate::documentation::{IfNoneMatchHeader, ListProblems};
use crate::failure::Failure;
use crate::list::{self, List};
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// List what happened in the account, newest first, with what it changed. A page may hold few entries, or none, and still
/// have a next one: a request looks through so many events for those that are wanted, and the next goes on from there.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "Audit",
    params(FilterQuery, PageQuery, MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "A page, with a `Link` to the next.", body = Page<Entry>),
        (status = NOT_MODIFIED, description = "Still the page of `If-None-Match`."),
        ListProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn list_audit(
    State(app): State<ReadState>,
    officer: Officer,
    ApiQuery(filter): ApiQuery<FilterQuery>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
    query: PageQuery,
) -> Result<Response, Failure> {
    let before = List::Audit.after(&query)?;
    let oldest = clock::now() - app.config.audit_retention;
    let wanted = filter.parse(oldest, before, list::limit(&query))?;
    // The log itself is read: what was appended is there.
    min.reached(&app, &[]).await?;
    let AsOf {
        value: found,
        position: at,
    } = app.reads.audit(officer.account.into(), &wanted).await?;
    let next = found.next.map(|next| (List::Audit, next));
    let token = |position| Token { position, ..at };
    let page = query
        .page_before(found.entries, next)?
        .map(|entry| Entry::of(entry, token));
    Ok(Answer::hashed(at, &page)?
        .link(page.link())
        .unless_known(&if_none_match))
}
