//! The whole platform over HTTP, in this process, with projectors that a test drives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use key_providers::KeyProviderArgs;
use projections::Projections;
use proofline::account;
use proofline::app::{App, Part};
use proofline::chores::Chores;
use proofline::config::{Connections, Tuning};
use proofline::secrets::Secrets;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::World;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub(crate) const SHOP: &str = "trail.myshopify.com";
pub(crate) const SECRET: &str = "shpss_test";

/// A served platform on a world of its own, with one account.
pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) account: Uuid,
    pub(crate) client: Client,
    pub(crate) projections: Projections,
    pub(crate) commands: commands::Commands,
    pub(crate) chores: Arc<Chores>,
    _stop: DropGuard,
}

/// What an answer was, read to the end.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let world = World::new().await;
        let connections = connections(&world);
        migrations::clickhouse(
            &connections.clickhouse().unwrap(),
            &connections.clickhouse_database,
        )
        .await
        .unwrap();
        Self::on(world, connections).await
    }

    pub(crate) async fn on(world: World, connections: Connections) -> Self {
        let app = App::open(Part::All, &connections, &tuning()).await.unwrap();
        let (commands, projections) = (
            app.commands().unwrap().clone(),
            app.projections().unwrap().clone(),
        );
        let chores = app.chores().unwrap().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(projections.run_tail(stop.clone()));
        tokio::spawn(app.serve_only(listener, stop.clone()));
        let secrets = Secrets::open(&connections).await.unwrap();
        let opened = account::open(&commands, &secrets.api_keys, "Test")
            .await
            .unwrap();
        Self {
            world,
            url,
            key: opened.key,
            account: opened.account.into(),
            client: Client::new(),
            projections,
            commands,
            chores,
            _stop: stop.drop_guard(),
        }
    }

    /// A second account's key.
    pub(crate) async fn other_key(&self) -> String {
        self.other_account().await.key
    }

    /// A key of a second account's compliance officer.
    pub(crate) async fn other_officers_key(&self) -> String {
        let other = self.other_account().await.account;
        self.issued(other.into(), "compliance").await
    }

    async fn other_account(&self) -> account::Opened {
        let secrets = Secrets::open(&connections(&self.world)).await.unwrap();
        account::open(&self.commands, &secrets.api_keys, "Other")
            .await
            .unwrap()
    }

    /// A key of this account that may only do what the scope says.
    pub(crate) async fn key_with(&self, scope: &str) -> String {
        self.issued(self.account, scope).await
    }

    async fn issued(&self, account: Uuid, scope: &str) -> String {
        let command = account::AccountCommand::IssueKey {
            account,
            label: scope.to_owned(),
            scopes: vec![scope.to_owned()],
        };
        let secrets = Secrets::open(&connections(&self.world)).await.unwrap();
        let said = account::run(&self.commands, &secrets.api_keys, command)
            .await
            .unwrap();
        said.rsplit_once(' ').unwrap().1.to_owned()
    }

    /// Drives every projector, by the production loop, to the head.
    pub(crate) async fn catch_up(&self) {
        self.projections.catch_up_all().await.unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        answered(
            self.request(Method::POST, path)
                .bearer_auth(&self.key)
                .json(&body),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        answered(self.request(Method::GET, path).bearer_auth(&self.key)).await
    }

    /// A site with a connected shop and a published notification.
    pub(crate) async fn shop(&self) -> Shop {
        let domain = format!("{}.example.com", Uuid::now_v7().simple());
        let site = self
            .post("/v1/sites", json!({ "name": "Trail", "domain": domain }))
            .await;
        let site_id = site.body["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/sites/{site_id}");
        let integration =
            json!({ "platform": "shopify", "shop_domain": SHOP, "webhook_secret": SECRET });
        let integration = self
            .post(&format!("{path}/integrations"), integration)
            .await;
        let message =
            json!({ "name": "Sales", "message": "{first_name} from {city} bought {product}" });
        let notification = self.post(&format!("{path}/notifications"), message).await;
        let notification_id = notification.body["id"].as_str().unwrap().to_owned();
        let published = self
            .post(
                &format!("{path}/notifications/{notification_id}/publish"),
                json!({}),
            )
            .await;
        assert_eq!(published.status, StatusCode::OK, "{}", published.body);
        Shop {
            site_id,
            notification_id,
            integration_id: integration.body["id"].as_str().unwrap().to_owned(),
            embed_key: site.body["embed_key"].as_str().unwrap().to_owned(),
        }
    }

    /// Delivers a webhook as the shop does.
    pub(crate) async fn deliver(
        &self,
        shop: &Shop,
        topic: &str,
        webhook_id: &str,
        body: &Value,
    ) -> Answered {
        let bytes = body.to_string().into_bytes();
        let signature = sign(SECRET, &bytes);
        answered(
            self.webhook(&shop.integration_id, topic, webhook_id, &signature)
                .body(bytes),
        )
        .await
    }

    pub(crate) fn webhook(
        &self,
        integration: &str,
        topic: &str,
        webhook_id: &str,
        signature: &str,
    ) -> RequestBuilder {
        self.request(Method::POST, &format!("/hooks/{integration}"))
            .header("content-type", "application/json")
            .header("x-shopify-topic", topic)
            .header("x-shopify-shop-domain", SHOP)
            .header("x-shopify-webhook-id", webhook_id)
            .header("x-shopify-hmac-sha256", signature)
    }

    /// The token of the shop's notification, as a page is served it.
    pub(crate) async fn token(&self, shop: &Shop) -> String {
        let feed =
            answered(self.request(Method::GET, &format!("/embed/v1/{}/feed", shop.embed_key)))
                .await;
        feed.body["items"][0]["token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token in {}", feed.body))
            .to_owned()
    }

    pub(crate) async fn collect(&self, events: Vec<Value>) -> Answered {
        answered(
            self.request(Method::POST, "/collect")
                .json(&json!({ "events": events })),
        )
        .await
    }

    /// How many events the log holds.
    pub(crate) async fn events(&self) -> i64 {
        self.count("select count(*) from es.events").await
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.world.owner().await)
            .await
            .unwrap()
    }
}

