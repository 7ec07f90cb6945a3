//! Commands and webhooks over HTTP, each under a key: repeated until they are answered, some sent to two processes at
//! once, some again under a used key with other content. What a process that was killed left open, the next one settles.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AGAIN_AFTER, Journal, Load, Stop};

const TASKS: u64 = 3;
const SITES: u64 = 3;
const PAUSE_MS: Range<u64> = 5..80;
const SECRET: &str = "shpss_torture";

pub(super) async fn run(load: &Load, journal: Journal, stop: Stop) -> Result<()> {
    let caller = Caller {
        account: load.account,
        api_key: load.api_key.clone().into(),
        writers: load.writers.clone().into(),
        reader: load.reader.clone().into(),
        client: Client::builder().timeout(Duration::from_secs(10)).build()?,
        journal,
        stop,
    };
    for request in left_open(load)? {
        caller.send(&request, 0).await?;
    }
    let Some(shops) = caller.shops(&load.name).await? else {
        return Ok(());
    };
    let shops: Arc<[Shop]> = shops.into();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(caller.clone().run(shops.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
    }
    Ok(())
}

/// A keyed request, with all that it takes to send it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    /// What the key is unique in: the account, or the integration of a webhook.
    scope: Uuid,
    key: String,
    method: String,
    path: String,
    body: String,
    /// A webhook's topic.
    topic: Option<String>,
}

/// What was sent by a process of this name, and not answered.
fn left_open(load: &Load) -> Result<Vec<Request>> {
    let mut open: HashMap<(Uuid, String), Request> = HashMap::new();
    for entry in fs::read_dir(&load.journals).context("read the journals")? {
        let path = entry.context("read the journals")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(&format!("{}-", load.name)) {
            continue;
        }
        let text = fs::read_to_string(&path).context("read a journal")?;
        for line in text.lines() {
            // The last line may be torn.
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            match line["kind"].as_str() {
                Some("request") => {
                    let request: Request = serde_json::from_value(line)?;
                    open.insert((request.scope, request.key.clone()), request);
                }
                Some("answered") => {
                    let answered: Key = serde_json::from_value(line)?;
                    open.remove(&(answered.scope, answered.key));
                }
                _ => {}
            }
        }
    }
    Ok(open.into_values().collect())
}

#[derive(Deserialize)]
struct Key {
    scope: Uuid,
    key: String,
}

/// A site and what hangs on it.
struct Shop {
    site: Uuid,
    domain: String,
    integration: Uuid,
    notifications: Mutex<Vec<Uuid>>,
}

#[derive(Clone)]
struct Caller {
    account: Uuid,
    api_key: Arc<str>,
    writers: Arc<[String]>,
    reader: Arc<str>,
    client: Client,
    journal: Journal,
    stop: Stop,
}

impl Caller {
    /// The same however often this process is killed, since ids derive from keys.
    async fn shops(&self, name: &str) -> Result<Option<Vec<Shop>>> {
        let mut shops = Vec::new();
        for number in 0..SITES {
            let domain = format!("{name}-{number}.example.com");
            let register = self.post(
                &format!("{name}-site-{number}"),
                "/v1/sites",
                &json!({ "name": "Shop", "domain": domain }),
            );
            let Some(site) = self.id_of(&register).await? else {
                return Ok(None);
            };
            let connect = self.post(
                &format!("{name}-shop-{number}"),
                &format!("/v1/sites/{site}/integrations"),
                &json!({ "platform": "shopify", "shop_domain": domain, "webhook_secret": SECRET }),
            );
            let Some(integration) = self.id_of(&connect).await? else {
                return Ok(None);
            };
            shops.push(Shop {
                site,
                domain,
                integration,
                notifications: Mutex::default(),
            });
        }
        Ok(Some(shops))
    }

    async fn id_of(&self, request: &Request) -> Result<Option<Uuid>> {
        let told = self.send(request, 0).await?;
        Ok(told.and_then(|told| told["id"].as_str()?.parse().ok()))
    }

