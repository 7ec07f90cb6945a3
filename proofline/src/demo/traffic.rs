//! The demo's visitors: telemetry for what a page really was served.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::Api;
use super::plan::{Fault, Observed, Traffic};
use super::{Setup, text};

/// How many requests visitors have on their way at once.
const REQUESTS_AT_ONCE: usize = 4;

/// What the API said of all batches, and what the hours must show.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
    /// New and valid events per hour (seconds since 1970), notification (by index) and kind.
    pub(super) hours: BTreeMap<(i64, usize, &'static str), u64>,
    /// The token of the last position.
    pub(super) position: String,
}

pub(super) async fn send(api: &Api, setup: &Setup, traffic: &Traffic) -> Result<Sent> {
    let tokens = tokens(api, setup).await?;
    let mut sent = Sent::default();
    let mut requests = Vec::new();
    for (number, batch) in traffic.batches.iter().enumerate() {
        // Times are spread over the last minutes, as they are when browsers send what they gathered.
        let events: Vec<Value> = batch
            .events
            .iter()
            .map(|observed| event(observed, &tokens, &mut sent.hours))
            .collect();
        requests.push((Traffic::is_resent(number), json!({ "events": events })));
    }
    let answers: Vec<Vec<Value>> = stream::iter(requests)
        .map(|(resent, body)| async move {
            let mut answers = vec![api.collect(&body).await?];
            if resent {
                answers.push(api.collect(&body).await?);
            }
            anyhow::Ok(answers)
        })
        .buffered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    for answer in answers.iter().flatten() {
        sent.accepted += answer["accepted"].as_u64().context("no accepted")?;
        sent.duplicates += answer["duplicates"].as_u64().context("no duplicates")?;
        sent.refused += answer["refused"].as_array().context("no refused")?.len() as u64;
    }
    sent.position = text(
        answers
            .last()
            .and_then(|batch| batch.last())
            .context("nothing was sent")?,
        "position",
    )?;
    Ok(sent)
}

/// What a page was served: a token per published notification, in the order of the setup.
async fn tokens(api: &Api, setup: &Setup) -> Result<Vec<String>> {
    let feed = api
        .public(&format!("/embed/v1/{}/feed", setup.embed_key))
        .await?;
    let items = feed["items"].as_array().context("no items in the feed")?;
    for item in items {
        ensure!(
            item.get("last_name").is_none() && item.get("email").is_none(),
            "the feed shows too much: {item}"
        );
    }
    setup
        .published
        .iter()
        .map(|notification| {
            let item = items
                .iter()
                .find(|item| item["notification_id"] == **notification);
            text(
                item.with_context(|| format!("notification {notification} is not in the feed"))?,
                "token",
            )
        })
        .collect()
}

fn event(
    observed: &Observed,
    tokens: &[String],
    hours: &mut BTreeMap<(i64, usize, &'static str), u64>,
) -> Value {
    let id = Uuid::now_v7();
    let now = platform::clock::now();
    let (token, occurred_at) = match observed.fault {
        None => (tokens[observed.notification].clone(), now),
        Some(Fault::ForgedToken) => ("AAAA".repeat(12), now),
        Some(Fault::ClockYearsOff) => (
            tokens[observed.notification].clone(),
            now - TimeDelta::days(2_000),
        ),
    };
    if observed.fault.is_none() {
        *hours
            .entry((hour(occurred_at), observed.notification, observed.kind))
            .or_default() += 1;
    }
    json!({
        "id": id,
        "type": observed.kind,
        "token": token,
        "occurred_at": occurred_at,
        "page": "https://shop.example.com/products/trail-runner?utm_source=news#reviews",
    })
}

fn hour(at: DateTime<Utc>) -> i64 {
    at.duration_trunc(TimeDelta::hours(1))
        .map_or(0, |hour| hour.timestamp())
}
