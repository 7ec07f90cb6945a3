//! Logs to stderr, metrics for Prometheus, traces to an OpenTelemetry collector.

mod json;
mod metrics;
mod traces;

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, dynamic_filter_fn},
    fmt,
    layer::{Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

pub use self::metrics::{install_metrics, render};
pub(crate) use self::traces::{continue_trace, trace_response};

/// The filter's environment variable: `PROOFLINE_LOG=info,platform=debug`.
pub const LOG_ENV: &str = "PROOFLINE_LOG";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Sends what is left of the traces when it is dropped, so hold it until the end of `main`.
#[must_use]
#[derive(Debug)]
pub struct Telemetry {
    _traces: Option<traces::Traces>,
}

/// Start logs, metrics and traces for this process; `part` names it among others of the same service. Only the first
/// call counts, so tests may all call it.
///
/// Traces are off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the other variables of OpenTelemetry (sampler, headers,
/// service name, batching) are obeyed.
///
/// ```
/// use platform::telemetry::{Format, init, render};
///
/// let telemetry = init(Format::Json, "example");
/// let _ = init(Format::Pretty, "example"); // no effect
/// metrics::counter!("things_total").increment(2);
/// metrics::histogram!("thing_duration_seconds").record(0.003);
/// metrics::histogram!("thing_batch_events").record(3.0);
/// assert!(render().contains("things_total 2"));
/// assert!(render().contains(r#"thing_duration_seconds_bucket{le="0.005"} 1"#));
/// assert!(render().contains(r#"thing_batch_events_bucket{le="4"} 1"#));
/// ```
pub fn init(format: Format, part: &'static str) -> Telemetry {
    let (layer, traces, failed) = match traces::start(part) {
        Ok(Some((layer, traces))) => (Some(layer), Some(traces), None),
        Ok(None) => (None, None, None),
        Err(error) => (None, None, Some(error)),
    };
    let subscriber = tracing_subscriber::registry()
        .with(layer)
        .with(logs(format));
    // An error says that a subscriber is set already, which is what "only the first call counts" means.
    let _ = subscriber.try_init();
    install_metrics();
    if let Some(error) = failed {
        tracing::error!(error = format!("{error:#}"), "there will be no traces");
    }
    Telemetry { _traces: traces }
}

fn logs<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(LOG_ENV)
        .from_env_lossy();
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        Format::Pretty => lines.with_filter(asked_anew(filter)).boxed(),
        Format::Json => lines
            .fmt_fields(fmt::format::JsonFields::new())
            .event_format(json::Lines::new())
            .with_filter(asked_anew(filter))
            .boxed(),
    }
}

/// A layer's filter that is asked for every span and event, also for those that it always lets through.
///
/// Such filters leave their answer in the thread, for the span or event that comes next. Whoever asks whether something is
/// enabled and then makes nothing of it (sqlx does, before every query that it might log) leaves an answer behind, and a
/// span that need not be asked for would take it for its own and be lost.
fn asked_anew<S: tracing::Subscriber>(filter: impl Filter<S>) -> impl Filter<S> {
    let ask = dynamic_filter_fn(|_, _| true).with_max_level_hint(LevelFilter::TRACE);
    filter.and(ask)
}

#[cfg(test)]
mod tests;
