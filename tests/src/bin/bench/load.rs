//! Callers that do one thing after another, for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// One of those who call at once, with whatever it keeps between its calls, such as a connection.
pub(crate) trait Caller: Send + 'static {
    /// Does it once; answers how many units that was.
    fn call(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// What callers did, and how long each call took.
pub(crate) struct Measured {
    units: u64,
    took: Duration,
    latency_ns: Histogram<u64>,
}

impl Default for Measured {
    fn default() -> Self {
        let latency_ns = Histogram::new(3).expect("three digits are allowed");
        Self {
            units: 0,
            took: Duration::ZERO,
            latency_ns,
        }
    }
}

impl Measured {
    pub(crate) fn add(&mut self, other: Self) {
        self.units += other.units;
        self.took += other.took;
        self.latency_ns += other.latency_ns;
    }

    /// What took so long as a whole, where single calls are not what matters.
    pub(crate) fn bulk(units: u64, took: Duration) -> Self {
        Self {
            units,
            took,
            ..Self::default()
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) -> Result<()> {
        self.units += 1;
        self.took += latency;
        let nanos = u64::try_from(latency.as_nanos())?;
        self.latency_ns.record(nanos).context("record a latency")
    }

    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    /// Per second.
    pub(crate) fn rate(&self) -> f64 {
        self.units as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.quantile_ms(0.5)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.quantile_ms(0.99)
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// Lets them all call for so long. The first tenth warms connections and statements up and is not counted, nor is a call
/// that began in it or ended too late.
pub(crate) async fn run<C: Caller>(callers: Vec<C>, time: Duration) -> Result<Measured> {
    let started = Instant::now();
    let (from, to) = (started + time / 10, started + time);
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(run_one(caller, from, to));
    }
    let mut measured = Measured {
        took: to - from,
        ..Measured::default()
    };
    while let Some(done) = running.join_next().await {
        let (units, latency_ns) = done.context("a caller panicked")??;
        measured.units += units;
        measured.latency_ns += latency_ns;
    }
    Ok(measured)
}

async fn run_one<C: Caller>(
    mut caller: C,
    from: Instant,
    to: Instant,
) -> Result<(u64, Histogram<u64>)> {
    let mut latency_ns = Histogram::new(3).context("three digits are allowed")?;
    let mut counted = 0;
    let mut began = Instant::now();
    while began < to {
        let units = caller.call().await?;
        let ended = Instant::now();
        if began >= from && ended <= to {
            counted += units;
            latency_ns.record(u64::try_from((ended - began).as_nanos())?)?;
        }
        began = ended;
    }
    Ok((counted, latency_ns))
}
