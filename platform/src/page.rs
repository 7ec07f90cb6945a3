//! Lists in pages, with opaque cursors.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{FieldError, Problem, ProblemKind};

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const CURSOR_BYTES_MAX: usize = 1024;
const CURSOR_VERSION: u8 = 1;

/// Which page of a list: `?limit=20&cursor=…`. Other parameters are left for the handler's own query.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items per page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: u32,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Every other parameter, for the link to the next page.
    #[param(ignore)]
    others: Vec<(String, String)>,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            limit: LIMIT_DEFAULT,
            cursor: None,
            others: Vec::new(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl PageQuery {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "limit" => query.limit = limit(&value)?,
                "cursor" => query.cursor = Some(value.into_owned()),
                _ => query.others.push((name.into_owned(), value.into_owned())),
            }
        }
        Ok(query)
    }

    /// The key after which this page starts, or `None` for the first page.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        self.cursor.as_deref().map(Cursor::decode).transpose()
    }

    /// The page from up to `limit + 1` rows: the one too many only says that there is more.
    ///
    /// `key` gives the position of an item in the list's order, which must be unique and stable.
    pub fn page<T, K: Serialize>(
        &self,
        mut rows: Vec<T>,
        key: impl FnOnce(&T) -> K,
    ) -> Result<Page<T>, Problem> {
        let limit = self.limit as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        self.page_of(rows, has_more, key)
    }

    /// The same, from rows whose query knows whether there are more.
    pub fn page_of<T, K: Serialize>(
        &self,
        rows: Vec<T>,
        has_more: bool,
        key: impl FnOnce(&T) -> K,
    ) -> Result<Page<T>, Problem> {
        let next = rows.last().filter(|_| has_more).map(key);
        let page = self.page_before(rows, next)?;
        Ok(Page { has_more, ..page })
    }

    /// The same, from rows whose query knows where to go on, be it after the last of them or not.
    pub fn page_before<T, K: Serialize>(
        &self,
        rows: Vec<T>,
        next: Option<K>,
    ) -> Result<Page<T>, Problem> {
        let next_cursor = next.as_ref().map(Cursor::encode).transpose()?;
        let next_link = next_cursor.as_deref().map(|cursor| self.link(cursor));
        Ok(Page {
            data: rows,
            has_more: next_cursor.is_some(),
            next_cursor,
            next_link,
        })
    }

    /// RFC 8288, relative to the request's own path.
    fn link(&self, cursor: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.others)
            .append_pair("limit", &self.limit.to_string())
            .append_pair("cursor", cursor)
            .finish();
        format!("<?{query}>; rel=\"next\"")
    }
}

fn limit(value: &str) -> Result<u32, Problem> {
    match value.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        _ => Err(
            Problem::new(ProblemKind::InvalidParameter).error(FieldError::parameter(
                "limit",
                "out_of_range",
                "must be a whole number from 1 to 100",
            )),
        ),
    }
}

/// One page of a list. As a response it is JSON, with a `Link` to the next page where there is one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Whether another page follows.
    pub has_more: bool,
    /// Pass it as `cursor` to get the next page. Opaque: don't build or keep one.
    pub next_cursor: Option<String>,
    #[serde(skip)]
    next_link: Option<String>,
}

impl<T> Page<T> {
    /// The same page with its items mapped, for example from rows to what the API shows.
    #[must_use]
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(item).collect(),
            has_more: self.has_more,
            next_cursor: self.next_cursor,
            next_link: self.next_link,
        }
    }

    /// The `Link` to the next page, where there is one, for an answer that is not made of the page itself.
    #[must_use]
    pub fn link(&self) -> Option<HeaderValue> {
        let link = self.next_link.as_deref()?;
        HeaderValue::from_str(link).ok()
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let link = self.link();
        let mut response = Json(&self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// Opaque cursors: base64url of `{"v":1,"k":…}`, where `k` is a small serde type.
#[derive(Debug)]
pub struct Cursor;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<K> {
    v: u8,
    k: K,
}

impl Cursor {
    /// Fails only on a key that has no JSON form, which is our fault.
    pub fn encode<K: Serialize>(key: &K) -> Result<String, Problem> {
        let envelope = Envelope {
            v: CURSOR_VERSION,
            k: key,
        };
        let json = serde_json::to_vec(&envelope)
            .map_err(|error| Problem::new(ProblemKind::Internal).internal(error))?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
    }

    pub fn decode<K: DeserializeOwned>(cursor: &str) -> Result<K, Problem> {
        let invalid = || Problem::new(ProblemKind::InvalidCursor);
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(invalid());
        }
        let json = BASE64_URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| invalid())?;
        let envelope: Envelope<K> = serde_json::from_slice(&json).map_err(|_| invalid())?;
        if envelope.v == CURSOR_VERSION {
            Ok(envelope.k)
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests;
