//! Decisions straight into the lane: several events each, on streams that other processes append to as well, under a
//! key or without, each at the version last seen.

use std::time::Duration;

use anyhow::{Context as _, Result};
use event_store::{Append, AppendError, NewEvent, Origin, Store, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AGAIN_AFTER, Journal, Load, Stop};

const TASKS: u64 = 4;
const STREAMS: u64 = 10;
const EVENTS_MAX: usize = 3;
const PAUSE_MS: std::ops::Range<u64> = 5..60;

pub(super) async fn run(load: &Load, journal: Journal, stop: Stop) -> Result<()> {
    let connections = &load.connections;
    let keys_url = connections.keys_url()?;
    let store = loop {
        match tests::open_store(&connections.database_url, &keys_url, &connections.key_file).await {
            Ok(store) => break store,
            Err(_) if stop.is_told() => return Ok(()),
            Err(_) => sleep(AGAIN_AFTER).await,
        }
    };
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let lane = Lane {
            store: store.clone(),
            tenant: load.account,
            journal: journal.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(lane.run());
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
    }
    Ok(())
}

#[derive(Clone)]
struct Lane {
    store: Store,
    tenant: Uuid,
    journal: Journal,
    stop: Stop,
}

impl Lane {
    async fn run(self) -> Result<()> {
        let mut dice = StdRng::from_rng(&mut rand::rng());
        let mut versions = [0i64; STREAMS as usize];
        while !self.stop.is_told() {
            let stream = dice.random_range(0..STREAMS);
            let version = &mut versions[stream as usize];
            let append = self.decide(stream, *version, &mut dice);
            let twice = append.request_hash.is_some() && dice.random_bool(0.3);
            let (first, second) = if twice {
                tokio::join!(self.send(append.clone()), self.send(append))
            } else {
                (self.send(append).await, Ok(None))
            };
            for stands_at in [first?, second?].into_iter().flatten() {
                *version = stands_at;
            }
            sleep(Duration::from_millis(dice.random_range(PAUSE_MS))).await;
        }
        Ok(())
    }

    /// Sends, and again what may have been lost where its key makes that safe. Answers with the stream's version, where
    /// it is known now.
    async fn send(&self, append: Append) -> Result<Option<i64>> {
        let command = append.origin.command_id;
        loop {
            self.journal.write(&json!({
                "kind": "append", "tenant": append.tenant, "command": command,
                "stream": format!("{}/{}", append.stream.aggregate_type, append.stream.aggregate_id),
                "expected": append.expected, "keyed": append.request_hash.is_some(),
                "events": append.events.iter().map(|event| event.id).collect::<Vec<_>>(),
            }))?;
            let outcome = self.store.append(append.clone()).await;
            let told = |outcome: &str, version: i64, position: i64| {
                self.journal.write(&json!({
                    "kind": "appended", "tenant": append.tenant, "command": command,
                    "outcome": outcome, "version": version, "position": position,
                }))
            };
            match outcome {
                Ok(appended) => {
                    told("ok", appended.version, appended.position)?;
                    return Ok(Some(appended.version));
                }
                Err(AppendError::Conflict { actual }) => {
                    told("refused", 0, 0)?;
                    return Ok(Some(actual));
                }
                Err(AppendError::Unavailable(_) | AppendError::Ended) => {
                    told("unknown", 0, 0)?;
                    if append.request_hash.is_none() || self.stop.is_told() {
                        return Ok(None);
                    }
                    sleep(AGAIN_AFTER).await;
                }
                Err(AppendError::Overloaded) => {
                    told("refused", 0, 0)?;
                    return Ok(None);
                }
                Err(error) => return Err(error).context("an append that must be possible"),
            }
        }
    }

    fn decide(&self, stream: u64, expected: i64, dice: &mut StdRng) -> Append {
        let site = Uuid::new_v5(&self.tenant, &stream.to_be_bytes());
        let at = platform::clock::now();
        let mut events = Vec::new();
        if expected == 0 {
            events.push(event(
                "site.registered",
                json!({
                    "account_id": self.tenant, "name": "Lane", "domain": format!("lane-{stream}.example.com"),
                    "embed_key": format!("pk_{}", site.simple()),
                    "settings": { "feed_items_max": 10, "feed_age_hours_max": 72 }, "at": at,
                }),
            ));
        }
        for _ in 0..dice.random_range(1..=EVENTS_MAX) {
            events.push(if dice.random_bool(0.5) {
                let name = format!("Lane {}", dice.random_range(0..1_000_000));
                event("site.renamed", json!({ "name": name, "at": at }))
            } else {
                let settings = json!({
                    "feed_items_max": dice.random_range(1..=50), "feed_age_hours_max": dice.random_range(1..=720),
                });
                event("site.settings_changed", json!({ "settings": settings, "at": at }))
            });
        }
        let command_id = Uuid::now_v7();
        Append {
            tenant: self.tenant,
            stream: StreamId {
                aggregate_type: "site".to_owned(),
                aggregate_id: site.to_string(),
            },
            owner: site,
            expected,
            origin: Origin {
                command_id,
                correlation_id: command_id,
                causation_id: None,
                actor: "operator".to_owned(),
                metadata: json!({ "source": "torture" }),
            },
            request_hash: dice.random_bool(0.4).then(|| dice.random()),
            excluded: Vec::new(),
            events,
        }
    }
}

fn event(event_type: &str, payload: Value) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        event_type: event_type.to_owned(),
        event_version: "1".to_owned(),
        payload,
        tags: Vec::new(),
    }
}
