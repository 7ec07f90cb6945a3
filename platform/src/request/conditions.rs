//! Entity tags and conditional requests (RFC 9110, section 13). The version of a resource is its tag.

use std::{convert::Infallible, fmt};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};

use crate::problem::{FieldError, Problem, ProblemKind};

/// A strong entity tag, such as `"v7"`. As part of a response it sets the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a resource at this version: `"v7"`.
    #[must_use]
    pub fn version(version: u64) -> Self {
        Self(format!("\"v{version}\""))
    }

    /// A tag from anything that changes when the representation does. What a tag can't hold becomes `_`.
    #[must_use]
    pub fn opaque(value: impl fmt::Display) -> Self {
        let text = value.to_string();
        let tag = text.chars().map(|c| match c {
            '!' | '#'..='~' => c,
            _ => '_',
        });
        Self(format!("\"{}\"", tag.collect::<String>()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IntoResponseParts for ETag {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        // Both constructors yield visible ASCII only.
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            parts.headers_mut().insert(header::ETAG, value);
        }
        Ok(parts)
    }
}

/// The version that a command expects, or `None` for any (no header, or `*`).
///
/// Comparison is strong: a `W/` tag and a tag that is not ours match no version, which is a 412 at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IfMatch {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let tags = match Tags::of(headers, &header::IF_MATCH)? {
            Tags::Absent | Tags::Any => return Ok(Self(None)),
            Tags::List(tags) => tags,
        };
        let mut versions: Vec<u64> = tags.iter().filter_map(Tag::version).collect();
        versions.sort_unstable();
        versions.dedup();
        match versions[..] {
            [] => Err(Problem::new(ProblemKind::PreconditionFailed)
                .detail("no tag in If-Match is the strong tag of a version")),
            [version] => Ok(Self(Some(version))),
            // Two versions can't both be expected of one command.
            _ => Err(malformed(&header::IF_MATCH, "send one version only")),
        }
    }
}

/// The representations that a client already has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfNoneMatch(Tags);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IfNoneMatch {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Tags::of(headers, &header::IF_NONE_MATCH).map(Self)
    }

    /// Whether the client has this representation (weak comparison; `*` matches whatever exists).
    #[must_use]
    pub fn matches(&self, current: &ETag) -> bool {
        match &self.0 {
            Tags::Absent => false,
            Tags::Any => true,
            Tags::List(tags) => tags.iter().any(|tag| tag.opaque == current.0),
        }
    }

    /// `*`: the command may only create.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == Tags::Any
    }

    /// The 304 for a client that has this representation. Give it the `Cache-Control` of the full answer too.
    #[must_use]
    pub fn not_modified(&self, current: &ETag) -> Option<Response> {
        self.matches(current)
            .then(|| (StatusCode::NOT_MODIFIED, current.clone(), ()).into_response())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Absent,
    Any,
    List(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotes.
    opaque: String,
}

impl Tag {
    fn version(&self) -> Option<u64> {
        let digits = self.opaque.strip_prefix("\"v")?.strip_suffix('"')?;
        let version = digits.parse().ok()?;
        // `"v07"` is not a tag that we ever gave out.
        (!self.weak && ETag::version(version).0 == self.opaque).then_some(version)
    }
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        let mut any = false;
        for value in headers.get_all(name) {
            let value = value
                .to_str()
                .map_err(|_| malformed(name, "use ASCII characters only"))?;
            if value.trim() == "*" {
                any = true;
            } else {
                parse_list(value, &mut tags).ok_or_else(|| {
                    malformed(
                        name,
                        "expected entity tags such as \"v7\", with their quotes",
                    )
                })?;
            }
        }
        match (any, tags.is_empty()) {
            (true, true) => Ok(Self::Any),
            (true, false) => Err(malformed(name, "`*` stands alone")),
            (false, true) if headers.contains_key(name) => {
                Err(malformed(name, "the list is empty"))
            }
            (false, true) => Ok(Self::Absent),
            (false, false) => Ok(Self::List(tags)),
        }
    }
}

/// `1#entity-tag`: a tag may hold commas, so this does not split on them.
fn parse_list(value: &str, tags: &mut Vec<Tag>) -> Option<()> {
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let length = quoted.strip_prefix('"')?.find('"')? + 2;
        let (opaque, after) = quoted.split_at(length);
        let opaque = opaque.to_owned();
        tags.push(Tag { weak, opaque });
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(())
}

fn malformed(name: &HeaderName, detail: &'static str) -> Problem {
    let name = if name == header::IF_MATCH {
        "If-Match"
    } else {
        "If-None-Match"
    };
    Problem::new(ProblemKind::InvalidParameter).error(FieldError::parameter(
        name,
        "malformed",
        detail,
    ))
}
