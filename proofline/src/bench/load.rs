//! Callers that do one thing after another, for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// What callers did, and how long each call took.
pub(super) struct Measured {
    units: u64,
    took: Duration,
    latency_us: Histogram<u64>,
}

impl Default for Measured {
    fn default() -> Self {
        let latency_us = Histogram::new(3).expect("three digits are allowed");
        Self {
            units: 0,
            took: Duration::ZERO,
            latency_us,
        }
    }
}

impl Measured {
    pub(super) fn add(&mut self, other: Self) {
        self.units += other.units;
        self.took += other.took;
        self.latency_us += other.latency_us;
    }

    /// Per second.
    pub(super) fn rate(&self) -> f64 {
        self.units as f64 / self.took.as_secs_f64()
    }

    pub(super) fn p99_ms(&self) -> f64 {
        self.latency_us.value_at_quantile(0.99) as f64 / 1000.0
    }
}

/// Runs so many callers for so long; each call answers how many units it did. The first tenth is not counted.
pub(super) async fn run<F>(callers: usize, time: Duration, call: impl Fn() -> F) -> Result<Measured>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let started = Instant::now();
    let (from, to) = (started + time / 10, started + time);
    let mut running = JoinSet::new();
    let mut measured = Measured {
        took: to - from,
        ..Measured::default()
    };
    for _ in 0..callers {
        running.spawn(timed(call()));
    }
    while let Some(done) = running.join_next().await {
        let (units, began, ended) = done.context("a caller panicked")??;
        if began >= from && ended <= to {
            measured.units += units;
            measured
                .latency_us
                .record(u64::try_from((ended - began).as_micros())?)?;
        }
        if ended < to {
            running.spawn(timed(call()));
        }
    }
    Ok(measured)
}

async fn timed<F>(call: F) -> Result<(u64, Instant, Instant)>
where
    F: Future<Output = Result<u64>>,
{
    let began = Instant::now();
    let units = call.await?;
    Ok((units, began, Instant::now()))
}
