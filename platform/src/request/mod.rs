//! What a request says about itself: id, trace, conditions, idempotency key, raw body.

mod conditions;
mod idempotency;

use std::{convert::Infallible, fmt, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use uuid::Uuid;

pub use self::{
    conditions::{ETag, IfMatch, IfNoneMatch},
    idempotency::IdempotencyKey,
};
pub use crate::body::RawBody;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const REQUEST_ID_CHARS_MAX: usize = 64;

/// Names one request in answers, logs and recorded changes: the client's `X-Request-Id` where it is sane
/// (up to 64 visible ASCII characters), a fresh UUIDv7 otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(headers: &HeaderMap) -> Self {
        headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()))
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()))
            .map_or_else(Self::new, |id| Self(id.into()))
    }

    pub(crate) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What ties a request to its log lines and to everything it causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    pub request_id: RequestId,
    /// The trace id of the W3C `traceparent` header; without one, the request id where that is a UUID,
    /// else a fresh UUIDv7.
    pub correlation_id: Uuid,
}

impl RequestContext {
    /// The context that the middleware made, or a new one for a router without it.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        match parts.extensions.get::<Self>() {
            Some(context) => context.clone(),
            None => Self::from_headers(&parts.headers),
        }
    }

    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let request_id = RequestId::of(headers);
        let correlation_id = trace_id(headers)
            .or_else(|| Uuid::try_parse(request_id.as_str()).ok())
            .unwrap_or_else(Uuid::now_v7);
        Self {
            request_id,
            correlation_id,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// `00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>`, later versions may append fields
/// (W3C Trace Context, section 3.2).
fn trace_id(headers: &HeaderMap) -> Option<Uuid> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let fields: Vec<&str> = value.split('-').collect();
    let [version, trace, parent, flags, ..] = fields[..] else {
        return None;
    };
    let shaped = [(version, 2), (trace, 32), (parent, 16), (flags, 2)]
        .iter()
        .all(|(field, digits)| field.len() == *digits && is_lower_hex(field));
    let version_ok = version != "ff" && (version != "00" || fields.len() == 4);
    let parent_ok = parent.bytes().any(|digit| digit != b'0');
    let trace = Uuid::try_parse(trace).ok().filter(|id| !id.is_nil())?;
    (shaped && version_ok && parent_ok).then_some(trace)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes()
        .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

#[cfg(test)]
mod tests;
