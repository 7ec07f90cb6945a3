//! What a read answers: the body or, where the caller has it already, 304; both with tag and position.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use platform::page::Page;
use platform::position::position_header;
use platform::problem::{Problem, ProblemKind};
use platform::request::{ETag, IfNoneMatch};
use projections::{AsOf, Token};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A cache of one's own may keep it, and must ask before it uses it.
const OWN_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Bytes of a body's hash that stand in its tag.
const TAG_BYTES: usize = 16;

/// What was read.
#[derive(Debug)]
pub(crate) struct Answer {
    etag: ETag,
    position: Token,
    content_type: HeaderValue,
    body: Vec<u8>,
    link: Option<HeaderValue>,
    cache_control: HeaderValue,
}

impl Answer {
    /// Of something that has a version, which is its tag.
    pub(crate) fn versioned<T: Serialize>(
        position: Token,
        version: i64,
        body: &T,
    ) -> Result<Self, Problem> {
        let etag = ETag::version(u64::try_from(version).unwrap_or_default());
        Ok(Self::tagged(position, etag, json(body)?))
    }

    /// The same, of a text that is not JSON.
    pub(crate) fn text(position: Token, version: i64, body: String) -> Self {
        let etag = ETag::version(u64::try_from(version).unwrap_or_default());
        let text = Self::tagged(position, etag, body.into_bytes());
        Self {
            content_type: TEXT,
            ..text
        }
    }

    /// Of anything else: its content is its tag.
    pub(crate) fn hashed<T: Serialize>(position: Token, body: &T) -> Result<Self, Problem> {
        let body = json(body)?;
        let hash = Sha256::digest(&body);
        let hash = hash
            .iter()
            .take(TAG_BYTES)
            .map(|byte| format!("{byte:02x}"));
        Ok(Self::tagged(
            position,
            ETag::opaque(hash.collect::<String>()),
            body,
        ))
    }

    /// Of a list, with a link to the next page.
    pub(crate) fn page<T: Serialize>(read: AsOf<Page<T>>) -> Result<Self, Problem> {
        let page = Self::hashed(read.position, &read.value)?;
        Ok(Self {
            link: read.value.link(),
            ..page
        })
    }

    fn tagged(position: Token, etag: ETag, body: Vec<u8>) -> Self {
        Self {
            etag,
            position,
            content_type: JSON,
            body,
            link: None,
            cache_control: OWN_CACHE,
        }
    }

    pub(crate) fn cache_control(self, cache_control: HeaderValue) -> Self {
        Self {
            cache_control,
            ..self
        }
    }

    /// 304 where the caller has this body already.
    pub(crate) fn unless_known(self, if_none_match: &IfNoneMatch) -> Response {
        let mut response = match if_none_match.not_modified(&self.etag) {
            Some(not_modified) => not_modified,
            None => {
                let mut full = (
                    self.etag,
                    [(header::CONTENT_TYPE, self.content_type)],
                    self.body,
                )
                    .into_response();
                full.headers_mut()
                    .extend(self.link.map(|link| (header::LINK, link)));
                full
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, self.cache_control);
        headers.extend(position_header(self.position));
        response
    }
}

/// What is there, or a 404 that says how far was looked, so that a caller can tell "not yet" from "never".
pub(crate) fn found<T>(read: AsOf<Option<T>>) -> Result<AsOf<T>, Problem> {
    let AsOf {
        value,
        position: at,
    } = read;
    match value {
        Some(value) => Ok(AsOf {
            value,
            position: at,
        }),
        None => Err(not_found(at)),
    }
}

pub(crate) fn not_found(at: Token) -> Problem {
    let [(name, value)] = position_header(at);
    Problem::new(ProblemKind::NotFound).header(name, value)
}

fn json<T: Serialize>(body: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(body).map_err(|error| Problem::new(ProblemKind::Internal).internal(error))
}

#[cfg(test)]
mod tests;
