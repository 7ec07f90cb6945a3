//! Metrics for Prometheus.

use std::{sync::OnceLock, thread, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// From 1 ms to 30 s: a command takes a few milliseconds, a request is cut at 30 s.
const BUCKETS_S: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Of batches, by how much they hold: a lone command, and up to 50,000 telemetry events.
const BUCKETS_COUNT: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_000.0, 4_000.0, 16_000.0, 64_000.0,
];

/// Install the recorder behind [`render`]. What is recorded before is lost, so call [`super::init`] first thing.
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
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        keep_up(handle.clone());
        describe();
        handle
    })
}

/// A histogram's unit is its last word, and says which buckets it has.
fn builder() -> PrometheusBuilder {
    let buckets = [
        ("_seconds", &BUCKETS_S[..]),
        ("_items", &BUCKETS_COUNT),
        ("_events", &BUCKETS_COUNT),
    ];
    buckets
        .into_iter()
        .fold(PrometheusBuilder::new(), |builder, (suffix, buckets)| {
            builder
                .set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
                .expect("only an empty list of buckets is refused")
        })
}

fn describe() {
    metrics::describe_counter!(
        "proofline_http_requests_total",
        "Requests answered, by route and status."
    );
    metrics::describe_histogram!(
        "proofline_http_request_duration_seconds",
        "Time until the answer started; a stream may go on for longer."
    );
    metrics::describe_gauge!(
        "proofline_http_requests_in_flight",
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
