//! Who is asking, and whether they may. The permission is part of a handler's signature:
//! [`Reader`], [`Writer`] or [`Officer`].

use std::{collections::BTreeSet, fmt, marker::PhantomData, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
pub use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{
    problem::{Problem, ProblemKind},
    request::RequestContext,
};

/// Longer than any token we issue; more is garbage and not worth a look-up.
const TOKEN_BYTES_MAX: usize = 512;

/// Looks a bearer token up. An implementation compares in constant time and never logs the token.
pub trait Authenticate: Send + Sync {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>>;
}

/// Whom a token belongs to and what it permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub account: Uuid,
    pub key: Uuid,
    pub scopes: BTreeSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not one of ours: unknown, altered, revoked or expired. Which of them is nobody's business.
    #[error("the token is not known")]
    Unknown,
    /// The look-up itself failed: answered with 503, never with 401.
    #[error("could not look the token up")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A permission that an extractor asks for.
pub trait Scope: Send + Sync + 'static {
    /// Stored with keys; never rename.
    const NAME: &'static str;
}

/// See [`Reader`].
#[derive(Debug)]
pub enum Read {}

impl Scope for Read {
    const NAME: &'static str = "read";
}

/// See [`Writer`].
#[derive(Debug)]
pub enum Write {}

impl Scope for Write {
    const NAME: &'static str = "write";
}

/// See [`Officer`].
#[derive(Debug)]
pub enum Compliance {}

impl Scope for Compliance {
    const NAME: &'static str = "compliance";
}

/// A caller whose key has the scope `read`.
pub type Reader = Caller<Read>;

/// A caller whose key has the scope `write`, which does not imply `read`.
pub type Writer = Caller<Write>;

/// A caller whose key has the scope `compliance`, which implies neither of the others.
pub type Officer = Caller<Compliance>;

/// An authenticated caller with one permission. Only extraction makes one.
pub struct Caller<P> {
    pub account: Uuid,
    pub key: Uuid,
    pub request: RequestContext,
    permission: PhantomData<fn() -> P>,
}

impl<P> Caller<P> {
    /// `api_key:<uuid>`, as it is recorded with every change.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("api_key:{}", self.key)
    }
}

impl<P> fmt::Debug for Caller<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("account", &self.account)
            .field("key", &self.key)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl<S, P> FromRequestParts<S> for Caller<P>
where
    S: Send + Sync,
    P: Scope,
    Arc<dyn Authenticate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or(ProblemKind::Unauthenticated)?;
        let authenticate = <Arc<dyn Authenticate>>::from_ref(state);
        let principal = authenticate.authenticate(token).await?;
        tracing::Span::current().record("account.id", tracing::field::display(principal.account));
        if !principal.scopes.contains(P::NAME) {
            return Err(scope_missing(P::NAME));
        }
        Ok(Self {
            account: principal.account,
            key: principal.key,
            request: RequestContext::of(parts),
            permission: PhantomData,
        })
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => ProblemKind::Unauthenticated.into(),
            AuthError::Unavailable(_) => Self::new(ProblemKind::Unavailable).internal(error),
        }
    }
}

/// One credential, `Bearer` in any case, visible ASCII.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let sane = !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && sane).then_some(token)
}

fn scope_missing(scope: &'static str) -> Problem {
    // RFC 6750, section 3.1. The scopes are our own visible ASCII.
    let challenge = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
    let problem = Problem::new(ProblemKind::Forbidden)
        .code("scope_missing")
        .detail(format!("the key lacks the scope `{scope}`"));
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => problem.header(header::WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests;
