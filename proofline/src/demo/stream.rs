//! The demo's dashboard: listens to server-sent events and notes when each arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::Delivered;
use super::client::Api;
use super::report::Report;

const ARRIVED_WITHIN: Duration = Duration::from_secs(30);

/// When `activity.recorded` arrived, by activity id, and how often.
type Arrivals = Arc<Mutex<HashMap<String, (Instant, u64)>>>;

pub(super) struct Watcher {
    arrivals: Arrivals,
    reading: JoinHandle<()>,
}

impl Watcher {
    /// Listens from now on.
    pub(super) async fn start(api: &Api) -> Result<Self> {
        let response = api
            .read("/v1/events/stream", None)
            .await?
            .error_for_status()?;
        let arrivals = Arrivals::default();
        let noted = arrivals.clone();
        let reading = tokio::spawn(async move {
            let mut stream = response.bytes_stream();
            let mut pending = Vec::new();
            while let Some(Ok(bytes)) = stream.next().await {
                pending.extend_from_slice(&bytes);
                while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    note(&line, &noted);
                }
            }
        });
        Ok(Self { arrivals, reading })
    }

    /// Waits for the rest and reports the time from sending a webhook to its event's arrival.
    pub(super) async fn latencies(self, delivered: &Delivered, report: &mut Report) -> Result<()> {
        let deadline = Instant::now() + ARRIVED_WITHIN;
        while self.arrived() < delivered.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.reading.abort();
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let times: u64 = arrivals.values().map(|(_, times)| times).sum();
        report.count(
            "orders told to the dashboard",
            delivered.len() as u64,
            times,
        );
        let mut latency_us = Histogram::<u64>::new(3)?;
        for (activity, sent) in delivered {
            let (arrived, _) = arrivals
                .get(activity)
                .with_context(|| format!("{activity} never arrived"))?;
            latency_us.record(u64::try_from(arrived.duration_since(*sent).as_micros())?)?;
        }
        ensure!(!latency_us.is_empty(), "nothing was delivered");
        let ms = |quantile| {
            format!(
                "{:.1} ms",
                latency_us.value_at_quantile(quantile) as f64 / 1000.0
            )
        };
        report.measure("order to dashboard, p50", ms(0.50));
        report.measure("order to dashboard, p99", ms(0.99));
        Ok(())
    }

    fn arrived(&self) -> usize {
        self.arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

fn note(line: &[u8], arrivals: &Arrivals) {
    let event = line
        .strip_prefix(b"data:")
        .and_then(|data| serde_json::from_slice::<Value>(data).ok());
    if let Some(event) = event
        && event["event_type"] == "activity.recorded"
        && let Some(activity) = event["aggregate_id"].as_str()
    {
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals
            .entry(activity.to_owned())
            .or_insert_with(|| (Instant::now(), 0))
            .1 += 1;
    }
}
