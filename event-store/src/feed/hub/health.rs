use std::time::Duration;

use metrics::Gauge;

use crate::feed::FeedError;
use crate::token::LogName;

const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// A reader that is well has read within this time: it looks twice a second, however quiet it is.
const READ_AT_LEAST_EVERY: Duration = Duration::from_secs(3);

/// How the reading of a log goes.
#[derive(Clone, Debug)]
pub struct Health {
    /// Where the log ended when it was read last.
    pub head: Option<i64>,
    /// How long ago that was.
    pub age: Option<Duration>,
    /// Why it has not been read since.
    pub error: Option<FeedError>,
}

impl Health {
    /// The end of the log; `None` where the reader is not able to tell. Whoever measures a lag against it does not take
    /// a dead reader for no lag.
    pub fn known_head(&self) -> Option<i64> {
        let is_fresh = self.age.is_some_and(|age| age < READ_AT_LEAST_EVERY);
        self.head.filter(|_| is_fresh && self.error.is_none())
    }
}

/// What a hub shows of itself. Measured beside the reading, not by it: one that hangs shows an age that grows.
pub(super) struct Gauges {
    up: Gauge,
    head: Gauge,
    age: Gauge,
}

impl Gauges {
    pub(super) fn new(log: LogName) -> Self {
        describe();
        let gauges = Self {
            up: metrics::gauge!("proofline_log_reader_up", "log" => log.as_str()),
            head: metrics::gauge!("proofline_log_reader_head", "log" => log.as_str()),
            age: metrics::gauge!("proofline_log_reader_age_seconds", "log" => log.as_str()),
        };
        gauges.show(None, None);
        gauges
    }

    pub(super) async fn measure(&self, health: impl Fn() -> Health) {
        loop {
            let health = health();
            self.show(health.known_head(), health.age);
            tokio::time::sleep(MEASURE_EVERY).await;
        }
    }

    fn show(&self, head: Option<i64>, age: Option<Duration>) {
        self.up.set(if head.is_some() { 1.0 } else { 0.0 });
        self.head.set(head.map_or(f64::NAN, |head| head as f64));
        self.age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    }
}

/// Also when the reading panics: what is gone is not up.
impl Drop for Gauges {
    fn drop(&mut self) {
        self.show(None, None);
    }
}

fn describe() {
    metrics::describe_gauge!(
        "proofline_log_reader_up",
        "1 while the process's reader of the log is able to read it, else 0."
    );
    metrics::describe_gauge!(
        "proofline_log_reader_head",
        "Last position of the log; NaN where the reader can't tell."
    );
    metrics::describe_gauge!(
        "proofline_log_reader_age_seconds",
        "How long ago the log was read; NaN where it never was."
    );
}
