//! A merchant's request as a command needs it: what it says, and what makes it itself when it is repeated.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use commands::{Call, ClientKey};
use domain::{CaseReference, DomainError as _};
use platform::auth::Caller;
use platform::clock;
use platform::json::{self, ApiJson};
use platform::problem::{FieldError, Problem, ProblemKind};
use platform::request::{IdempotencyKey, IfMatch, RawBody};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const SOURCE: &str = "http";
pub(crate) const REASON: &str = "Proofline-Reason";

/// A command with content: JSON of the shape `T`.
pub(crate) struct CommandRequest<T> {
    pub(crate) content: T,
    identity: Identity,
}

/// A command that says all in its path. The body is empty, or `{}`.
pub(crate) struct ActionRequest {
    identity: Identity,
}

/// What a repeated request has in common with the first one.
struct Identity {
    key: Option<String>,
    /// No part of what it is: a repeat may give another.
    reason: Option<CaseReference>,
    method: String,
    path: String,
    body: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoMembers {}

impl<T> CommandRequest<T> {
    pub(crate) fn call<P>(&self, caller: &Caller<P>) -> Call {
        self.identity.call(caller, IfMatch(None))
    }

    pub(crate) fn call_if<P>(&self, caller: &Caller<P>, if_match: IfMatch) -> Call {
        self.identity.call(caller, if_match)
    }
}

impl ActionRequest {
    pub(crate) fn call_if<P>(&self, caller: &Caller<P>, if_match: IfMatch) -> Call {
        self.identity.call(caller, if_match)
    }
}

impl Identity {
    /// Reads the whole request; it can be read again from what is returned.
    async fn of<S: Send + Sync>(request: Request, state: &S) -> Result<(Self, Request), Problem> {
        let (mut parts, body) = request.into_parts();
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, state).await?;
        let reason = reason(&parts.headers)?;
        let again: Parts = parts.clone();
        let RawBody(body) = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        let identity = Self {
            key,
            reason,
            method: again.method.as_str().to_owned(),
            path: again.uri.path().to_owned(),
            body: body.clone(),
        };
        Ok((identity, Request::from_parts(again, Body::from(body))))
    }

    fn call<P>(&self, caller: &Caller<P>, IfMatch(version): IfMatch) -> Call {
        let request = [
            self.method.as_bytes(),
            self.path.as_bytes(),
            self.body.as_ref(),
        ];
        Call {
            account: caller.account.into(),
            actor: caller.actor(),
            at: clock::now(),
            correlation_id: caller.request.correlation_id,
            request_id: caller.request.request_id.to_string(),
            source: SOURCE,
            key: (self.key.as_deref()).map(|key| ClientKey::new(&caller.account, key, &request)),
            // A version that no aggregate can have matches none.
            if_match: version.map(|version| i64::try_from(version).unwrap_or(i64::MAX)),
            causation_id: None,
            reason: self.reason.clone(),
        }
    }
}

fn reason(headers: &HeaderMap) -> Result<Option<CaseReference>, Problem> {
    let mut values = headers.get_all(REASON).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let refused = |code, detail: String| {
        let error = FieldError::parameter(REASON, code, detail);
        Problem::new(ProblemKind::InvalidParameter).error(error)
    };
    if values.next().is_some() {
        return Err(refused("repeated", "send the header once".to_owned()));
    }
    let text = value.to_str().unwrap_or_default();
    match CaseReference::parse(text) {
        Ok(reason) => Ok(Some(reason)),
        Err(error) => Err(refused(error.code(), error.to_string())),
    }
}

impl<S, T> FromRequest<S> for CommandRequest<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (identity, again) = Identity::of(request, state).await?;
        let ApiJson(content) = ApiJson::from_request(again, state).await?;
        Ok(Self { content, identity })
    }
}

impl<S: Send + Sync> FromRequest<S> for ActionRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (identity, _) = Identity::of(request, state).await?;
        if !identity.body.is_empty() {
            let NoMembers {} = json::parse(&identity.body)?;
        }
        Ok(Self { identity })
    }
}

#[cfg(test)]
mod tests;
