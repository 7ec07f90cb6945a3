//! Pages of lists: cursors that belong to one list, and no other.

use axum::response::Response;
use domain::SiteId;
use platform::page::{Page, PageQuery};
use platform::problem::{Problem, ProblemKind};
use platform::request::IfNoneMatch;
use projections::{AsOf, Page as Rows};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::failure::Failure;

/// A list that has cursors. A part of them: a name that changes makes the cursors in clients' hands invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum List {
    Sites,
    Notifications(SiteId),
    Integrations(SiteId),
    Subjects { open: bool },
    Audit,
    Accesses,
}

impl List {
    /// The position after which the page starts.
    pub(crate) fn after(self, query: &PageQuery) -> Result<Option<i64>, Problem> {
        match query.after::<(Self, i64)>()? {
            None => Ok(None),
            Some((list, after)) if list == self => Ok(Some(after)),
            Some(_) => Err(ProblemKind::InvalidCursor.into()),
        }
    }

    /// The page, each row as what the API shows.
    pub(crate) fn page<R, T: From<R>>(
        self,
        query: &PageQuery,
        read: AsOf<Rows<R>>,
        position: impl FnOnce(&R) -> i64,
    ) -> Result<AsOf<Page<T>>, Problem> {
        let AsOf {
            value,
            position: at,
        } = read;
        let page = query.page_of(value.rows, value.has_more, |row| (self, position(row)))?;
        Ok(AsOf {
            value: page.map(T::from),
            position: at,
        })
    }

    /// The same as it is answered.
    pub(crate) fn answer<R, T>(
        self,
        query: &PageQuery,
        read: AsOf<Rows<R>>,
        position: impl FnOnce(&R) -> i64,
        if_none_match: &IfNoneMatch,
    ) -> Result<Response, Failure>
    where
        T: From<R> + Serialize,
    {
        let page = self.page::<R, T>(query, read, position)?;
        Ok(Answer::page(page)?.unless_known(if_none_match))
    }
}

/// How many rows to read.
pub(crate) fn limit(query: &PageQuery) -> u16 {
    // 100 at most.
    u16::try_from(query.limit).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use platform::page::Cursor;
    use uuid::Uuid;

    use super::*;

    fn query(cursor: String) -> PageQuery {
        let mut query = PageQuery::default();
        query.cursor = Some(cursor);
        query
    }

    #[test]
    fn a_cursor_belongs_to_its_list_alone() {
        let list = |site| List::Notifications(Uuid::from_u128(site).into());
        let cursor = Cursor::encode(&(list(1), 42)).unwrap();
        assert_eq!(list(1).after(&query(cursor.clone())).unwrap(), Some(42));
        assert_eq!(list(1).after(&PageQuery::default()).unwrap(), None);
        for other in [
            list(2),
            List::Integrations(Uuid::from_u128(1).into()),
            List::Sites,
        ] {
            let problem = other.after(&query(cursor.clone())).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::InvalidCursor);
        }
        let problem = List::Sites.after(&query("42".to_owned())).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidCursor);
    }
}
