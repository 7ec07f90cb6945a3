use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use event_store::Log;
use metrics::{Counter, Gauge, Histogram};
use tokio_util::sync::CancellationToken;

use super::error::{SinkError, chain};
use crate::sink::Ledger;

const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// After this, nothing is known.
const MEASURE_WITHIN: Duration = Duration::from_secs(3);
/// A position that the sink has not told yet.
const UNKNOWN: i64 = -1;

/// What one projector shows of itself. Lag is measured beside the loop, not by it: a loop that hangs shows a lag that
/// grows, and one whose lag can't be measured shows none at all (NaN), never 0.
pub(super) struct Meters {
    position: AtomicI64,
    /// Whether somebody is still to drive the projector.
    is_over: AtomicBool,
    checkpoint: Gauge,
    lag_events: Gauge,
    lag_seconds: Gauge,
    up: Gauge,
    shards: Gauge,
    parked: Gauge,
    batch_events: Histogram,
    batch_duration: Histogram,
    errors_transient: Counter,
    errors_fatal: Counter,
}

impl Meters {
    pub(super) fn new(name: &str, version: i32) -> Self {
        describe();
        let labels = [
            ("projector", name.to_owned()),
            ("version", version.to_string()),
        ];
        let errors = |severity: &'static str| {
            let [name, version] = labels.clone();
            let labels = [name, version, ("severity", severity.to_owned())];
            metrics::counter!("proofline_projector_errors_total", &labels)
        };
        let meters = Self {
            position: AtomicI64::new(UNKNOWN),
            is_over: AtomicBool::new(false),
            checkpoint: metrics::gauge!("proofline_projector_checkpoint", &labels),
            lag_events: metrics::gauge!("proofline_projector_lag_events", &labels),
            lag_seconds: metrics::gauge!("proofline_projector_lag_seconds", &labels),
            up: metrics::gauge!("proofline_projector_up", &labels),
            shards: metrics::gauge!("proofline_projector_shards_held", &labels),
            parked: metrics::gauge!("proofline_projector_parked_keys", &labels),
            batch_events: metrics::histogram!("proofline_projector_batch_events", &labels),
            batch_duration: metrics::histogram!(
                "proofline_projector_batch_duration_seconds",
                &labels
            ),
            errors_transient: errors("transient"),
            errors_fatal: errors("fatal"),
        };
        meters.down();
        meters.lag_unknown();
        meters
    }

    /// What was written last; -1 where the sink never told.
    pub(super) fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(super) fn stands_at(&self, position: i64) {
        self.position.store(position, Ordering::Relaxed);
        self.checkpoint.set(position as f64);
    }

    pub(super) fn holds(&self, shards: usize) {
        self.shards.set(shards as f64);
    }

    pub(super) fn parked(&self, keys: usize) {
        self.parked.set(keys as f64);
    }

    pub(super) fn wrote(&self, events: usize, took: Duration) {
        self.batch_events.record(events as f64);
        self.batch_duration.record(took.as_secs_f64());
    }

    pub(super) fn up(&self) {
        self.up.set(1.0);
    }

    pub(super) fn failed(&self) {
        self.errors_transient.increment(1);
        self.down();
    }

    pub(super) fn stopped(&self) {
        self.errors_fatal.increment(1);
        self.down();
    }

    /// Its version has gone, or the process ends: it is neither well nor in want of anything.
    pub(super) fn over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn down(&self) {
        self.up.set(0.0);
    }

    fn lag_unknown(&self) {
        self.lag_events.set(f64::NAN);
        self.lag_seconds.set(f64::NAN);
    }

    /// Until shutdown, whatever becomes of the loop.
    pub(super) async fn measure<L: Log>(
        &self,
        log: &L,
        ledger: Option<&Ledger>,
        shutdown: &CancellationToken,
    ) {
        while !shutdown.is_cancelled() {
            match tokio::time::timeout(MEASURE_WITHIN, self.lag(log, ledger)).await {
                Ok(Ok(Some((events, seconds)))) => {
                    self.lag_events.set(events as f64);
                    self.lag_seconds.set(seconds);
                }
                Ok(Ok(None)) | Err(_) => self.lag_unknown(),
                Ok(Err(error)) => {
                    self.lag_unknown();
                    tracing::debug!(error = chain(&error), "could not measure a projector's lag");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(MEASURE_EVERY) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Events behind the head, and the age in seconds of the oldest of them: of the shard furthest behind, whoever holds
    /// it.
    async fn lag<L: Log>(
        &self,
        log: &L,
        ledger: Option<&Ledger>,
    ) -> Result<Option<(i64, f64)>, SinkError> {
        let position = match ledger {
            Some(ledger) => ledger.lowest().await?,
            None => Some(self.position()).filter(|position| *position != UNKNOWN),
        };
        let (Some(head), Some(position)) = (log.known_head().await, position) else {
            return Ok(None);
        };
        let events = (head - position).max(0);
        let seconds = match events {
            0 => 0.0,
            _ => log
                .age_seconds(position + 1)
                .await
                .map_err(SinkError::Head)?
                .unwrap_or(f64::NAN),
        };
        Ok(Some((events, seconds)))
    }
}

fn describe() {
    metrics::describe_gauge!(
        "proofline_projector_checkpoint",
        "Last position that was written."
    );
    metrics::describe_gauge!(
        "proofline_projector_lag_events",
        "Events behind the head of the log; NaN where it can't be told."
    );
    metrics::describe_gauge!(
        "proofline_projector_lag_seconds",
        "Age of the oldest event that is not written; NaN where it can't be told."
    );
    metrics::describe_gauge!(
        "proofline_projector_up",
        "1 while the projector follows its log, 0 while it fails or has stopped; NaN where nobody is to drive it."
    );
    metrics::describe_gauge!(
        "proofline_projector_shards_held",
        "Shards of the projection that this process holds."
    );
    metrics::describe_gauge!(
        "proofline_projector_parked_keys",
        "Keys that wait behind an event which can't be projected."
    );
    metrics::describe_histogram!("proofline_projector_batch_events", "Events per batch.");
    metrics::describe_histogram!(
        "proofline_projector_batch_duration_seconds",
        "Time to write a batch and its checkpoint."
    );
    metrics::describe_counter!(
        "proofline_projector_errors_total",
        "Failures, by whether they are tried again."
    );
}

/// Also when the loop panics: what is gone is neither up nor without lag.
impl Drop for Meters {
    fn drop(&mut self) {
        self.holds(0);
        self.lag_unknown();
        if *self.is_over.get_mut() {
            for gauge in [&self.up, &self.checkpoint, &self.parked] {
                gauge.set(f64::NAN);
            }
        } else {
            self.down();
        }
    }
}
