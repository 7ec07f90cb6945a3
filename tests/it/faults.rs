//! Processes and engines are killed in the middle of a load; what was acknowledged is there, once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engines::{Config, Engine, Engines, Silent};
use key_providers::KeyProviderArgs;
use proofline::config::Connections;
use proofline::migrate;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::served::{SECRET, SHOP, order, seen, sign};

const DEADLINE: Duration = Duration::from_secs(60);

/// The platform as a process of its own on engines of its own, each of which can be killed.
pub(crate) struct Stage {
    engines: Engines,
    pub(crate) connections: Connections,
    pub(crate) port: u16,
    platform: Option<Child>,
    pub(crate) key: String,
    environment: Vec<(&'static str, String)>,
    client: Client,
    log: PathBuf,
    directory: tempfile::TempDir,
}

/// Beside this test's own binary.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .and_then(Path::parent)
        .unwrap()
        .join("proofline")
}

impl Stage {
    async fn set() -> Self {
        Self::set_with(&[]).await
    }

    /// With an environment of its own for the platform.
    pub(crate) async fn set_with(environment: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Postgres runs as another user and must be able to get there.
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mut config = Config::new(directory.path().join("data")).unwrap();
        config.clickhouse_command = (program(), vec!["clickhouse-server".to_owned()]);
        let engines = Engines::start(config, &Silent)
            .await
            .expect("engines; `make test` builds what they need");
        let mut connections =
            Connections::to_engines(engines.urls(), directory.path(), KeyProviderArgs::default())
                .unwrap();
        connections.keys_database_url = None;
        migrate::migrate(&connections).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut stage = Self {
            engines,
            connections,
            port,
            platform: None,
            key: String::new(),
            environment: environment
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            client: Client::builder()
                .timeout(Duration::from_secs(10))
                .build()
                .unwrap(),
            log: directory.path().join("platform.log"),
            directory,
        };
        let opened = stage.account(&["open", "Test"]).await;
        opened
            .rsplit_once(' ')
            .unwrap()
            .1
            .clone_into(&mut stage.key);
        stage.start_platform().await;
        stage
    }

    /// `proofline account`; answers what it said.
    pub(crate) async fn account(&self, arguments: &[&str]) -> String {
        let data_dir = self.directory.path().to_str().unwrap();
        let all = [&["account", "--data-dir", data_dir], arguments].concat();
        self.run(&program(), &all).await
    }

    /// A program in the platform's environment; answers what it said.
    pub(crate) async fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let ran = Command::new(program)
            .args(arguments)
            .envs(self.engines.urls().variables())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .await
            .unwrap();
        let (said, told) = (ran.stdout, String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{arguments:?}: {told}");
        String::from_utf8(said).unwrap().trim().to_owned()
    }

    /// With the engines' URLs given, so that only the platform dies with its process.
    pub(crate) async fn start_platform(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let child = Command::new(program())
            .args([
                "up",
                "--no-demo",
                "--port",
                &self.port.to_string(),
                "--data-dir",
            ])
            .arg(self.connections.key_file.parent().unwrap())
            .envs(self.engines.urls().variables())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("PROOFLINE_COLLECT_EVENTS_PER_SECOND", "1000000")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.platform = Some(child);
        let deadline = Instant::now() + DEADLINE;
        while !self.ready().await {
            assert!(
                Instant::now() < deadline,
                "{}",
                std::fs::read_to_string(&self.log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ready(&self) -> bool {
        let ready = self
            .client
            .get(format!("http://127.0.0.1:{}/readyz", self.port))
            .send()
            .await;
        ready.is_ok_and(|ready| ready.status().is_success())
    }

    pub(crate) async fn kill_platform(&mut self) {
        let mut child = self.platform.take().unwrap();
        child.kill().await.unwrap();
    }

    async fn kill(&self, engine: Engine) {
        let pid = self.engines.pid(engine).unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        self.engines
            .wait_replaced(engine, pid, DEADLINE)
            .await
            .unwrap();
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            client: self.client.clone(),
            base: format!("http://127.0.0.1:{}", self.port),
            key: self.key.clone(),
        }
    }

    /// Below it lies everything that engines and platform keep and log.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn end(self) {
        drop(self.platform);
        self.engines.stop().await;
    }
}

/// Sends until it is told otherwise, and again whatever was not answered, as shops and browsers do.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    base: String,
    key: String,
}

impl Caller {
    pub(crate) async fn merchant(&self, path: &str, body: &Value) -> Value {
        let key = Uuid::now_v7().to_string();
        let request = || {
            self.client
                .post(format!("{}{path}", self.base))
                .bearer_auth(&self.key)
                .header("idempotency-key", &key)
                .json(body)
        };
        self.until_answered(request).await
    }

