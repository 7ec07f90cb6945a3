//! The audit's lists as fields of the graph.

use async_graphql::{Context, Object, OutputType, Result, SimpleObject};
use platform::auth::Officer;
use platform::page::{Page, PageQuery};
use projections::AsOf;

use super::access_filter::AccessFilterQuery;
use super::filter::FilterQuery;
use super::list::entries;
use super::list_accesses::accesses;
use super::{Access, Entry};
use crate::state::ReadState;

/// Of a list by itself, in fields: it may look through many events for none.
const LIST_COST: usize = 500;

/// What an officer can ask for.
pub(crate) struct AuditQueries;

#[Object(name = "Query")]
impl AuditQueries {
    /// What happened in the account, newest first. A page may hold few entries, or none, and still have a next one: a field
    /// looks through so many events for those that are wanted, and the next goes on from there.
    #[graphql(complexity = "LIST_COST + usize::from(first) * child_complexity")]
    async fn audit(
        &self,
        context: &Context<'_>,
        filter: Option<FilterQuery>,
        #[graphql(default = 20, validator(minimum = 1, maximum = 100))] first: u16,
        after: Option<String>,
    ) -> Result<Listed<Entry>> {
        let (app, officer) = (context.data::<ReadState>()?, context.data::<Officer>()?);
        let page = entries(
            app,
            officer,
            filter.unwrap_or_default(),
            &page(first, after),
        )
        .await?;
        Ok(page.into())
    }

    /// Who opened personal data of the account, newest first.
    #[graphql(complexity = "LIST_COST + usize::from(first) * child_complexity")]
    async fn audit_accesses(
        &self,
        context: &Context<'_>,
        filter: Option<AccessFilterQuery>,
        #[graphql(default = 20, validator(minimum = 1, maximum = 100))] first: u16,
        after: Option<String>,
    ) -> Result<Listed<Access>> {
        let (app, officer) = (context.data::<ReadState>()?, context.data::<Officer>()?);
        let page = accesses(
            app,
            officer,
            filter.unwrap_or_default(),
            &page(first, after),
        )
        .await?;
        Ok(page.into())
    }
}

/// A part of a list.
#[derive(SimpleObject)]
#[graphql(concrete(name = "AuditPage", params(Entry)))]
#[graphql(concrete(name = "AuditAccessPage", params(Access)))]
struct Listed<T: OutputType> {
    nodes: Vec<T>,
    page_info: PageInfo,
    /// Up to where in the log this was read.
    position: String,
}

#[derive(SimpleObject)]
struct PageInfo {
    has_next_page: bool,
    /// Pass it as `after` to get the next part. Opaque: don't build or keep one.
    end_cursor: Option<String>,
}

impl<T: OutputType> From<AsOf<Page<T>>> for Listed<T> {
    fn from(read: AsOf<Page<T>>) -> Self {
        Self {
            nodes: read.value.data,
            page_info: PageInfo {
                has_next_page: read.value.has_more,
                end_cursor: read.value.next_cursor,
            },
            position: read.position.to_string(),
        }
    }
}

fn page(first: u16, after: Option<String>) -> PageQuery {
    let mut query = PageQuery::default();
    query.limit = first.into();
    query.cursor = after;
    query
}