    async fn run(self, shops: Arc<[Shop]>) -> Result<()> {
        let mut dice = StdRng::from_rng(&mut rand::rng());
        while !self.stop.is_told() {
            let shop = &shops[dice.random_range(0..shops.len())];
            let request = self.choose(shop, &mut dice);
            let first = dice.random_range(0..self.writers.len());
            let told = if dice.random_bool(0.1) {
                let both = tokio::join!(self.send(&request, first), self.send(&request, first + 1));
                both.0?.or(both.1?)
            } else {
                self.send(&request, first).await?
            };
            if let Some(told) = told {
                self.follow(shop, &request, &told, &mut dice).await?;
            }
            sleep(Duration::from_millis(dice.random_range(PAUSE_MS))).await;
        }
        Ok(())
    }

    fn choose(&self, shop: &Shop, dice: &mut StdRng) -> Request {
        let key = Uuid::now_v7().to_string();
        let path = format!("/v1/sites/{}", shop.site);
        let notification = {
            let known = shop
                .notifications
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (!known.is_empty()).then(|| known[dice.random_range(0..known.len())])
        };
        match (dice.random_range(0..100), notification) {
            // Others want it, too.
            (0..4, _) => {
                let domain = format!("contested-{}.example.com", dice.random_range(0..100));
                let register = json!({ "name": "Contested", "domain": domain });
                self.post(&key, "/v1/sites", &register)
            }
            (4..12, _) | (12..40, None) => {
                let draft = json!({ "name": "Sales", "message": "{first_name} bought {product}" });
                self.post(&key, &format!("{path}/notifications"), &draft)
            }
            (12..40, Some(notification)) => {
                let actions = [
                    "publish", "pause", "resume", "publish", "pause", "resume", "archive",
                ];
                let action = actions[dice.random_range(0..actions.len())];
                let path = format!("{path}/notifications/{notification}/{action}");
                self.post(&key, &path, &json!({}))
            }
            (40..60, _) => {
                let name = format!("Shop {}", dice.random_range(0..1_000_000));
                let mut request = self.post(&key, &path, &json!({ "name": name }));
                request.method = "PATCH".to_owned();
                request
            }
            (60..80, _) => {
                let activity = json!({
                    "kind": "order", "external_id": dice.random_range(0..500).to_string(), "product": "Trail Runner",
                    "buyer": { "first_name": "Anna", "city": "Berlin", "country": "DE" },
                });
                self.post(&key, &format!("{path}/activities"), &activity)
            }
            (number, _) => {
                let order = dice.random_range(1..1_000u64);
                let (topic, body) = if number < 93 {
                    ("orders/create", self::order(order))
                } else {
                    (
                        "refunds/create",
                        json!({ "id": order + 1_000_000, "order_id": order }),
                    )
                };
                Request {
                    scope: shop.integration,
                    key,
                    method: "POST".to_owned(),
                    path: format!("/hooks/{}", shop.integration),
                    body: body.to_string(),
                    topic: Some(format!("{topic} {}", shop.domain)),
                }
            }
        }
    }

    fn post(&self, key: &str, path: &str, body: &Value) -> Request {
        Request {
            scope: self.account,
            key: key.to_owned(),
            method: "POST".to_owned(),
            path: path.to_owned(),
            body: body.to_string(),
            topic: None,
        }
    }