/// What [`Served::shop`] made.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) site_id: String,
    pub(crate) notification_id: String,
    pub(crate) integration_id: String,
    pub(crate) embed_key: String,
}

pub(crate) async fn answered(request: RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answered {
        status,
        headers,
        body,
    }
}

impl Answered {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// A documented problem of this kind, and nothing internal in it.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, slug: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(
            self.body["type"],
            format!("/problems/{slug}"),
            "{}",
            self.body
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        for internal in ["sqlx", "postgres", "src/", "panicked"] {
            assert!(
                !self.body.to_string().to_lowercase().contains(internal),
                "{}",
                self.body
            );
        }
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// An order that a page may show.
pub(crate) fn order(id: u64) -> Value {
    order_of("Anna", id)
}

/// The same of a person of this first name.
pub(crate) fn order_of(name: &str, id: u64) -> Value {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = platform::clock::now();
    let address = json!({ "first_name": name, "last_name": "Schmidt", "city": "Berlin", "country_code": "DE" });
    let email = format!("{}.schmidt@example.com", name.to_lowercase());
    json!({
        "id": id, "name": format!("#{number}"), "email": email, "created_at": now,
        "processed_at": now, "cancelled_at": null, "currency": "EUR", "total_price": "199.00",
        "financial_status": "paid", "test": false,
        "customer": { "id": 1, "first_name": name, "last_name": "Schmidt", "email": email },
        "billing_address": address, "shipping_address": address,
        "line_items": [{ "id": 2, "title": "Trail Runner 3", "name": "Trail Runner 3 - Blue", "quantity": 2, "price": "99.50" }],
    })
}

/// A valid event for a token.
pub(crate) fn seen(token: &str, kind: &str) -> Value {
    json!({
        "id": Uuid::now_v7(), "type": kind, "token": token, "occurred_at": platform::clock::now(),
        "page": "https://shop.example.com/p/1?q=2#3",
    })
}

pub(crate) fn connections(world: &World) -> Connections {
    Connections {
        database_url: world.database_url.clone(),
        keys_database_url: Some(world.keys_url.clone()),
        redis_url: world.redis_url.clone(),
        redis_prefix: world.redis_prefix.clone(),
        clickhouse_url: world.clickhouse_url.clone(),
        clickhouse_database: world.clickhouse_database.clone(),
        key_provider: KeyProviderArgs::default(),
        key_file: world.key_file(),
        anchor: None,
        backups: None,
        key_backups: None,
        region: None,
        worker: uuid::Uuid::now_v7().to_string(),
    }
}

pub(crate) fn tuning() -> Tuning {
    Tuning {
        trusted_proxies: 0,
        collect_events_per_second: 1_000_000,
        collect_requests_per_second: 1_000_000,
        audit_retention_days: 2_557,
        tls_certificates: None,
        tls_private_key: None,
        other_regions: vec!["us=https://us.example.com/".to_owned()],
        backup_every_hours: None,
        backup_retention: replay_tools::backup::Retention::default(),
        webhook: proofline::webhook::WebhookArgs::default(),
    }
}
