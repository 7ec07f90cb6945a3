//! Traces by OTLP over HTTP, and the W3C headers that carry them from and to others.

use axum::http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanLimits},
};
use tracing::{Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::asked_anew;

const ENDPOINT_ENV: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SERVICE_NAME_ENV: &str = "OTEL_SERVICE_NAME";
const SERVICE_NAME: &str = "proofline";
/// Whose spans are sent, whatever is logged; those of libraries are too many and tell too much.
const TRACED: [&str; 8] = [
    "commands",
    "event_store",
    "platform",
    "projections",
    "proofline",
    "read_api",
    "replay_tools",
    "write_api",
];
/// A flush serves as many commands as this.
const LINKS_MAX: u32 = 256;

/// The exporter of a process.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(
                error = format!("{error:#}"),
                "the last traces were not sent"
            );
        }
    }
}

/// The layer that makes spans of `tracing` into those of OpenTelemetry. `None` where no collector is named.
pub(super) fn start<S>(
    part: &'static str,
) -> Result<Option<(impl Layer<S> + Send + Sync, Traces)>, ExporterBuildError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    if std::env::var_os(ENDPOINT_ENV).is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    let mut resource = Resource::builder().with_attribute(KeyValue::new("part", part));
    if std::env::var_os(SERVICE_NAME_ENV).is_none() {
        resource = resource.with_service_name(SERVICE_NAME);
    }
    let limits = SpanLimits {
        max_links_per_span: LINKS_MAX,
        ..SpanLimits::default()
    };
    // Sampled as the caller's trace is, and where there is none as OTEL_TRACES_SAMPLER says: by default, always.
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_span_limits(limits)
        .with_batch_exporter(SpanExporter::builder().with_http().build()?)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE_NAME))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(asked_anew(
            Targets::new().with_targets(TRACED.map(|name| (name, LevelFilter::DEBUG))),
        ));
    Ok(Some((layer, Traces(provider))))
}

/// The trace that is under way here.
pub(super) fn current() -> Option<SpanContext> {
    let context = Context::current();
    let current = context.span().span_context().clone();
    current.is_valid().then_some(current)
}

/// Makes the span a part of the caller's trace, where its headers name one.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let caller = TraceContextPropagator::new().extract(&Headers(headers));
    if caller.span().span_context().is_valid() {
        // Refused only where no traces are sent, or where the span began already.
        let _ = span.set_parent(caller);
    }
}

/// Tells the caller which trace its request became: `traceresponse` of W3C Trace Context Level 2.
pub(crate) fn trace_response(span: &Span) -> Option<HeaderValue> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let value = format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags()
    );
    context
        .is_valid()
        .then(|| HeaderValue::from_str(&value).ok())
        .flatten()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
