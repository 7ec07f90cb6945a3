//! Telemetry over HTTP: batches, some sent again, some sent to two processes at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::SubsecRound as _;
use domain::Impression;
use proofline::secrets::Secrets;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AGAIN_AFTER, Journal, Load, Stop};

const TASKS: u64 = 3;
const SITES: u64 = 6;
const NOTIFICATIONS: u64 = 2;
const EVENTS: Range<u64> = 1..60;
const PAUSE_MS: Range<u64> = 20..120;
const KINDS: [&str; 4] = ["impression", "click", "dismissal", "conversion"];

pub(super) async fn run(load: &Load, journal: Journal, stop: Stop) -> Result<()> {
    let secrets = Secrets::open(&load.connections).await?;
    let mut pages = Vec::new();
    for site in 0..SITES {
        let site = Uuid::new_v5(&load.account, format!("page-{site}").as_bytes());
        for notification in 0..NOTIFICATIONS {
            let notification = Uuid::new_v5(&site, &notification.to_be_bytes());
            let impression = Impression {
                account_id: load.account.into(),
                site_id: site.into(),
                notification_id: notification.into(),
                served_at: platform::clock::now().trunc_subsecs(0),
            };
            pages.push(Page {
                site,
                token: secrets.impressions.sign(&impression.to_bytes()),
            });
        }
    }
    let collect = Collect {
        pages: pages.into(),
        writers: load.writers.clone().into(),
        account: load.account,
        client: Client::builder().timeout(Duration::from_secs(10)).build()?,
        batches: Arc::default(),
        journal,
        stop,
    };
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(collect.clone().run());
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
    }
    Ok(())
}

/// A site, and what one of its pages was served.
struct Page {
    site: Uuid,
    token: String,
}

#[derive(Clone)]
struct Collect {
    pages: Arc<[Page]>,
    writers: Arc<[String]>,
    account: Uuid,
    client: Client,
    batches: Arc<AtomicU64>,
    journal: Journal,
    stop: Stop,
}

impl Collect {
    async fn run(self) -> Result<()> {
        let mut dice = StdRng::from_rng(&mut rand::rng());
        while !self.stop.is_told() {
            let page = &self.pages[dice.random_range(0..self.pages.len())];
            let events: Vec<Value> = (0..dice.random_range(EVENTS))
                .map(|_| {
                    json!({
                        "id": Uuid::now_v7(), "type": KINDS[dice.random_range(0..KINDS.len())],
                        "token": page.token, "occurred_at": platform::clock::now(),
                        "page": format!("/p/{}", dice.random_range(0..20)),
                    })
                })
                .collect();
            let batch = self.batches.fetch_add(1, Ordering::Relaxed);
            let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
            self.journal.write(&json!({
                "kind": "collect", "batch": batch, "owner": page.site, "tenant": self.account, "ids": ids,
            }))?;
            let body = json!({ "events": events });
            let first = dice.random_range(0..self.writers.len());
            match dice.random_range(0..10) {
                0 => {
                    self.send(batch, &body, first).await?;
                    self.send(batch, &body, first + 1).await?;
                }
                1 => {
                    let both = tokio::join!(
                        self.send(batch, &body, first),
                        self.send(batch, &body, first + 1)
                    );
                    both.0?;
                    both.1?;
                }
                _ => self.send(batch, &body, first).await?,
            }
            sleep(Duration::from_millis(dice.random_range(PAUSE_MS))).await;
        }
        Ok(())
    }

    /// Until it is answered, by one process or the other.
    async fn send(&self, batch: u64, body: &Value, first: usize) -> Result<()> {
        for attempt in first.. {
            let writer = &self.writers[attempt % self.writers.len()];
            let sent = self
                .client
                .post(format!("{writer}/collect"))
                .json(body)
                .send();
            if let Ok(answer) = sent.await {
                let status = answer.status();
                match (status.as_u16(), answer.json::<Value>().await) {
                    (200, Ok(told)) => {
                        return self.journal.write(&json!({
                            "kind": "collected", "batch": batch, "accepted": told["accepted"],
                            "duplicates": told["duplicates"], "position": told["position"],
                        }));
                    }
                    (200 | 429 | 503, _) => {}
                    (_, told) => self.journal.write(&json!({
                        "kind": "anomaly", "text": format!("telemetry was answered {status} {told:?}"),
                    }))?,
                }
            }
            if self.stop.is_told() && attempt > first + 100 {
                break;
            }
            sleep(AGAIN_AFTER).await;
        }
        Ok(())
    }
}
