//! The one middleware around every request: id, span, metrics, time limit, panics, problems completed.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::{Gauge, counter, gauge, histogram};
use tokio::{task::JoinError, time::timeout};
use tracing::{Instrument, Span, field};

use crate::{
    problem::{self, Problem, ProblemKind},
    rate_limit::TrustedProxies,
    request::{RequestContext, X_REQUEST_ID},
    telemetry,
};

const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// How much longer a handler may take than anybody waits for its answer: longer than a statement may.
const HANDLED_WITHIN: Duration = Duration::from_secs(60);

/// The label of requests that no route matched: the raw path would be an unbounded label.
const UNMATCHED: &str = "unmatched";

#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) request_timeout: Duration,
    pub(super) trusted_proxies: TrustedProxies,
}

pub(super) async fn handle(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = InFlight::enter();
    let context = RequestContext::from_headers(request.headers());
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let path = request.uri().path().to_owned();
    let span = span(&context, method, route);
    telemetry::continue_trace(&span, request.headers());
    request.extensions_mut().insert(context.clone());
    request.extensions_mut().insert(edge.trusted_proxies);

    let response = answer(next.run(request), edge.request_timeout)
        .instrument(span.clone())
        .await;

    observe(&span, method, route, &response, started.elapsed());
    let mut response = problem::complete(response, &path, context.request_id.as_str());
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(id) = context.request_id.header_value() {
        headers.insert(X_REQUEST_ID, id);
    }
    if let Some(trace) = telemetry::trace_response(&span) {
        headers.insert(TRACE_RESPONSE, trace);
    }
    response
}

/// The answer's start, within the time limit; its body may stream for as long as it likes. A handler is a task of its own, so that
/// no statement is cut off in the middle when nobody waits for the answer any more.
async fn answer(
    next: impl Future<Output = Response> + Send + 'static,
    limit: Duration,
) -> Response {
    let handled = timeout(limit + HANDLED_WITHIN, next.in_current_span());
    match timeout(limit, tokio::spawn(handled)).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(ended)) => Problem::new(ProblemKind::Internal)
            .internal(anyhow::anyhow!("a handler {}", why(ended)))
            .into_response(),
        Ok(Ok(Err(_elapsed))) | Err(_elapsed) => Problem::new(ProblemKind::RequestTimeout)
            .internal(anyhow::anyhow!("no answer within {limit:?}"))
            .into_response(),
    }
}

/// No query strings, headers or bodies: they hold secrets and personal data.
fn span(context: &RequestContext, method: &'static str, route: &str) -> Span {
    tracing::info_span!(
        "request",
        otel.kind = "server",
        otel.name = format!("{method} {route}"),
        otel.status_code = field::Empty,
        request.id = %context.request_id,
        correlation.id = %context.correlation_id,
        http.request.method = method,
        http.route = route,
        account.id = field::Empty,
        http.response.status_code = field::Empty,
        duration_ms = field::Empty,
    )
}

fn observe(span: &Span, method: &'static str, route: &str, response: &Response, took: Duration) {
    let status = response.status();
    let duration_ms = took.as_secs_f64() * 1_000.0;
    // Traces know no other whole numbers than i64.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    span.record("duration_ms", duration_ms);
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    span.in_scope(|| tracing::debug!("answered"));
    let route = route.to_owned();
    counter!("proofline_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    histogram!("proofline_http_request_duration_seconds", "method" => method, "route" => route)
        .record(took.as_secs_f64());
}

/// Methods are free text in HTTP; a label must not be.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// What a panic said, or that the process ends.
fn why(ended: JoinError) -> String {
    match ended.try_into_panic() {
        Ok(panic) => {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            format!("panicked: {}", said.unwrap_or("no message"))
        }
        Err(_) => "was cut off".to_owned(),
    }
}

/// Counts down when dropped, because a client that hangs up drops the whole request but its handler.
struct InFlight(Gauge);

impl InFlight {
    fn enter() -> Self {
        let gauge = gauge!("proofline_http_requests_in_flight");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
