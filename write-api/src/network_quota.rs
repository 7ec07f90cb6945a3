//! Limits of the public routes by network, checked before a body is read.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use platform::problem::Problem;
use platform::rate_limit::{ClientAddr, RateLimit, RateLimitHeaders};

use crate::state::{Limits, WriteState};

/// A public route, which has a limit of its own.
pub(crate) trait PublicRoute {
    fn limit(limits: &Limits) -> &RateLimit;
}

pub(crate) enum Collect {}

pub(crate) enum Hooks {}

/// A request from a network that keeps to the route's limit, and the headers that say how far.
pub(crate) struct WithinQuota<R> {
    pub(crate) headers: RateLimitHeaders,
    route: PhantomData<fn() -> R>,
}

impl<R: PublicRoute> FromRequestParts<WriteState> for WithinQuota<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &WriteState) -> Result<Self, Problem> {
        let Ok(client) = ClientAddr::from_request_parts(parts, state).await;
        let headers = R::limit(&state.limits).check(client.network())?;
        Ok(Self {
            headers,
            route: PhantomData,
        })
    }
}

impl PublicRoute for Collect {
    fn limit(limits: &Limits) -> &RateLimit {
        &limits.collect_network
    }
}

impl PublicRoute for Hooks {
    fn limit(limits: &Limits) -> &RateLimit {
        &limits.hook_network
    }
}
