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
    min.reached(&app, &[]).await?;
    let page = entries(&app, &officer, filter, &query).await?;
    Ok(Answer::page(page)?.unless_known(&if_none_match))
}

/// From the log itself: what was appended is there.
pub(super) async fn entries(
    app: &ReadState,
    officer: &Officer,
    filter: FilterQuery,
    query: &PageQuery,
) -> Result<AsOf<Page<Entry>>, Failure> {
    let before = List::Audit.after(query)?;
    let oldest = clock::now() - app.config.audit_retention;
    let wanted = filter.parse(oldest, before, list::limit(query))?;
    let AsOf { value, position } = app.reads.audit(officer.account.into(), &wanted).await?;
    let next = value.next.map(|next| (List::Audit, next));
    let token = |of| Token {
        position: of,
        ..position
    };
    let page = query.page_before(value.entries, next)?;
    Ok(AsOf {
        value: page.map(|entry| Entry::of(entry, token)),
        position,
    })
}