    /// What comes after a command that was done: a new notification is known, a key is used again, a write is read.
    async fn follow(
        &self,
        shop: &Shop,
        request: &Request,
        told: &Value,
        dice: &mut StdRng,
    ) -> Result<()> {
        if request.path.ends_with("/notifications")
            && let Some(id) = told["id"].as_str().and_then(|id| id.parse().ok())
        {
            shop.notifications
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id);
        }
        if request.topic.is_none() && dice.random_bool(0.05) {
            self.reuse(request).await?;
        }
        if request.method == "PATCH" && dice.random_bool(0.3) {
            self.read_own_write(shop, told).await?;
        }
        Ok(())
    }

    /// The same key, and another request.
    async fn reuse(&self, request: &Request) -> Result<()> {
        let other = Request {
            method: "POST".to_owned(),
            path: "/v1/sites".to_owned(),
            body: json!({ "name": "Another", "domain": "another.example.com" }).to_string(),
            ..request.clone()
        };
        self.journal
            .write(&json!({ "kind": "reuse", "scope": other.scope, "key": other.key }))?;
        if let Ok(answer) = self.build(&other, &self.writers[0]).send().await {
            self.journal.write(&json!({
                "kind": "answered", "scope": other.scope, "key": other.key, "reuse": true,
                "status": answer.status().as_u16(),
            }))?;
        }
        Ok(())
    }

    /// A read that waits for the write's position shows it, or says that it can't yet.
    async fn read_own_write(&self, shop: &Shop, told: &Value) -> Result<()> {
        let answer = self
            .client
            .get(format!("{}/v1/sites/{}", self.reader, shop.site))
            .bearer_auth(&self.api_key)
            .header(
                "proofline-min-position",
                told["position"].as_str().unwrap_or_default(),
            )
            .send()
            .await;
        let Ok(answer) = answer else { return Ok(()) };
        let status = answer.status().as_u16();
        let etag = answer
            .headers()
            .get("etag")
            .and_then(|etag| etag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let shown = etag
            .trim_matches('"')
            .trim_start_matches('v')
            .parse::<i64>()
            .ok();
        let stale = status == 200 && shown < told["version"].as_i64();
        if stale || !matches!(status, 200 | 503) {
            self.journal.write(&json!({
                "kind": "anomaly",
                "text": format!("a read for {told} was answered {status} with version {etag}"),
            }))?;
        }
        Ok(())
    }

    /// Until it is answered for good, by one process or the other. `None` where it was refused.
    async fn send(&self, request: &Request, first: usize) -> Result<Option<Value>> {
        let mut line = serde_json::to_value(request)?;
        line["kind"] = "request".into();
        line["tenant"] = json!(self.account);
        self.journal.write(&line)?;
        for attempt in first.. {
            let writer = &self.writers[attempt % self.writers.len()];
            if let Ok(answer) = self.build(request, writer).send().await {
                let status = answer.status().as_u16();
                let told = answer.json::<Value>().await;
                match (status, told) {
                    (200..=299, Ok(told)) => {
                        self.answered(request, status, &told)?;
                        return Ok(Some(told));
                    }
                    (429 | 503, _) | (200..=299, Err(_)) => {}
                    (400..=499, Ok(told)) if told["code"] != "contended" => {
                        self.answered(request, status, &json!({}))?;
                        return Ok(None);
                    }
                    (400..=499, _) => {}
                    (_, told) => self.journal.write(&json!({
                        "kind": "anomaly", "text": format!("{request:?} was answered {status} {told:?}"),
                    }))?,
                }
            }
            if self.stop.is_told() && attempt > first + 100 {
                break;
            }
            sleep(AGAIN_AFTER).await;
        }
        Ok(None)
    }

    fn answered(&self, request: &Request, status: u16, told: &Value) -> Result<()> {
        // An order tells its activity, and that it was there already by a status of its own.
        let id = told.get("id").or_else(|| told.get("activity_id"));
        self.journal.write(&json!({
            "kind": "answered", "scope": request.scope, "key": request.key, "status": status,
            "id": id, "version": told.get("version"), "position": told.get("position"),
        }))
    }

    fn build(&self, request: &Request, writer: &str) -> RequestBuilder {
        let method = if request.method == "PATCH" {
            Method::PATCH
        } else {
            Method::POST
        };
        let sent = self
            .client
            .request(method, format!("{writer}{}", request.path))
            .header("content-type", "application/json")
            .body(request.body.clone());
        match request
            .topic
            .as_ref()
            .and_then(|topic| topic.split_once(' '))
        {
            None => sent
                .bearer_auth(&self.api_key)
                .header("idempotency-key", &request.key),
            Some((topic, domain)) => sent
                .header("x-shopify-topic", topic)
                .header("x-shopify-shop-domain", domain)
                .header("x-shopify-webhook-id", &request.key)
                .header("x-shopify-hmac-sha256", sign(request.body.as_bytes())),
        }
    }
}

fn sign(body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// As Shopify writes it, as far as it is read.
fn order(id: u64) -> Value {
    let now = platform::clock::now();
    let address = json!({ "first_name": "Anna", "last_name": "Schmidt", "city": "Berlin", "country_code": "DE" });
    json!({
        "id": id, "name": format!("#{id}"), "email": format!("buyer-{}@example.com", id % 50), "created_at": now,
        "processed_at": now, "cancelled_at": null, "currency": "EUR", "total_price": "199.00",
        "financial_status": "paid", "test": false, "billing_address": address, "shipping_address": address,
        "line_items": [{ "id": 2, "title": "Trail Runner 3", "name": "Trail Runner 3 - Blue", "quantity": 2, "price": "99.50" }],
    })
}
