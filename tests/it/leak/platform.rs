//! A platform that is used in every way that it offers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clickhouse::sql::Identifier;
use event_store::vault::{LocalKeyFile, Vault};
use event_store::{EventLog, Log as _, Reader, Role, connect};
use futures::{StreamExt as _, stream};
use proofline::account;
use proofline::secrets::Secrets;
use replay_tools::backup::{Backups, Retention, Target};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::search::Traces;
use super::{CONTROL, ERASED, MARK, PEOPLE, email, name, reviewer};
use crate::faults::Stage;
use crate::served::{SECRET, SHOP, sign};

const AT_ONCE: usize = 24;
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) struct Platform {
    pub(super) stage: Stage,
    officer: String,
    client: Client,
    pub(super) traces: Traces,
    /// Method and path of what was asked for, as the OpenAPI document names them.
    asked: Mutex<BTreeSet<(String, String)>>,
}

impl Platform {
    pub(super) async fn start() -> Self {
        let (traces, collector) = Traces::collect().await;
        let environment = [
            ("PROOFLINE_LOG", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector),
            // What does not fit is dropped.
            ("OTEL_BSP_MAX_QUEUE_SIZE", "200000"),
        ];
        let mut stage = Stage::set_with(&environment).await;
        // Images of pages in the write-ahead log are compressed by default, and nothing would be found in them.
        let mut owner = PgConnection::connect(&stage.connections.database_url)
            .await
            .unwrap();
        owner
            .execute("do $$ begin execute format('alter role %I set wal_compression = off', current_user); end $$")
            .await
            .unwrap();
        stage.kill_platform().await;
        stage.start_platform().await;
        let secrets = Secrets::open(&stage.connections).await.unwrap();
        let account = platform::api_key::ApiKey::parse(&stage.key)
            .unwrap()
            .account;
        let commands = proofline::write_side::open(&stage.connections, &secrets)
            .await
            .unwrap();
        let issue = account::AccountCommand::IssueKey {
            account,
            label: "Officer".to_owned(),
            scopes: vec!["compliance".to_owned()],
        };
        let issued = account::run(&commands, &secrets.api_keys, issue)
            .await
            .unwrap();
        Self {
            officer: issued.rsplit_once(' ').unwrap().1.to_owned(),
            client: Client::new(),
            traces,
            asked: Mutex::default(),
            stage,
        }
    }