    async fn until_answered(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match request().send().await {
                Ok(answer) if answer.status().is_success() => {
                    if let Ok(body) = answer.json().await {
                        return body;
                    }
                }
                // On a quick machine the load is more than one shop may deliver.
                Ok(answer) if [429, 503].contains(&answer.status().as_u16()) => {
                    assert!(
                        answer.headers().contains_key("retry-after"),
                        "turned away without Retry-After"
                    );
                }
                Ok(answer) => {
                    let (status, body) = (answer.status(), answer.text().await);
                    panic!("{status} {body:?}");
                }
                Err(_) => {} // cut off: the platform is down
            }
            assert!(Instant::now() < deadline, "never answered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn deliver(&self, integration: &str, number: u64) {
        let body = order(number).to_string();
        let request = || {
            self.client
                .post(format!("{}/hooks/{integration}", self.base))
                .header("content-type", "application/json")
                .header("x-shopify-topic", "orders/create")
                .header("x-shopify-shop-domain", SHOP)
                .header("x-shopify-webhook-id", format!("w-{number}"))
                .header("x-shopify-hmac-sha256", sign(SECRET, body.as_bytes()))
                .body(body.clone())
        };
        self.until_answered(request).await;
    }
}

struct Acknowledged {
    orders: BTreeSet<u64>,
    telemetry: BTreeSet<Uuid>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_whatever_was_killed() {
    let mut stage = Stage::set().await;
    let caller = stage.caller();
    let site = caller
        .merchant(
            "/v1/sites",
            &json!({ "name": "Trail", "domain": "shop.example.com" }),
        )
        .await;
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let shop = json!({ "platform": "shopify", "shop_domain": SHOP, "webhook_secret": SECRET });
    let integration = caller
        .merchant(&format!("{path}/integrations"), &shop)
        .await;
    let integration = integration["id"].as_str().unwrap().to_owned();
    let draft = json!({ "name": "Sales", "message": "{first_name} bought {product}" });
    let notification = caller
        .merchant(&format!("{path}/notifications"), &draft)
        .await;
    caller
        .merchant(
            &format!(
                "{path}/notifications/{}/publish",
                notification["id"].as_str().unwrap()
            ),
            &json!({}),
        )
        .await;
    caller.deliver(&integration, 1).await;
    let token = token(&caller, site["embed_key"].as_str().unwrap()).await;

    let acknowledged = Arc::new(Mutex::new(Acknowledged {
        orders: [1].into(),
        telemetry: BTreeSet::new(),
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let orders = tokio::spawn(send_orders(
        caller.clone(),
        integration,
        stop.clone(),
        acknowledged.clone(),
    ));
    let telemetry = tokio::spawn(send_telemetry(
        caller.clone(),
        token,
        stop.clone(),
        acknowledged.clone(),
    ));

    for engine in [Engine::Redis, Engine::ClickHouse, Engine::Postgres] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stage.kill(engine).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stage.kill_platform().await;
    stage.start_platform().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::SeqCst);
    orders.await.unwrap();
    telemetry.await.unwrap();

    let acknowledged = Arc::into_inner(acknowledged).unwrap().into_inner();
    assert!(
        acknowledged.orders.len() > 20 && acknowledged.telemetry.len() > 1_000,
        "there was a load"
    );
    compare(&stage, &acknowledged).await;
    stage.end().await;
}

async fn token(caller: &Caller, embed_key: &str) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let feed = caller
            .client
            .get(format!("{}/embed/v1/{embed_key}/feed", caller.base))
            .send()
            .await
            .unwrap();
        let feed: Value = feed.json().await.unwrap();
        if let Some(token) = feed["items"][0]["token"].as_str() {
            return token.to_owned();
        }
        assert!(Instant::now() < deadline, "{feed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn send_orders(
    caller: Caller,
    integration: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Acknowledged>>,
) {
    for number in 2.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        caller.deliver(&integration, number).await;
        acknowledged.lock().await.orders.insert(number);
    }
}

async fn send_telemetry(
    caller: Caller,
    token: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Acknowledged>>,
) {
    while !stop.load(Ordering::SeqCst) {
        let events: Vec<Value> = (0..50).map(|_| seen(&token, "impression")).collect();
        let body = json!({ "events": events });
        caller
            .until_answered(|| {
                caller
                    .client
                    .post(format!("{}/collect", caller.base))
                    .json(&body)
            })
            .await;
        let ids = events
            .iter()
            .map(|event| event["id"].as_str().unwrap().parse::<Uuid>().unwrap());
        acknowledged.lock().await.telemetry.extend(ids);
    }
}

/// Every count, in every engine, equals what was acknowledged: the callers repeat until they are answered, so nothing
/// is there that was not acknowledged in the end.
async fn compare(stage: &Stage, acknowledged: &Acknowledged) {
    use sqlx::Connection as _;
    let mut postgres = sqlx::PgConnection::connect(&stage.connections.database_url)
        .await
        .unwrap();
    let (orders, telemetry) = (
        acknowledged.orders.len() as i64,
        acknowledged.telemetry.len() as i64,
    );
    for (query, expected) in [
        (
            "select count(*) from es.events where event_type = 'activity.recorded'",
            orders,
        ),
        (
            "select count(distinct aggregate_id) from es.events where event_type = 'activity.recorded'",
            orders,
        ),
        ("select count(*) - max(position) from es.events", 0),
        ("select count(*) from es.telemetry", telemetry),
        (
            "select count(distinct event_id) from es.telemetry",
            telemetry,
        ),
        ("select count(*) - max(position) from es.telemetry", 0),
    ] {
        let found: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut postgres)
            .await
            .unwrap();
        assert_eq!(found, expected, "{query}");
    }
    let stored: Vec<Uuid> = sqlx::query_scalar("select event_id from es.telemetry")
        .fetch_all(&mut postgres)
        .await
        .unwrap();
    assert_eq!(
        stored.into_iter().collect::<BTreeSet<_>>(),
        acknowledged.telemetry
    );

    let deadline = Instant::now() + DEADLINE;
    loop {
        let served = projected(stage, &mut postgres).await;
        if served == (orders, telemetry, telemetry, telemetry) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "proofs, Redis, ClickHouse and its roll-up are {served:?}; {orders} orders and {telemetry} events were acknowledged"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Rows of the proof feed, counted in Redis, rows in ClickHouse, and its roll-up.
async fn projected(stage: &Stage, postgres: &mut sqlx::PgConnection) -> (i64, i64, i64, i64) {
    use redis::AsyncCommands as _;
    let proofs = sqlx::query_scalar("select count(*) from rm_proof_feed_v1.proof")
        .fetch_one(postgres)
        .await
        .unwrap();
    let client = redis::Client::open(&*stage.connections.redis_url).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut counted = 0;
    for key in redis
        .keys::<_, Vec<String>>("*telemetry_counters*:total")
        .await
        .unwrap()
    {
        counted += redis
            .hvals::<_, Vec<i64>>(key)
            .await
            .unwrap()
            .into_iter()
            .sum::<i64>();
    }
    let clickhouse = stage
        .connections
        .clickhouse()
        .unwrap()
        .with_database(&stage.connections.clickhouse_database);
    let facts: u64 = clickhouse
        .query("select count() from telemetry")
        .fetch_one()
        .await
        .unwrap();
    let hourly: u64 = clickhouse
        .query("select sum(events) from telemetry_hourly")
        .fetch_one()
        .await
        .unwrap();
    (proofs, counted, facts as i64, hourly as i64)
}
