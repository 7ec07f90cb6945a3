//! Logs to stderr, metrics for Prometheus.

use std::{io::IsTerminal, sync::OnceLock, thread, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The filter's environment variable: `PROOFLINE_LOG=info,platform=debug`.
pub const LOG_ENV: &str = "PROOFLINE_LOG";

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// From 1 ms to 30 s: a command takes a few milliseconds, a request is cut at 30 s.
const BUCKETS_S: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Start logs and metrics for this process. Only the first call counts, so tests may all call it.
///
/// ```
/// use platform::telemetry::{Format, init, render};
///
/// init(Format::Json);
/// init(Format::Pretty); // no effect
/// metrics::counter!("things_total").increment(2);
/// metrics::histogram!("thing_duration_seconds").record(0.003);
/// assert!(render().contains("things_total 2"));
/// assert!(render().contains(r#"thing_duration_seconds_bucket{le="0.005"} 1"#));
/// ```
pub fn init(format: Format) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(LOG_ENV)
        .from_env_lossy();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error says that a subscriber is set already, which is what "only the first call counts" means.
    let _ = match format {
        Format::Pretty => logs.try_init(),
        Format::Json => logs.json().flatten_event(true).try_init(),
    };
    install_metrics();
}

/// Install the recorder behind [`render`]. What is recorded before is lost, so call [`init`] first thing.
pub fn install_metrics() {
    recorder();
}

/// All metrics in Prometheus' text format.
#[must_use]
pub fn render() -> String {
    recorder().render()
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder = match PrometheusBuilder::new().set_buckets_for_metric(suffix, &BUCKETS_S) {
            Ok(builder) => builder,
            // Only an empty list of buckets is refused.
            Err(_) => PrometheusBuilder::new(),
        };
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        keep_up(handle.clone());
        describe();
        handle
    })
}

fn describe() {
    metrics::describe_counter!(
        "http_requests_total",
        "Requests answered, by route and status."
    );
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time until the answer started; a stream may go on for longer."
    );
    metrics::describe_gauge!(
        "http_requests_in_flight",
        "Requests whose answer has not started."
    );
}

/// Histograms buffer every sample until somebody drains them; without a scraper that is nobody.
fn keep_up(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            thread::sleep(UPKEEP_INTERVAL);
            handle.run_upkeep();
        }
    };
    let spawned = thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(upkeep);
    if let Err(error) = spawned {
        tracing::warn!(
            error = format!("{error:#}"),
            "metrics are drained by scraping only"
        );
    }
}
