//! From business routes to a served API: everything that both APIs add, added once.

mod edge;
mod listen;
mod routes;
#[cfg(test)]
mod tests;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use futures::future::BoxFuture;

pub use self::listen::{Stopping, serve};
pub use self::tls::{Tls, TlsError, TlsFiles};
use crate::{problem::ProblemKind, rate_limit::TrustedProxies, telemetry};

pub const BODY_BYTES_MAX_DEFAULT: usize = 1024 * 1024;
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
pub const GRACE_DEFAULT: Duration = Duration::from_secs(3);

/// Says whether something that the API depends on works. The text goes to the log, not to the client.
pub type ReadinessCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What [`finish`] needs to know about an API.
#[derive(Clone)]
pub struct Ops {
    /// Shown by name on `/readyz`.
    pub readiness: Vec<(&'static str, ReadinessCheck)>,
    pub openapi: utoipa::openapi::OpenApi,
    pub body_bytes_max: usize,
    /// Until the answer starts; a stream may go on for longer.
    pub request_timeout: Duration,
    pub trusted_proxies: TrustedProxies,
}

impl Ops {
    #[must_use]
    pub fn new(openapi: utoipa::openapi::OpenApi) -> Self {
        Self {
            readiness: Vec::new(),
            openapi,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            trusted_proxies: TrustedProxies::default(),
        }
    }

    /// Add a check to `/readyz`.
    #[must_use]
    pub fn ready<F, R>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.readiness
            .push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    #[must_use]
    pub fn trusted_proxies(mut self, proxies: usize) -> Self {
        self.trusted_proxies = TrustedProxies(proxies);
        self
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<_> = self.readiness.iter().map(|(name, _)| name).collect();
        f.debug_struct("Ops")
            .field("readiness", &checks)
            .finish_non_exhaustive()
    }
}

/// Add the fallbacks, the operational routes and the middleware. Call it once, last.
///
/// Routes may set their own [`DefaultBodyLimit`] and [`crate::body::accept_gzip`].
pub fn finish(router: Router, ops: Ops) -> Router {
    telemetry::install_metrics();
    let edge = edge::Edge {
        request_timeout: ops.request_timeout,
        trusted_proxies: ops.trusted_proxies,
    };
    let body_limit = DefaultBodyLimit::max(ops.body_bytes_max);
    router
        .merge(routes::operational(ops))
        .fallback(async || crate::problem::Problem::new(ProblemKind::NotFound))
        .method_not_allowed_fallback(async || {
            crate::problem::Problem::new(ProblemKind::MethodNotAllowed)
        })
        .layer(body_limit)
        .layer(middleware::from_fn_with_state(edge, edge::handle))
}