    /// `path` has its parameters between braces, with their values after a colon.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let (mut template, mut url) = (String::new(), String::new());
        for part in path.split_inclusive('/') {
            let (part, slash) = part
                .strip_suffix('/')
                .map_or((part, ""), |part| (part, "/"));
            match part
                .strip_prefix('{')
                .and_then(|inner| inner.split_once(':'))
            {
                Some((parameter, value)) => {
                    let (value, query) = value.split_once('}').unwrap();
                    template.push_str(&format!("{{{parameter}}}{slash}"));
                    url.push_str(&format!("{value}{query}{slash}"));
                }
                None => {
                    template.push_str(part.split('?').next().unwrap());
                    template.push_str(slash);
                    url.push_str(&format!("{part}{slash}"));
                }
            }
        }
        let asked = (method.as_str().to_lowercase(), template);
        self.asked.lock().unwrap().insert(asked);
        let url = format!("http://127.0.0.1:{}{url}", self.stage.port);
        self.client.request(method, url)
    }

    async fn done(&self, request: RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    async fn merchant(&self, path: &str, body: Value) -> Value {
        let request = self.ask(Method::POST, path).bearer_auth(&self.stage.key);
        self.done(request.json(&body)).await
    }

    async fn officer(&self, path: &str, body: Value) -> Value {
        let request = self.ask(Method::POST, path).bearer_auth(&self.officer);
        self.done(request.json(&body)).await
    }

    async fn read(&self, path: &str, key: &str) -> Value {
        self.done(self.ask(Method::GET, path).bearer_auth(key))
            .await
    }

    /// As the shop delivers what a person bought.
    async fn order(&self, integration: &str, topic: &str, person: usize) {
        let (name, now) = (name(person), platform::clock::now());
        let address = json!({ "first_name": name, "last_name": name, "city": name, "country_code": "DE",
                              "address1": name, "phone": name });
        let order = json!({
            "id": person, "order_id": person, "name": format!("#{person}"), "email": email(person), "created_at": now,
            "processed_at": now, "cancelled_at": null, "currency": "EUR", "total_price": "19.00", "note": name,
            "financial_status": "paid", "test": false, "browser_ip": "203.0.113.7",
            "customer": { "first_name": name, "last_name": name, "email": email(person) },
            "shipping_address": address, "billing_address": address,
            "line_items": [{ "title": format!("Shoe {CONTROL}"), "quantity": 1, "price": "19.00" }],
        });
        let body = order.to_string().into_bytes();
        let request = self
            .ask(
                Method::POST,
                &format!("/hooks/{{integration_id:{integration}}}"),
            )
            .header("content-type", "application/json")
            .header("x-shopify-topic", topic)
            .header("x-shopify-shop-domain", SHOP)
            .header("x-shopify-webhook-id", Uuid::now_v7().to_string())
            .header("x-shopify-hmac-sha256", sign(SECRET, &body));
        self.done(request.body(body)).await;
    }

    /// Everything that the platform offers, at least once, with what is marked. Answers the site's id.
    pub(super) async fn use_everything(&self) -> String {
        let key = self.stage.key.clone();
        let site = json!({ "name": format!("Shop {CONTROL}"), "domain": "leak.example.com" });
        let site = self.merchant("/v1/sites", site).await;
        let (site_id, embed) = (text(&site, "id"), text(&site, "embed_key"));
        let at = format!("/v1/sites/{{site_id:{site_id}}}");
        let rename = self.ask(Method::PATCH, &at).bearer_auth(&key);
        self.done(rename.json(&json!({ "name": format!("Shoes {CONTROL}") })))
            .await;
        let shop = json!({ "platform": "shopify", "shop_domain": SHOP, "webhook_secret": SECRET });
        let integration = self.merchant(&format!("{at}/integrations"), shop).await;
        let integration = text(&integration, "id");
        let draft =
            json!({ "name": "Sales", "message": "{first_name} from {city} bought {product}" });
        let notification = self.merchant(&format!("{at}/notifications"), draft).await;
        let notification = format!(
            "{at}/notifications/{{notification_id:{}}}",
            text(&notification, "id")
        );
        for step in ["publish", "pause", "resume"] {
            self.merchant(&format!("{notification}/{step}"), json!({}))
                .await;
        }
        stream::iter(0..PEOPLE)
            .for_each_concurrent(AT_ONCE, |person| {
                self.order(&integration, "orders/create", person)
            })
            .await;
        for topic in ["refunds/create", "orders/cancelled"] {
            self.order(&integration, topic, PEOPLE - 1).await;
        }
        let mut review = None;
        for person in 0..20 {
            let report = json!({ "kind": "review", "occurred_at": platform::clock::now(), "product": "Shoe",
                                 "external_id": format!("review/{person}"),
                                 "buyer": { "first_name": reviewer(person), "city": reviewer(person) } });
            let made = self.merchant(&format!("{at}/activities"), report).await;
            review.get_or_insert(text(&made, "id"));
        }
        for person in 0..40 {
            let consent = json!({ "person": { "email": email(person) }, "purpose": "display", "text_version": "1",
                                  "text": format!("Show me {CONTROL}"), "evidence": format!("ticked by {}", name(person)) });
            self.merchant("/v1/consents", consent).await;
        }
        let withdraw = json!({ "person": { "email": email(1) }, "purpose": "display" });
        self.merchant("/v1/consents/withdraw", withdraw).await;
        let withdraw = json!({ "person": { "visitor_id": email(2) }, "purpose": "analytics" });
        self.merchant("/v1/consents/withdraw", withdraw).await;

        let subject = self
            .officer("/v1/subjects", json!({ "email": email(0) }))
            .await;
        let (position, id) = (text(&subject, "position"), text(&subject, "id"));
        let record = format!("/v1/subjects/{{subject_id:{id}}}");
        let activity = json!({ "activity_id": review.unwrap() });
        let identities = format!("{record}/identities");
        let mistaken = self
            .officer(&identities, json!({ "visitor_id": email(4) }))
            .await;
        let since = format!("{record}?min_position={}", text(&mistaken, "position"));
        let known_as = self.read(&since, &self.officer).await;
        let mistaken = known_as["identities"][0].as_str().unwrap();
        let unlink = format!("{identities}/{{identity_id:{mistaken}}}/unlink");
        self.officer(&unlink, json!({})).await;
        self.officer(&identities, activity).await;
        self.officer(&format!("{record}/access-requests"), json!({}))
            .await;
        let link = self.officer(&format!("{record}/exports"), json!({})).await;
        let token = text(&link, "url").rsplit_once('/').unwrap().1.to_owned();
        for format in ["html", "json"] {
            let fetch = format!("/subject-exports/{{token:{token}}}?format={format}");
            let export = self.done(self.ask(Method::GET, &fetch)).await;
            assert!(
                export.to_string().contains(&email(0)),
                "it is opened for whom it is"
            );
        }
        self.officer(
            &format!("{record}/legal-hold"),
            json!({ "case": "court/1" }),
        )
        .await;
        for request in ["", "/withdraw"] {
            self.officer(&format!("{record}/erasure-requests{request}"), json!({}))
                .await;
        }
        self.officer(&format!("{record}/legal-hold/release"), json!({}))
            .await;
        for path in [format!("/v1/subjects?min_position={position}"), record] {
            self.read(&path, &self.officer).await;
        }

        let mut told = self
            .read("/v1/audit/access", &self.officer)
            .await
            .to_string();
        let question =
            "{ audit(first: 100) { nodes { sentence actor changes { name before after } } }
                          auditAccesses { nodes { actor purpose what } } }";
        let asked = self
            .officer("/v1/graphql", json!({ "query": question }))
            .await;
        assert!(asked["data"]["audit"]["nodes"][0].is_object(), "{asked}");
        told.push_str(&asked.to_string());
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/audit?limit=100{cursor}");
            let page = self.read(&path, &self.officer).await;
            told.push_str(&page["data"].to_string());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(told.contains(CONTROL) && !told.contains(MARK), "{told}");

        let feed = format!("/embed/v1/{{embed_key:{embed}}}/feed?min_position={position}");
        let feed = self.done(self.ask(Method::GET, &feed)).await;
        assert!(
            feed.to_string().contains(MARK),
            "the page shows whom it may"
        );
        let token = text(&feed["items"][0], "token");
        let seen = json!({ "id": Uuid::now_v7(), "type": "impression", "token": token,
                           "occurred_at": platform::clock::now(),
                           "page": format!("https://leak.example.com/p?email={}#{}", email(3), name(3)) });
        let collect = self
            .ask(Method::POST, "/collect")
            .json(&json!({ "events": [seen] }));
        self.done(collect).await;
        for list in ["integrations", "notifications", "analytics", "counters"] {
            self.read(&format!("{at}/{list}"), &key).await;
        }
        for one in ["/v1/sites".to_owned(), at.clone(), notification.clone()] {
            self.read(&one, &key).await;
        }
        self.read(
            &format!("{at}/integrations/{{integration_id:{integration}}}"),
            &key,
        )
        .await;
        let events = self.ask(Method::GET, "/v1/events/stream").bearer_auth(&key);
        assert!(events.send().await.unwrap().status().is_success());
        self.merchant(&format!("{notification}/archive"), json!({}))
            .await;
        site_id
    }

    /// Erases the first so many, and waits for their certificates. Answers their records.
    pub(super) async fn erase(&self) -> Vec<Uuid> {
        let erased: Vec<Uuid> = stream::iter(0..ERASED)
            .map(async |person| {
                let subject = self
                    .officer("/v1/subjects", json!({ "email": email(person) }))
                    .await;
                let record = format!("/v1/subjects/{{subject_id:{}}}", text(&subject, "id"));
                self.officer(&format!("{record}/erasure-requests"), json!({}))
                    .await;
                text(&subject, "id").parse::<Uuid>().unwrap()
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let deadline = Instant::now() + DEADLINE;
        for subject in &erased {
            let record = format!("/v1/subjects/{{subject_id:{subject}}}");
            while self.read(&record, &self.officer).await["erasure"]["state"] != "certified" {
                assert!(Instant::now() < deadline, "not everybody is erased");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.read(&format!("{record}/certificate"), &self.officer)
                .await;
        }
        erased
    }

    pub(super) async fn check_that_every_route_was_used(&self) {
        let document = self
            .done(
                self.client
                    .get(format!("http://127.0.0.1:{}/openapi.json", self.stage.port)),
            )
            .await;
        let routes: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                let methods = methods.filter(|method| {
                    ["get", "post", "put", "patch", "delete"].contains(&&***method)
                });
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        let asked = self.asked.lock().unwrap();
        assert_eq!(
            routes.difference(&asked).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "never used here"
        );
    }

    pub(super) fn keys_url(&self) -> String {
        self.stage.connections.keys_url().unwrap()
    }

    /// What every key is stored as: subject, the provider's name of the key that wraps, and the wrapped bytes.
    pub(super) async fn wrapped(&self) -> Vec<(Uuid, String, Vec<u8>)> {
        let mut keys = PgConnection::connect(&self.keys_url()).await.unwrap();
        sqlx::query_as(
            "select subject_id, provider_key_id, wrapped_key from keys.subject where wrapped_key is not null",
        )
        .fetch_all(&mut keys)
        .await
        .unwrap()
    }

    /// Answers what the backup is called.
    pub(super) async fn back_up(&self) -> String {
        let connections = &self.stage.connections;
        let backups = Backups {
            source: connections.backed_up().unwrap(),
            places: connections.places().await.unwrap(),
            retention: Retention::default(),
        };
        backups.create().await.unwrap().id
    }

    /// Loses every engine's data, brings the backup of events and keys back, and starts on that. Answers what the log was.
    pub(super) async fn lose_and_restore(&mut self, id: &str) -> Uuid {
        self.stage.kill_platform().await;
        let connections = self.stage.connections.clone();
        let source = connections.backed_up().unwrap();
        let mut server = source.database_url.clone();
        server.set_path("postgres");
        let mut owner = PgConnection::connect(server.as_str()).await.unwrap();
        for lost in [&source.database_url, &source.keys_url] {
            let name = lost.path().trim_start_matches('/');
            let drop = format!("drop database {name} with (force)");
            owner.execute(&*drop).await.unwrap();
        }
        let clickhouse = connections.clickhouse().unwrap();
        let database = connections.clickhouse_database.clone();
        let drop = clickhouse.query("drop database ? sync");
        drop.bind(Identifier(&database)).execute().await.unwrap();
        let redis = redis::Client::open(&*connections.redis_url).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        let (): () = redis::cmd("FLUSHALL")
            .query_async(&mut redis)
            .await
            .unwrap();
        let target = Target {
            database_url: source.database_url,
            keys_url: source.keys_url,
            clickhouse,
            clickhouse_database: database,
            key_provider: connections.key_provider.clone(),
            key_file: connections.key_file.clone(),
            region: connections.region.clone(),
        };
        let places = connections.places().await.unwrap();
        let restored = places.restore(id, Some(id), &target).await.unwrap();
        assert!(restored.copies.keys > 0);
        self.stage.start_platform().await;
        restored.manifest.events.log
    }

    pub(super) fn vault(&self) -> Vault {
        let provider = LocalKeyFile::open(&self.stage.connections.key_file).unwrap();
        Vault::new(
            connect(&self.keys_url(), Role::Vault, 4).unwrap(),
            Arc::new(provider),
            tests::key_copies(&self.stage.connections.key_file).unwrap(),
        )
    }

    /// Every person whose text is in what every envelope of the log opens to. Who wrote a review is not known by their address.
    pub(super) async fn known(&self) -> BTreeSet<usize> {
        let pool = connect(&self.stage.connections.database_url, Role::Projector, 2).unwrap();
        let log = EventLog::open(pool).await.unwrap();
        let (head, _) = log.head().await.unwrap();
        let (vault, mut reader, mut read, mut known) =
            (self.vault(), Reader::after(log, 0), 0, BTreeSet::new());
        while read < head {
            for event in reader.next(1_000).await.unwrap() {
                read = event.position;
                let mut payload = event.payload_value().unwrap();
                vault
                    .open(event.tenant, event.event_id, &mut payload)
                    .await
                    .unwrap();
                let opened = payload.to_string();
                let names = opened
                    .match_indices(MARK)
                    .map(|(at, _)| &opened[at + MARK.len()..]);
                let names = names.filter_map(|name| name.strip_prefix('p'));
                known.extend(names.map(|name| name[..4].parse::<usize>().unwrap()));
            }
        }
        known
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {value}"))
        .to_owned()
}
